"""Verbs for many tasks: which of them take it is decided task by task, and written with a few statements for all.

Nothing is written for a task that refuses.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Connection, func, select

from rota.db.command import Transaction
from rota.db.tables import run, task
from rota.db.types import is_one_of
from rota.domain.policies import CatchUp
from rota.domain.primitives.ids import Id
from rota.domain.tasks.definition import TaskStatus
from rota.domain.tasks.task import Task
from rota.errors import AppError
from rota.store.holds.reading import holds_that_matter
from rota.store.task_rows import Known, tasks_by_id
from rota.store.tasks import transitions
from rota.store.tasks.transitions import Resumption, awaiting_finish, check_status, resumption

#: Tasks per write: a few statements do it for all of them.
TASKS_TOGETHER = 250
#: For about how many seconds a write plans the fire times of pauses, and about how many runs of its tasks it changes or
#: makes. The tasks that are left are for the next write, so that firing has its turn.
PLANS_FOR = 0.05
RUNS_TOGETHER = 500


class Chosen(NamedTuple):
    """A task that a filter matched. One that is registered under its name since is another one."""

    id: Id
    name: str


class TaskChange(NamedTuple):
    """A task that a verb has changed, and of it what the audit log compares; `after` None: it was deleted."""

    name: str
    before: Mapping[str, Any]
    after: Mapping[str, Any] | None


class _Present(NamedTuple):
    """A task, as it is locked or read."""

    id: Id
    name: str
    status: str
    status_reason: str | None
    generation: int


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
    """What a verb did to the first `seen` of the tasks."""

    seen: int
    changed: int
    refused: Sequence[Refused]
    changes: Sequence[TaskChange] = ()
    #: The tasks that were run, if that is the verb.
    ran: Sequence[str] = ()


class Verb(Protocol):
    """A verb for many tasks."""

    @property
    def tasks_per_write(self) -> int: ...

    def do(self, tx: Transaction, chosen: Sequence[Chosen], *, dry_run: bool) -> Done:
        """Execute it for these tasks, or the first of them; `dry_run` only decides, without locking them."""


@dataclass(frozen=True, slots=True)
class StatusVerb:
    """A verb that is decided by the status of a task alone."""

    participle: str
    #: The status in which it changes nothing.
    no_change_in: TaskStatus | None
    refused_in: tuple[TaskStatus, ...]
    execute: Callable[[Transaction, Sequence[Known]], None]
    #: The status that a task has then, and why; None: there is no such task any more.
    becomes: TaskStatus | None
    reason: str | None = None

    @property
    def tasks_per_write(self) -> int:
        return TASKS_TOGETHER

    def do(self, tx: Transaction, chosen: Sequence[Chosen], *, dry_run: bool) -> Done:
        if not dry_run:
            chosen = _bounded(tx.connection, chosen)
        accepted: list[_Present] = []
        refused: list[Refused] = []
        found = _present(tx.connection, [each.id for each in chosen], lock=not dry_run)
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
        changes = [TaskChange(each.name, _state(each), self._after(each)) for each in accepted]
        return Done(len(chosen), len(accepted), refused, changes)

    def _after(self, before: _Present) -> Mapping[str, Any] | None:
        if self.becomes is None:
            return None
        return _state(before._replace(status=self.becomes, status_reason=self.reason))


def pause_each(by: str, reason: str | None = None) -> StatusVerb:
    """Return the verb that pauses tasks, with a reason."""
    refused_in = (TaskStatus.COMPLETED, TaskStatus.CANCELLED)
    execute = partial(transitions.pause, by=by, reason=reason)
    status = TaskStatus.PAUSED
    return StatusVerb("paused", status, refused_in, execute, status, reason)


def cancel_each(by: str) -> StatusVerb:
    """Return the verb that cancels tasks."""
    execute = partial(transitions.cancel, by=by)
    status = TaskStatus.CANCELLED
    return StatusVerb("cancelled", status, (TaskStatus.COMPLETED,), execute, status)


def delete_each() -> StatusVerb:
    """Return the verb that deletes tasks."""
    return StatusVerb("deleted", None, (), transitions.delete, None)


@dataclass(frozen=True, slots=True)
class ResumeEach:
    """The verb that resumes tasks; `catch_up` decides which fire times of the pause run.

    `monotonic` reads the clock by which a write ends when it has planned for long enough.
    """

    by: str
    catch_up: CatchUp = "none"
    monotonic: Callable[[], float] = field(kw_only=True)

    @property
    def tasks_per_write(self) -> int:
        return TASKS_TOGETHER

    def do(self, tx: Transaction, chosen: Sequence[Chosen], *, dry_run: bool) -> Done:
        if not dry_run:
            chosen = _bounded(tx.connection, chosen)
        found = tasks_by_id(tx.connection, [each.id for each in chosen], lock=not dry_run)
        awaiting = awaiting_finish(tx.connection, found.values())
        holds = holds_that_matter(tx.connection)
        accepted: list[Resumption] = []
        refused: list[Refused] = []
        until = self.monotonic() + PLANS_FOR
        seen = runs = 0
        for id, name in chosen:
            if seen and (self.monotonic() > until or runs > RUNS_TOGETHER):
                break
            seen += 1
            each = found.get(id)
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
        return Done(seen, len(accepted), refused, _resumed(tx.connection, accepted))


def _resumed(connection: Connection, resumed: Sequence[Resumption]) -> list[TaskChange]:
    """Return what was changed of tasks: what they fired of the pause may have completed them."""
    fired = [each.task.id for each in resumed if each.fire is not None]
    now = {each.id: _state(each) for each in _present(connection, fired)} if fired else {}
    return [
        TaskChange(each.task.name, _state(each.task), now.get(each.task.id) or _resumed_as(each))
        for each in resumed
    ]


def _resumed_as(each: Resumption) -> Mapping[str, Any]:
    return _state(replace(each.task, status=each.status, status_reason=None))


def _present(connection: Connection, ids: Collection[Id], *, lock: bool = False) -> list[_Present]:
    """Return those of the tasks that are there, by id, locked in this order."""
    rows = connection.execute(_LOCKED if lock else _READ, {"g_ids": list(ids)})
    return [_Present._make(row) for row in rows]


def _state(of: "_Present | Task") -> Mapping[str, Any]:
    """Return what the audit log compares of a task, where there are many."""
    return {
        "status": str(of.status),
        "status_reason": of.status_reason,
        "generation": of.generation,
    }


def _bounded(connection: Connection, chosen: Sequence[Chosen]) -> Sequence[Chosen]:
    """Return the first of the tasks, as many as have not too many unfinished runs together."""
    ids = {"g_ids": [each.id for each in chosen]}
    runs = {row.task_id: row.runs for row in connection.execute(_UNFINISHED, ids)}
    counted = accumulate(runs.get(each.id, 0) for each in chosen)
    fitting = sum(1 for together in counted if together <= RUNS_TOGETHER)
    return chosen[: max(fitting, 1)]


_READ = (
    select(*(task.c[name] for name in _Present._fields))
    .where(is_one_of(task.c.id, "g_ids"), task.c.deleted_at.is_(None))
    .order_by(task.c.id)
)
_LOCKED = _READ.with_for_update()
_UNFINISHED = (
    select(run.c.task_id, func.count().label("runs"))
    .where(is_one_of(run.c.task_id, "g_ids"), run.c.finished_at.is_(None))
    .group_by(run.c.task_id)
)
