"""Transitions of locked tasks, of one or of many with the same few statements: pause, resume, cancel, delete."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, select

from rota.db.command import StaleError, Transaction
from rota.db.tables import run
from rota.domain.effects import DueSooner, TaskDeleted
from rota.domain.holds.held import Holds
from rota.domain.policies import CatchUp
from rota.domain.primitives.ids import Id
from rota.domain.reasons import CancelReason
from rota.domain.runs.plan import Gap
from rota.domain.runs.planning import plan
from rota.domain.schedules.definitions import Unreadable
from rota.domain.schedules.fire_times import fires_after_finish
from rota.domain.tasks.definition import TaskStatus
from rota.domain.tasks.task import Task
from rota.errors import Conflict, Unplannable
from rota.store.chains.propagation import notify_removed
from rota.store.runs.cancellation import cancel_unfinished, end_running
from rota.store.runs.pause import block_waiting, unblock_waiting
from rota.store.scheduling.backfill_rows import end_backfills
from rota.store.scheduling.fire import Fire
from rota.store.task_changes import change_status, hide
from rota.store.task_rows import Known, present_task, to_due

# How many fire times the writer steps through in a resume; the firing passes do the rest.
_STEPS_IN_A_RESUME = 1_000


class Resumption(NamedTuple):
    """A task that is to be resumed, its new status, and what it fires of the pause, if anything."""

    task: Task
    status: TaskStatus
    fire: Fire | None = None


def check_status(found: Known, verb: str, *refused_in: TaskStatus) -> None:
    """Raise Conflict if a task is in a status in which it cannot be `verb` (paused, resumed, cancelled)."""
    if found.status in refused_in:
        raise Conflict(
            f"Task {found.name!r} is {found.status}, so it cannot be {verb}; register it again to revive it.",
            slug="wrong-status",
            present=present_task(found),
        )


def pause(tx: Transaction, tasks: Sequence[Known], by: str, reason: str | None = None) -> None:
    """Pause tasks; their waiting runs and retries wait for the resumption."""
    ids = _change(tx, tasks, TaskStatus.PAUSED, by, reason)
    if ids:
        block_waiting(tx, ids)


def cancel(tx: Transaction, tasks: Sequence[Known], by: str) -> None:
    """Cancel tasks, their backfills and their unfinished runs."""
    ids = _change(tx, tasks, TaskStatus.CANCELLED, by)
    if ids:
        end_backfills(tx, ids)
        cancel_unfinished(tx, ids, CancelReason.TASK_CANCELLED)
        notify_removed(tx, [each.name for each in tasks], "cancelled")


def delete(tx: Transaction, tasks: Sequence[Known]) -> None:
    """Hide tasks, and end their backfills and unfinished runs; attempts under way are fenced off."""
    if not tasks:
        return
    ids = [each.id for each in tasks]
    end_backfills(tx, ids)
    cancel_unfinished(tx, ids, CancelReason.TASK_DELETED)
    end_running(tx, ids)
    # First, so that a successor that is deleted with them is not notified.
    hide(tx, ids)
    # The successors of a cancelled task were notified when it was cancelled.
    alive = [each.name for each in tasks if each.status != TaskStatus.CANCELLED]
    notify_removed(tx, alive, "deleted")
    tx.effects.extend(TaskDeleted(id) for id in ids)


def resumption(
    found: Task, now: datetime, catch_up: CatchUp, awaiting: set[Id], holds: Holds
) -> Resumption:
    """Return how a task is resumed; `awaiting` as of `awaiting_finish`. Raises Conflict, Unplannable."""
    check_status(found, "resumed", TaskStatus.COMPLETED, TaskStatus.CANCELLED)
    if isinstance(found.definition.schedule, Unreadable):
        raise _unplannable(found, found.definition.schedule.reason)
    fires = found.next_fire_at is not None or found.definition.fires_unscheduled
    status = TaskStatus.ACTIVE if fires or found.id in awaiting else TaskStatus.COMPLETED
    if found.next_fire_at is None or found.next_fire_at > now:
        return Resumption(found, status)
    due = to_due(replace(found, status=status)).under(holds.between(found.next_fire_at, now))
    due = replace(due, gap=Gap(until=now, catch_up=catch_up))
    try:
        # What a rule of many fire times leaves of the pause is for the firing passes.
        return Resumption(found, status, Fire(due, plan(due, now, _STEPS_IN_A_RESUME)))
    except Exception as error:
        raise _unplannable(found, str(error)) from error


def resume(tx: Transaction, resumptions: Sequence[Resumption], by: str) -> None:
    """Resume tasks: their runs are unblocked, and what is due of the pause is fired."""
    for status in (TaskStatus.ACTIVE, TaskStatus.COMPLETED):
        _change(tx, [each.task for each in resumptions if each.status is status], status, by)
    if not resumptions:
        return
    unblock_waiting(tx, [each.task.id for each in resumptions])
    fires = [each.fire for each in resumptions if each.fire is not None]
    if any(isinstance(made, Exception) for made in Fire.apply_all(tx, fires)):
        raise StaleError("a task was changed by another replica")
    ahead = [each.task.next_fire_at for each in resumptions if each.fire is None]
    times = [at for at in (*ahead, *(fire.plan.next_fire_at for fire in fires)) if at]
    if times:
        tx.effects.append(DueSooner(min(times)))


def awaiting_finish(connection: Connection, tasks: Iterable[Task]) -> set[Id]:
    """Return those of the tasks that get their next fire time when an unfinished run ends (`fixed_delay`)."""
    ids = [each.id for each in tasks if fires_after_finish(each.definition.schedule)]
    if not ids:
        return set()
    unfinished = select(run.c.task_id).where(run.c.task_id.in_(ids), run.c.finished_at.is_(None))
    return set(connection.execute(unfinished.distinct()).scalars())


def _change(
    tx: Transaction,
    tasks: Sequence[Known],
    status: TaskStatus,
    by: str,
    reason: str | None = None,
) -> list[Id]:
    ids = [each.id for each in tasks]
    names = {each.id: each.name for each in tasks}
    changed = change_status(tx, ids, status, by, reason=reason, names=names, updated_at=tx.now)
    if changed != ids:
        raise StaleError("a task was changed by another replica")
    return ids


def _unplannable(found: Task, why: str) -> Unplannable:
    # Nothing of the resumption is kept.
    present = {"task": present_task(found)["task"] | {"status": TaskStatus.PAUSED}}
    return Unplannable(
        f"The schedule of task {found.name!r} cannot be planned ({why}). Resume it once that is mended, "
        "or register another schedule first.",
        present=present,
    )
