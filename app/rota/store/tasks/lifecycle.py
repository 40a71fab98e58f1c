"""The lifecycle of a task: pause, resume, cancel, delete."""

from dataclasses import dataclass

from sqlalchemy import delete, select

from rota.db.command import Command, Transaction
from rota.db.tables import kv, notification, removed_runs, run, task, task_tag
from rota.domain.policies import CatchUp
from rota.domain.primitives.preconditions import Precondition
from rota.domain.tasks.definition import TaskStatus
from rota.domain.tasks.task import Task
from rota.errors import PreconditionFailed
from rota.store.calendars.usage import forget_usage
from rota.store.follow_ups import follow_up
from rota.store.holds.reading import holds_that_matter
from rota.store.kv.history.rows import remove_history
from rota.store.scheduling.backfill_rows import remove_backfills
from rota.store.task_rows import find_task, present_task
from rota.store.tasks import transitions
from rota.store.tasks.transitions import awaiting_finish, check_status, resumption


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
        check_status(found, "paused", TaskStatus.COMPLETED, TaskStatus.CANCELLED)
        transitions.pause(tx, [found], self.change.by, self.reason)
        return find_task(tx.connection, found.name)


@dataclass(frozen=True, slots=True)
class Resume(Command[Task]):
    """Fire again; of the fire times of the pause `once` runs the last, `all` the last hundred, `none` nothing.

    Raises NotFound, Conflict, PreconditionFailed, Unplannable.
    """

    change: Change
    catch_up: CatchUp = "none"

    def apply(self, tx: Transaction) -> Task:
        found = _find(tx, self.change)
        if found.status is TaskStatus.ACTIVE:
            return found
        awaiting = awaiting_finish(tx.connection, [found])
        holds = holds_that_matter(tx.connection)
        resumed = resumption(found, tx.now, self.catch_up, awaiting, holds)
        transitions.resume(tx, [resumed], self.change.by)
        # A run that was skipped by now may have given the task its next fire time.
        follow_up(tx)
        return find_task(tx.connection, found.name)


@dataclass(frozen=True, slots=True)
class Cancel(Command[Task]):
    """End a task: nothing fires, unfinished runs are cancelled; the row, kv and history stay.

    Raises NotFound, Conflict, PreconditionFailed.
    """

    change: Change

    def apply(self, tx: Transaction) -> Task:
        found = _find(tx, self.change)
        check_status(found, "cancelled", TaskStatus.COMPLETED)
        if found.status is TaskStatus.CANCELLED:
            return found
        transitions.cancel(tx, [found], self.change.by)
        return find_task(tx.connection, found.name)


@dataclass(frozen=True, slots=True)
class Delete(Command[None]):
    """Cancel a task and hide it; its name is free at once, its rows are removed later (`Purge`).

    Raises NotFound, PreconditionFailed.
    """

    change: Change

    def apply(self, tx: Transaction) -> None:
        transitions.delete(tx, [_find(tx, self.change)])


@dataclass(frozen=True, slots=True)
class Purge(Command[bool]):
    """Remove up to `limit` rows of deleted tasks; False when nothing is left to remove.

    A task that another replica has locked is left for later.
    """

    patient = False

    limit: int

    def apply(self, tx: Transaction) -> bool:
        deleted = (
            select(task.c.id).where(task.c.deleted_at.is_not(None)).order_by(task.c.deleted_at)
        )
        free = deleted.limit(1).with_for_update(skip_locked=True)
        id = tx.connection.execute(free).scalar_one_or_none()
        if id is None:
            return False
        runs = select(run.c.id).where(run.c.task_id == id).limit(self.limit)
        keys = select(kv.c.key).where(kv.c.task_id == id).limit(self.limit)
        removed = tx.connection.execute(delete(run).where(run.c.id.in_(runs))).rowcount
        removed += tx.connection.execute(
            delete(kv).where(kv.c.task_id == id, kv.c.key.in_(keys))
        ).rowcount
        sent = select(notification.c.id).where(notification.c.task_id == id).limit(self.limit)
        removed += tx.connection.execute(
            delete(notification).where(notification.c.id.in_(sent))
        ).rowcount
        removed += remove_history(tx, id, self.limit)
        removed += remove_backfills(tx, id, self.limit)
        if not removed:
            tx.connection.execute(delete(task_tag).where(task_tag.c.task_id == id))
            tx.connection.execute(delete(removed_runs).where(removed_runs.c.task_id == id))
            forget_usage(tx, id)
            tx.connection.execute(delete(task).where(task.c.id == id))
        return True


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


def _find(tx: Transaction, change: Change) -> Task:
    found = find_task(tx.connection, change.name, lock=True)
    check_expected(found, change.expected)
    return found
