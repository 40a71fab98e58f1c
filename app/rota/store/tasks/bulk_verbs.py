"""Verbs for many tasks: which of them take it is decided task by task, and written with a few statements for all.

Nothing is written for a task that refuses.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from typing import Protocol

from sqlalchemy import ColumnElement, Connection, func, select

from rota.db.command import Transaction
from rota.db.tables import run, task
from rota.domain.access.quotas import Quota
from rota.domain.policies import CatchUp
from rota.domain.tasks.definition import TaskStatus
from rota.errors import AppError
from rota.store.access.quotas import used
from rota.store.follow_ups import follow_up
from rota.store.holds.reading import holds_that_matter
from rota.store.task_locks import LockedTask, lock_tasks, read_tasks
from rota.store.task_rows import tasks_by_name
from rota.store.tasks import transitions
from rota.store.tasks.run_commands import RunNow
from rota.store.tasks.transitions import Resumption, awaiting_finish, check_status, resumption

#: Tasks per write, where each is a write of its own: so few that what others write meanwhile hardly waits.
TASKS_PER_WRITE = 25
#: Tasks per write, where a few statements do it for all of them.
TASKS_TOGETHER = 250
#: For about how many seconds a write plans the fire times of pauses, and about how many runs of its tasks it changes or
#: makes. The tasks that are left are for the next write, so that firing has its turn.
PLANS_FOR = 0.05
RUNS_TOGETHER = 500


@dataclass(frozen=True, slots=True)
class Refused:
    """A task that did not take the verb, and why."""

    task: str
    slug: str
    detail: str

    @classmethod
    def of(cls, name: str, error: AppError) -> "Refused":
        return Refused(name, error.slug, error.detail)


@dataclass(frozen=True, slots=True)
class Done:
    """What a verb did to the first `seen` of the named tasks."""

    seen: int
    changed: int
    refused: Sequence[Refused]
    #: The tasks that were run, if that is the verb.
    ran: Sequence[str] = ()


class Verb(Protocol):
    """A verb for many tasks."""

    @property
    def tasks_per_write(self) -> int: ...

    def do(self, tx: Transaction, names: Sequence[str], *, dry_run: bool) -> Done:
        """Execute it for the named tasks, or the first of them; `dry_run` only decides, without locking them."""


@dataclass(frozen=True, slots=True)
class StatusVerb:
    """A verb that is decided by the status of a task alone."""

    participle: str
    #: The status in which it changes nothing.
    no_change_in: TaskStatus | None
    refused_in: tuple[TaskStatus, ...]
    execute: Callable[[Transaction, Sequence[LockedTask]], None]

    @property
    def tasks_per_write(self) -> int:
        return TASKS_TOGETHER

    def do(self, tx: Transaction, names: Sequence[str], *, dry_run: bool) -> Done:
        if not dry_run:
            names = _bounded(tx.connection, names)
        found = (read_tasks if dry_run else lock_tasks)(tx.connection, *_named(names))
        accepted: list[LockedTask] = []
        refused: list[Refused] = []
        for each in sorted(found, key=lambda each: each.name):
            if each.status == self.no_change_in:
                continue
            try:
                check_status(each, self.participle, *self.refused_in)
            except AppError as error:
                refused.append(Refused.of(each.name, error))
            else:
                accepted.append(each)
        if not dry_run:
            self.execute(tx, accepted)
        return Done(len(names), len(accepted), refused)


def pause_each(by: str, reason: str | None = None) -> StatusVerb:
    """Return the verb that pauses tasks, with a reason."""
    refused_in = (TaskStatus.COMPLETED, TaskStatus.CANCELLED)
    execute = partial(transitions.pause, by=by, reason=reason)
    return StatusVerb("paused", TaskStatus.PAUSED, refused_in, execute)


def cancel_each(by: str) -> StatusVerb:
    """Return the verb that cancels tasks."""
    execute = partial(transitions.cancel, by=by)
    return StatusVerb("cancelled", TaskStatus.CANCELLED, (TaskStatus.COMPLETED,), execute)


def delete_each() -> StatusVerb:
    """Return the verb that deletes tasks."""
    return StatusVerb("deleted", None, (), transitions.delete)


@dataclass(frozen=True, slots=True)
class ResumeEach:
    """The verb that resumes tasks; `catch_up` says which fire times of the pause run.

    `monotonic` reads the clock by which a write ends when it has planned for long enough.
    """

    by: str
    catch_up: CatchUp = "none"
    monotonic: Callable[[], float] = field(kw_only=True)

    @property
    def tasks_per_write(self) -> int:
        return TASKS_TOGETHER

    def do(self, tx: Transaction, names: Sequence[str], *, dry_run: bool) -> Done:
        if not dry_run:
            names = _bounded(tx.connection, names)
        found = tasks_by_name(tx.connection, names, lock=not dry_run)
        awaiting = awaiting_finish(tx.connection, found.values())
        holds = holds_that_matter(tx.connection)
        accepted: list[Resumption] = []
        refused: list[Refused] = []
        until = self.monotonic() + PLANS_FOR
        seen = runs = 0
        for name in names:
            if seen and (self.monotonic() > until or runs > RUNS_TOGETHER):
                break
            seen += 1
            each = found.get(name)
            if each is None or each.status is TaskStatus.ACTIVE:
                continue
            try:
                accepted.append(resumption(each, tx.now, self.catch_up, awaiting, holds))
            except AppError as error:
                refused.append(Refused.of(name, error))
            else:
                fire = accepted[-1].fire
                runs += 0 if fire is None else len(fire.plan.runs)
        if not dry_run:
            transitions.resume(tx, accepted, self.by)
        return Done(seen, len(accepted), refused)


@dataclass(frozen=True, slots=True)
class RunEach:
    """The verb that runs tasks now: each is a command of its own, so that a refused one keeps nothing.

    Beyond the quota the others are refused; each that runs counts as one more, whatever it replaces.
    """

    traceparent: str | None = None
    quota: Quota | None = None

    @property
    def tasks_per_write(self) -> int:
        return TASKS_PER_WRITE

    def do(self, tx: Transaction, names: Sequence[str], *, dry_run: bool) -> Done:
        with tx.savepoint() as savepoint:
            room = _Room.of(tx, self.quota)
            lock_tasks(tx.connection, *_named(names))
            refused = [
                error for name in names if (error := self._refusal(tx, name, room)) is not None
            ]
            if dry_run:
                savepoint.rollback()
        others = {each.task for each in refused}
        ran = [] if dry_run else [name for name in names if name not in others]
        return Done(len(names), len(names) - len(refused), refused, ran)

    def _refusal(self, tx: Transaction, name: str, room: "_Room | None") -> Refused | None:
        try:
            with tx.savepoint():
                if room is not None:
                    room.check()
                RunNow(task=name, traceparent=self.traceparent).apply(tx)
                follow_up(tx)
        except AppError as error:
            return Refused.of(name, error)
        if room is not None:
            room.used += 1
        return None


@dataclass(slots=True)
class _Room:
    """What is left of a quota while tasks are run."""

    quota: Quota
    used: int

    @classmethod
    def of(cls, tx: Transaction, quota: Quota | None) -> "_Room | None":
        return None if quota is None else cls(quota, used(tx, quota))

    def check(self) -> None:
        """Raise QuotaExceeded if there is none for one more."""
        self.quota.check(self.used, self.used + 1)


def _named(names: Sequence[str]) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return task.c.name.in_(names), task.c.deleted_at.is_(None)


def _bounded(connection: Connection, names: Sequence[str]) -> Sequence[str]:
    """Return the first of the named tasks, as many as have not too many unfinished runs together."""
    unfinished = (
        select(task.c.name, func.count().label("runs"))
        .join(run, run.c.task_id == task.c.id)
        .where(*_named(names), run.c.finished_at.is_(None))
        .group_by(task.c.name)
    )
    runs = {row.name: row.runs for row in connection.execute(unfinished)}
    counted = accumulate(runs.get(name, 0) for name in names)
    fitting = sum(1 for together in counted if together <= RUNS_TOGETHER)
    return names[: max(fitting, 1)]
