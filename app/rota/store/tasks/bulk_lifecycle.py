"""The lifecycle of many tasks at once: the same verbs as those for one, a few statements for all of them.

What is refused is decided first, task by task, and nothing is written for it; what is left is written together.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

from sqlalchemy import Connection, func, select, update

from rota.db.tables import run, task
from rota.db.writer import StaleError, Transaction
from rota.domain.effects import DueSooner, TaskChanged, TaskDeleted
from rota.domain.policies import CatchUp
from rota.domain.primitives.ids import Id
from rota.domain.reasons import CancelReason
from rota.domain.schedules.definitions import Unreadable
from rota.domain.schedules.fire_times import fires_after_finish
from rota.domain.tasks.definition import Task, TaskStatus
from rota.errors import AppError
from rota.store.chains.propagation import tell_gone
from rota.store.follow_ups import follow
from rota.store.runs.cancellation import cancel_unfinished, end_running
from rota.store.runs.pause import block_waiting, unblock_waiting
from rota.store.scheduling.backfill_rows import end_backfills
from rota.store.scheduling.fire import Fire
from rota.store.task_rows import tasks_by_name
from rota.store.tasks.lifecycle import HAPPENED, fire_gap, refuse, unplannable

# How long a write plans what passed during pauses, in seconds, and how many runs of its tasks it changes or makes, both
# about: the tasks that are left are for the next write, so that firing has its turn.
PLANS_FOR = 0.05
RUNS_TOGETHER = 500


@dataclass(frozen=True, slots=True)
class Refused:
    """A task that did not take the verb, and why."""

    task: str
    slug: str
    detail: str


class Named(NamedTuple):
    """A task, as a verb has to know it that only changes its status."""

    id: Id
    name: str
    status: TaskStatus
    generation: int


T = TypeVar("T")


@dataclass(slots=True)
class Decided(Generic[T]):
    """Which tasks take a verb, and which do not, of the first `seen` of those that are named."""

    seen: int
    meant: list[T] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


class VerbOfMany(Protocol):
    """A verb that changes many tasks together."""

    def decide(self, tx: Transaction, names: Sequence[str], *, lock: bool) -> Decided[Any]:
        """Tell which of the named tasks take it, or of the first of them; `lock`: nobody else changes them now."""

    def carry_out(self, tx: Transaction, decided: Decided[Any]) -> None:
        """Do it to those that take it."""


@dataclass(frozen=True, slots=True)
class _StatusVerb:
    """A verb that needs to know no more of a task than its status."""

    verb: ClassVar[str]
    #: The status in which it finds nothing to do.
    leaves: ClassVar[TaskStatus | None]
    #: Those in which it is refused.
    refused_in: ClassVar[tuple[TaskStatus, ...]]

    def decide(self, tx: Transaction, names: Sequence[str], *, lock: bool) -> Decided[Named]:
        found = lock_named(tx.connection, names) if lock else _named(tx.connection, names)
        decided = Decided[Named](len(names))
        for each in found:
            if each.status is self.leaves:
                continue
            refusal = _refusal(each.name, refuse, each, self.verb, *self.refused_in)
            if refusal is None:
                decided.meant.append(each)
            else:
                decided.refused.append(refusal)
        return decided


@dataclass(frozen=True, slots=True)
class PauseEach(_StatusVerb):
    """Pause tasks, with a reason."""

    verb: ClassVar[str] = "paused"
    leaves: ClassVar[TaskStatus | None] = TaskStatus.PAUSED
    refused_in: ClassVar[tuple[TaskStatus, ...]] = (TaskStatus.COMPLETED, TaskStatus.CANCELLED)

    by: str
    reason: str | None = None

    def carry_out(self, tx: Transaction, decided: Decided[Named]) -> None:
        ids = [each.id for each in decided.meant]
        _set_status(tx, ids, TaskStatus.PAUSED, self.reason, self.by)
        if ids:
            block_waiting(tx, ids)


@dataclass(frozen=True, slots=True)
class CancelEach(_StatusVerb):
    """Cancel tasks."""

    verb: ClassVar[str] = "cancelled"
    leaves: ClassVar[TaskStatus | None] = TaskStatus.CANCELLED
    refused_in: ClassVar[tuple[TaskStatus, ...]] = (TaskStatus.COMPLETED,)

    by: str

    def carry_out(self, tx: Transaction, decided: Decided[Named]) -> None:
        if not decided.meant:
            return
        mark = len(tx.effects)
        ids = [each.id for each in decided.meant]
        _set_status(tx, ids, TaskStatus.CANCELLED, None, self.by)
        end_backfills(tx, ids)
        cancel_unfinished(tx, ids, CancelReason.TASK_CANCELLED)
        tell_gone(tx, [each.name for each in decided.meant], "cancelled")
        follow(tx, mark)


@dataclass(frozen=True, slots=True)
class DeleteEach(_StatusVerb):
    """Delete tasks."""

    verb: ClassVar[str] = "deleted"
    leaves: ClassVar[TaskStatus | None] = None
    refused_in: ClassVar[tuple[TaskStatus, ...]] = ()

    by: str

    def carry_out(self, tx: Transaction, decided: Decided[Named]) -> None:
        if not decided.meant:
            return
        mark = len(tx.effects)
        ids = [each.id for each in decided.meant]
        end_backfills(tx, ids)
        cancel_unfinished(tx, ids, CancelReason.TASK_DELETED)
        end_running(tx, ids)
        hidden = {"status": TaskStatus.CANCELLED, "deleted_at": tx.now}
        _change(tx, ids, hidden)
        untold = [each for each in decided.meant if each.status is not TaskStatus.CANCELLED]
        tell_gone(tx, [each.name for each in untold], "deleted")
        follow(tx, mark)
        tx.effects.extend(TaskDeleted(id) for id in ids)


@dataclass(frozen=True, slots=True)
class Resumption:
    """A task that is to be resumed, the status that it comes to, and what it fires of what passed, if anything."""

    task: Task
    status: TaskStatus
    fire: Fire | None = None


@dataclass(frozen=True, slots=True)
class ResumeEach:
    """Resume tasks; `catch_up` says what becomes of what passed meanwhile.

    `monotonic` reads the clock by which a write ends when it has planned for long enough.
    """

    by: str
    catch_up: CatchUp = "none"
    monotonic: Callable[[], float] = field(kw_only=True)

    def decide(self, tx: Transaction, names: Sequence[str], *, lock: bool) -> Decided[Resumption]:
        found = tasks_by_name(tx.connection, names, lock=lock)
        waiting = _with_unfinished_runs(tx.connection, found.values())
        decided = Decided[Resumption](0)
        until = self.monotonic() + PLANS_FOR
        runs = 0
        for name in names:
            if decided.seen and (self.monotonic() > until or runs > RUNS_TOGETHER):
                break
            decided.seen += 1
            each = found.get(name)
            if each is None or each.status is TaskStatus.ACTIVE:
                continue
            refusal = _refusal(name, self._resume, tx, each, waiting, decided.meant)
            if refusal is not None:
                decided.refused.append(refusal)
            elif (fire := decided.meant[-1].fire) is not None:
                runs += len(fire.plan.runs)
        return decided

    def _resume(
        self, tx: Transaction, each: Task, waiting: set[Id], meant: list[Resumption]
    ) -> None:
        refuse(each, "resumed", TaskStatus.COMPLETED, TaskStatus.CANCELLED)
        schedule = each.definition.schedule
        if isinstance(schedule, Unreadable):
            raise unplannable(each, schedule.reason)
        goes_on = (
            each.next_fire_at is not None or each.definition.fires_unscheduled or each.id in waiting
        )
        status = TaskStatus.ACTIVE if goes_on else TaskStatus.COMPLETED
        fire = None
        if each.next_fire_at is not None and each.next_fire_at <= tx.now:
            fire = fire_gap(replace(each, status=status), tx.now, self.catch_up)
        meant.append(Resumption(each, status, fire))

    def carry_out(self, tx: Transaction, decided: Decided[Resumption]) -> None:
        for status in (TaskStatus.ACTIVE, TaskStatus.COMPLETED):
            ids = [each.task.id for each in decided.meant if each.status is status]
            _set_status(tx, ids, status, None, self.by)
        if not decided.meant:
            return
        unblock_waiting(tx, [each.task.id for each in decided.meant])
        fires = [each.fire for each in decided.meant if each.fire is not None]
        if any(isinstance(made, Exception) for made in Fire.apply_all(tx, fires)):
            raise StaleError("a task was changed just now")
        ahead = [each.task.next_fire_at for each in decided.meant if each.fire is None]
        times = [at for at in (*ahead, *(fire.plan.next_fire_at for fire in fires)) if at]
        if times:
            tx.effects.append(DueSooner(min(times)))


def bounded(connection: Connection, names: Sequence[str]) -> Sequence[str]:
    """Return the first of the named tasks, as many as have not too many unfinished runs together."""
    unfinished = (
        select(task.c.name, func.count().label("runs"))
        .join(run, run.c.task_id == task.c.id)
        .where(task.c.name.in_(names), task.c.deleted_at.is_(None), run.c.finished_at.is_(None))
        .group_by(task.c.name)
    )
    runs = {row.name: row.runs for row in connection.execute(unfinished)}
    counted = accumulate(runs.get(name, 0) for name in names)
    fitting = sum(1 for together in counted if together <= RUNS_TOGETHER)
    return names[: max(fitting, 1)]


def lock_named(connection: Connection, names: Sequence[str]) -> list[Named]:
    """Return those of the named tasks that there are, by name; nobody else changes them now (PostgreSQL).

    Locked by id, as firing does, so that replicas do not wait for each other in a circle.
    """
    return _to_named(connection.execute(_wanted(names).order_by(task.c.id).with_for_update()))


def _named(connection: Connection, names: Sequence[str]) -> list[Named]:
    return _to_named(connection.execute(_wanted(names)))


def _wanted(names: Sequence[str]) -> Any:
    columns = (task.c.id, task.c.name, task.c.status, task.c.generation)
    return select(*columns).where(task.c.name.in_(names), task.c.deleted_at.is_(None))


def _to_named(rows: Any) -> list[Named]:
    found = [Named(row.id, row.name, TaskStatus(row.status), row.generation) for row in rows]
    return sorted(found, key=lambda each: each.name)


def _refusal(name: str, attempt: Callable[..., None], *given: Any) -> Refused | None:
    """Return why a task does not take a verb, if `attempt` raises."""
    try:
        attempt(*given)
    except AppError as error:
        return Refused(name, error.slug, error.detail)
    return None


def _with_unfinished_runs(connection: Connection, tasks: Iterable[Task]) -> set[Id]:
    """Return those of which the end of a run that is under way gives the next fire time (`fixed_delay`)."""
    ids = [each.id for each in tasks if fires_after_finish(each.definition.schedule)]
    if not ids:
        return set()
    unfinished = select(run.c.task_id).where(run.c.task_id.in_(ids), run.c.finished_at.is_(None))
    return set(connection.execute(unfinished.distinct()).scalars())


def _set_status(
    tx: Transaction, ids: Sequence[Id], status: TaskStatus, reason: str | None, by: str
) -> None:
    changed = {
        "status": status,
        "status_reason": reason,
        "status_changed_at": tx.now,
        "status_changed_by": by,
        "updated_at": tx.now,
    }
    _change(tx, ids, changed, task.c.status != status)
    tx.effects.extend(TaskChanged(id, HAPPENED[status], by, reason) for id in ids)


def _change(tx: Transaction, ids: Sequence[Id], changed: dict[str, Any], *guards: Any) -> None:
    if not ids:
        return
    these = (task.c.id.in_(ids), task.c.deleted_at.is_(None), *guards)
    if tx.connection.execute(update(task).where(*these).values(**changed)).rowcount != len(ids):
        raise StaleError("a task was changed just now")
