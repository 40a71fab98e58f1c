"""The lifecycle of tasks: pause, resume, cancel, delete."""

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import delete, exists, select, update

from rota.db.tables import kv, run, task, task_tag
from rota.db.writer import Command, Transaction
from rota.domain.effects import DueSooner, TaskChanged, TaskDeleted, TaskEvent
from rota.domain.policies import CatchUp
from rota.domain.primitives.preconditions import Precondition
from rota.domain.reasons import CancelReason
from rota.domain.runs.plan import Gap
from rota.domain.runs.planning import plan
from rota.domain.schedules.definitions import Unreadable
from rota.domain.schedules.fire_times import fires_after_finish
from rota.domain.tasks.definition import Task, TaskStatus
from rota.errors import Conflict, PreconditionFailed, Unplannable
from rota.store.chains.propagation import tell_gone
from rota.store.follow_ups import follow
from rota.store.kv.history_rows import remove_history
from rota.store.runs.cancellation import cancel_unfinished, end_running
from rota.store.runs.pause import block_waiting, unblock_waiting
from rota.store.scheduling.backfill_rows import end_backfills, remove_backfills
from rota.store.scheduling.fire import Fire
from rota.store.task_rows import Known, find_task, present_task, to_due

# What the writer steps through in a resume; the firing passes do the rest.
_STEPS_IN_A_RESUME = 1_000


# What is told of a task that has come to a status.
HAPPENED = {
    status: TaskEvent.RESUMED if status is TaskStatus.ACTIVE else TaskEvent(status)
    for status in TaskStatus
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Who changes which task, and the (task id, generation) that it must have (`If-Match`)."""

    name: str
    by: str
    expected: Precondition | None = None


@dataclass(frozen=True, slots=True)
class Pause(Command[Task]):
    """Stop firing; queued runs and retries wait, running ones end. Raises NotFound, Conflict, PreconditionFailed."""

    change: Change
    reason: str | None = None

    def apply(self, tx: Transaction) -> Task:
        found = _find(tx, self.change)
        refuse(found, "paused", TaskStatus.COMPLETED, TaskStatus.CANCELLED)
        paused = _set_status(tx, found, TaskStatus.PAUSED, self.reason, self.change.by)
        block_waiting(tx, [found.id])
        return paused


@dataclass(frozen=True, slots=True)
class Resume(Command[Task]):
    """Fire again; of what passed meanwhile `once` runs the last fire time, `all` the last hundred, `none` nothing."""

    change: Change
    catch_up: CatchUp = "none"

    def apply(self, tx: Transaction) -> Task:
        found = _find(tx, self.change)
        refuse(found, "resumed", TaskStatus.COMPLETED, TaskStatus.CANCELLED)
        if found.status is TaskStatus.ACTIVE:
            return found
        if isinstance(found.definition.schedule, Unreadable):
            raise unplannable(found, found.definition.schedule.reason)
        fires = found.next_fire_at is not None or found.definition.fires_unscheduled
        status = TaskStatus.ACTIVE if fires or _waits(tx, found) else TaskStatus.COMPLETED
        resumed = _set_status(tx, found, status, None, self.change.by)
        unblock_waiting(tx, [found.id])
        if found.next_fire_at is None:
            return resumed
        if found.next_fire_at > tx.now:
            tx.effects.append(DueSooner(found.next_fire_at))
            return resumed
        self._fire_gap(tx, resumed)
        return find_task(tx.connection, found.name)

    def _fire_gap(self, tx: Transaction, resumed: Task) -> None:
        fire = fire_gap(resumed, tx.now, self.catch_up)
        fire.apply(tx)
        if fire.plan.next_fire_at is not None:
            tx.effects.append(DueSooner(fire.plan.next_fire_at))


@dataclass(frozen=True, slots=True)
class Cancel(Command[Task]):
    """End a task: nothing fires, unfinished runs are cancelled; the row, kv and history stay."""

    change: Change

    def apply(self, tx: Transaction) -> Task:
        found = _find(tx, self.change)
        refuse(found, "cancelled", TaskStatus.COMPLETED)
        if found.status is TaskStatus.CANCELLED:
            return found
        mark = len(tx.effects)
        cancelled = _set_status(tx, found, TaskStatus.CANCELLED, None, self.change.by)
        end_backfills(tx, [found.id])
        cancel_unfinished(tx, [found.id], CancelReason.TASK_CANCELLED)
        tell_gone(tx, [found.name], "cancelled")
        follow(tx, mark)
        return cancelled


@dataclass(frozen=True, slots=True)
class Delete(Command[None]):
    """Cancel a task and hide it; its name is free at once, its rows are removed behind the answer."""

    change: Change

    def apply(self, tx: Transaction) -> None:
        found = _find(tx, self.change)
        mark = len(tx.effects)
        end_backfills(tx, [found.id])
        cancel_unfinished(tx, [found.id], CancelReason.TASK_DELETED)
        end_running(tx, [found.id])
        hidden = tx.connection.execute(
            update(task)
            .where(task.c.id == found.id, task.c.deleted_at.is_(None))
            .values(status=TaskStatus.CANCELLED, deleted_at=tx.now)
        )
        if hidden.rowcount != 1:
            raise Conflict(f"Task {found.name!r} was changed by somebody else just now; try again.")
        if found.status is not TaskStatus.CANCELLED:  # of that they were told
            tell_gone(tx, [found.name], "deleted")
        follow(tx, mark)
        tx.effects.append(TaskDeleted(found.id))


@dataclass(frozen=True, slots=True)
class Purge(Command[bool]):
    """Remove up to `limit` rows of deleted tasks; False when nothing is left to remove.

    A task that somebody else has locked is left for later.
    """

    patient = False

    limit: int

    def apply(self, tx: Transaction) -> bool:
        gone = select(task.c.id).where(task.c.deleted_at.is_not(None)).order_by(task.c.deleted_at)
        free = gone.limit(1).with_for_update(skip_locked=True)
        id = tx.connection.execute(free).scalar_one_or_none()
        if id is None:
            return False
        runs = select(run.c.id).where(run.c.task_id == id).limit(self.limit)
        keys = select(kv.c.key).where(kv.c.task_id == id).limit(self.limit)
        removed = tx.connection.execute(delete(run).where(run.c.id.in_(runs))).rowcount
        removed += tx.connection.execute(
            delete(kv).where(kv.c.task_id == id, kv.c.key.in_(keys))
        ).rowcount
        removed += remove_history(tx, id, self.limit)
        removed += remove_backfills(tx, id, self.limit)
        if not removed:
            tx.connection.execute(delete(task_tag).where(task_tag.c.task_id == id))
            tx.connection.execute(delete(task).where(task.c.id == id))
        return True


def fire_gap(resumed: Task, now: datetime, catch_up: CatchUp) -> Fire:
    """Plan what passed during a pause; what a rule of many fire times leaves is for the firing passes.

    Raises Unplannable.
    """
    due = replace(to_due(resumed), gap=Gap(until=now, catch_up=catch_up))
    try:
        return Fire(due, plan(due, now, _STEPS_IN_A_RESUME))
    except Exception as error:
        raise unplannable(resumed, str(error)) from error


def check_expected(found: Task, expected: Precondition | None) -> None:
    """Raise PreconditionFailed if the task, at its generation, is not what the caller demands."""
    if expected is None or expected.is_met_by((found.id, found.generation)):
        return
    read = expected.match is not None
    raise PreconditionFailed(
        f"Task {found.name!r} is not as you read it."
        if read
        else f"There is a task {found.name!r} already.",
        present=present_task(found),
    )


def _waits(tx: Transaction, found: Task) -> bool:
    """Tell whether the end of a run that is under way gives the task its next fire time (`fixed_delay`)."""
    if not fires_after_finish(found.definition.schedule):
        return False
    unfinished = exists().where(run.c.task_id == found.id, run.c.finished_at.is_(None))
    return bool(tx.connection.execute(select(unfinished)).scalar_one())


def unplannable(of: Task, why: str) -> Unplannable:
    """Return the error for a task whose schedule cannot be planned."""
    # What a resumption has changed by then is taken back.
    present = {"task": present_task(of)["task"] | {"status": TaskStatus.PAUSED}}
    return Unplannable(
        f"The schedule of task {of.name!r} cannot be planned ({why}). Resume it once that is mended, "
        "or register another schedule first.",
        present=present,
    )


def _find(tx: Transaction, change: Change) -> Task:
    found = find_task(tx.connection, change.name, lock=True)
    check_expected(found, change.expected)
    return found


def refuse(found: Known, verb: str, *statuses: TaskStatus) -> None:
    """Raise Conflict if a task is in a status in which it cannot be `verb` (paused, resumed, cancelled)."""
    if found.status in statuses:
        raise Conflict(
            f"Task {found.name!r} is {found.status}, so it cannot be {verb}; register it again to revive it.",
            slug="wrong-status",
            present=present_task(found),
        )


def _set_status(
    tx: Transaction,
    found: Task,
    status: TaskStatus,
    reason: str | None,
    by: str,
) -> Task:
    changed = replace(
        found,
        status=status,
        status_reason=reason,
        status_changed_at=tx.now,
        status_changed_by=by,
        updated_at=tx.now,
    )
    saved = tx.connection.execute(
        update(task)
        .where(
            task.c.id == found.id,
            task.c.status == found.status,
            task.c.generation == found.generation,
        )
        .values(
            status=status,
            status_reason=reason,
            status_changed_at=tx.now,
            status_changed_by=by,
            updated_at=tx.now,
        )
    )
    if saved.rowcount != 1:
        raise Conflict(f"Task {found.name!r} was changed by somebody else just now; try again.")
    tx.effects.append(TaskChanged(found.id, HAPPENED[status], by, reason))
    return changed
