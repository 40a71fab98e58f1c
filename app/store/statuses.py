"""The lifecycle of tasks: pause, resume, cancel, delete."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import and_, delete, select, update

from app.db.tables import kv, run, task, task_tag
from app.db.writer import Command, Transaction
from app.domain import planning
from app.domain.effects import CancelAsked, DueSooner, RunEnded, RunsReady, TaskDeleted
from app.domain.runs import CancelReason, RunStatus
from app.domain.schedules import Manual
from app.domain.tasks import Task, TaskStatus
from app.errors import Conflict, PreconditionFailed, Unplannable
from app.store.handlers import block_unknown
from app.store.pausing import PAUSED, block_waiting
from app.store.planned import insert_planned
from app.store.tasks import find_task, to_due


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Who changes which task, and the (task id, generation) that it must have (`If-Match`)."""

    name: str
    by: str
    expected: tuple[UUID, int] | None = None


@dataclass(frozen=True, slots=True)
class Pause(Command[Task]):
    """Stop firing; queued runs and retries wait, running ones end. Raises NotFound, Conflict, PreconditionFailed."""

    change: Change
    reason: str | None = None

    def apply(self, tx: Transaction) -> Task:
        found = _find(tx, self.change)
        _refuse(found, "paused", TaskStatus.COMPLETED, TaskStatus.CANCELLED)
        paused = _set_status(tx, found, TaskStatus.PAUSED, self.reason, self.change.by)
        block_waiting(tx, [found.id])
        return paused


@dataclass(frozen=True, slots=True)
class Resume(Command[Task]):
    """Fire again; what passed meanwhile is one skipped run, of which `once` runs the last fire time after all."""

    change: Change
    catch_up: Literal["none", "once"] = "none"

    def apply(self, tx: Transaction) -> Task:
        found = _find(tx, self.change)
        _refuse(found, "resumed", TaskStatus.COMPLETED, TaskStatus.CANCELLED)
        if found.status is TaskStatus.ACTIVE:
            return found
        resumed = self._plan_gap(tx, found)
        fires = resumed.next_fire_at is not None or isinstance(found.definition.schedule, Manual)
        status = TaskStatus.ACTIVE if fires else TaskStatus.COMPLETED
        resumed = _set_status(tx, found, status, None, self.change.by, resumed)
        if resumed.next_fire_at is not None:
            tx.effects.append(DueSooner(resumed.next_fire_at))
        _unblock(tx, found.id)
        return resumed

    def _plan_gap(self, tx: Transaction, found: Task) -> Task:
        if found.next_fire_at is None or found.next_fire_at > tx.now:
            return found
        due = to_due(found)
        try:
            gap = planning.plan_gap(due, tx.now, catch_up=self.catch_up)
        except Exception as error:
            raise Unplannable(
                f"The schedule of task {found.name!r} cannot be planned ({error}); register another one.",
                present=present_task(found),
            ) from error
        insert_planned(tx, [(due, planned) for planned in gap.runs])
        return replace(found, next_fire_at=gap.next_fire_at)


@dataclass(frozen=True, slots=True)
class Cancel(Command[Task]):
    """End a task: nothing fires, unfinished runs are cancelled; the row, kv and history stay."""

    change: Change

    def apply(self, tx: Transaction) -> Task:
        found = _find(tx, self.change)
        _refuse(found, "cancelled", TaskStatus.COMPLETED)
        if found.status is TaskStatus.CANCELLED:
            return found
        cancel_unfinished(tx, [found.id], CancelReason.TASK_CANCELLED)
        return _set_status(tx, found, TaskStatus.CANCELLED, None, self.change.by)


@dataclass(frozen=True, slots=True)
class Delete(Command[None]):
    """Cancel a task and hide it; its name is free at once, its rows are removed behind the answer."""

    change: Change

    def apply(self, tx: Transaction) -> None:
        found = _find(tx, self.change)
        cancel_unfinished(tx, [found.id], CancelReason.TASK_DELETED)
        end_cancelled(tx, found.id)
        hidden = tx.connection.execute(
            update(task)
            .where(task.c.id == found.id, task.c.deleted_at.is_(None))
            .values(status=TaskStatus.CANCELLED, deleted_at=tx.now)
        )
        if hidden.rowcount != 1:
            raise Conflict(f"Task {found.name!r} was changed by somebody else just now; try again.")
        tx.effects.append(TaskDeleted())


@dataclass(frozen=True, slots=True)
class Purge(Command[bool]):
    """Remove up to `limit` rows of deleted tasks; False when nothing is left to remove."""

    limit: int

    def apply(self, tx: Transaction) -> bool:
        gone = select(task.c.id).where(task.c.deleted_at.is_not(None)).order_by(task.c.deleted_at)
        id = tx.connection.execute(gone.limit(1)).scalar_one_or_none()
        if id is None:
            return False
        runs = select(run.c.id).where(run.c.task_id == id).limit(self.limit)
        keys = select(kv.c.key).where(kv.c.task_id == id).limit(self.limit)
        removed = tx.connection.execute(delete(run).where(run.c.id.in_(runs))).rowcount
        removed += tx.connection.execute(
            delete(kv).where(kv.c.task_id == id, kv.c.key.in_(keys))
        ).rowcount
        if not removed:
            tx.connection.execute(delete(task_tag).where(task_tag.c.task_id == id))
            tx.connection.execute(delete(task).where(task.c.id == id))
        return True


def cancel_unfinished(tx: Transaction, task_ids: Sequence[UUID], reason: CancelReason) -> None:
    """Cancel the waiting runs of tasks, and ask the running ones to end."""
    waiting = and_(
        run.c.task_id.in_(task_ids), run.c.status.in_([RunStatus.QUEUED, RunStatus.BLOCKED])
    )
    ended = tx.connection.execute(
        update(run)
        .where(waiting)
        .values(
            status=RunStatus.CANCELLED,
            reason=reason,
            waiting_on=None,
            not_before=None,
            cancel_requested_at=tx.now,
            finished_at=tx.now,
        )
        .returning(run.c.id, run.c.task_id)
    )
    tx.effects.extend(RunEnded(row.id, row.task_id, RunStatus.CANCELLED) for row in ended)
    asked = tx.connection.execute(
        update(run)
        .where(run.c.task_id.in_(task_ids), run.c.status == RunStatus.RUNNING)
        .values(cancel_requested_at=tx.now, cancel_reason=reason)
        .returning(run.c.id)
    ).scalars()
    tx.effects.extend(CancelAsked(id) for id in asked)


def end_cancelled(tx: Transaction, task_id: UUID) -> None:
    """End the running runs of a task that is being removed; their attempts are fenced off."""
    ended = tx.connection.execute(
        update(run)
        .where(run.c.task_id == task_id, run.c.status == RunStatus.RUNNING)
        .values(
            status=RunStatus.CANCELLED,
            reason=CancelReason.TASK_DELETED,
            outcome="cancelled",
            holder=None,
            lease_token_hash=None,
            finished_at=tx.now,
        )
        .returning(run.c.id, run.c.task_id)
    )
    tx.effects.extend(RunEnded(row.id, row.task_id, RunStatus.CANCELLED) for row in ended)


def check_expected(found: Task, expected: tuple[UUID, int] | None) -> None:
    """Raise PreconditionFailed if the task is not the one, at the generation, that the caller read."""
    if expected is not None and expected != (found.id, found.generation):
        raise PreconditionFailed(
            f"Task {found.name!r} is not as you read it.", present=present_task(found)
        )


def present_task(found: Task) -> dict[str, Any]:
    """Return what an error shows of the task that is there."""
    return {
        "task": {
            "id": str(found.id),
            "name": found.name,
            "status": found.status,
            "generation": found.generation,
        }
    }


def _find(tx: Transaction, change: Change) -> Task:
    found = find_task(tx.connection, change.name, lock=True)
    check_expected(found, change.expected)
    return found


def _refuse(found: Task, verb: str, *statuses: TaskStatus) -> None:
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
    also: Task | None = None,
) -> Task:
    changed = replace(
        also or found,
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
            next_fire_at=changed.next_fire_at,
            updated_at=tx.now,
        )
    )
    if saved.rowcount != 1:
        raise Conflict(f"Task {found.name!r} was changed by somebody else just now; try again.")
    return changed


def _unblock(tx: Transaction, task_id: UUID) -> None:
    waiting = and_(
        run.c.task_id == task_id, run.c.status == RunStatus.BLOCKED, run.c.waiting_on == PAUSED
    )
    queues = tx.connection.execute(
        update(run)
        .where(waiting)
        .values(status=RunStatus.QUEUED, waiting_on=None)
        .returning(run.c.queue, run.c.not_before)
    ).all()
    block_unknown(tx, task_id)
    tx.effects.extend(RunsReady(queue) for queue in sorted({row.queue for row in queues}))
    delayed = [row.not_before for row in queues if row.not_before is not None]
    if delayed:
        tx.effects.append(DueSooner(min(delayed)))
