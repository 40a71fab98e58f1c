"""Firing: due tasks advance by compare-and-set with their runs in one commit.

On PostgreSQL a task that is locked by another transaction is left for the next pass: firing waits for no lock.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Integer, bindparam, or_, text, update

from rota.db.bulk import Bulk
from rota.db.command import Command, Transaction
from rota.db.connection_state.known_holds import known_holds_of
from rota.db.tables import calendar_state, task
from rota.db.types import is_one_of
from rota.domain.holds.held import HoldsVersion
from rota.domain.primitives.ids import Id, new_id
from rota.domain.primitives.value_class import value_class
from rota.domain.reasons import PauseReason
from rota.domain.runs.plan import DueTask, Plan
from rota.domain.tasks.definition import TaskStatus
from rota.store.calendars.present import REVISION
from rota.store.holds.reading import holds_version as read_version
from rota.store.runs.insertion import insert_planned
from rota.store.runs.pause import block_waiting
from rota.store.task_changes import (
    SERVICE,
    change_status,
    completing,
    completing_columns,
    emit_status,
)
from rota.store.task_locks import locking


class OvertakenError(Exception):
    """The task was edited, paused, deleted or fired since it was read: nothing was written for it."""


class HeldError(OvertakenError):
    """The task is locked by another transaction, which may be firing it: nothing was written for it."""


@value_class()
class Fire(Command[int]):
    """Advance a task and insert its runs; return how many are queued.

    Raises OvertakenError if it was changed or the holds were, HeldError if it is locked.
    """

    batched = True
    patient = False

    due: DueTask
    plan: Plan

    @classmethod
    def apply_all(cls, tx: Transaction, commands: Sequence["Fire"]) -> list[int | Exception]:
        if not tx.is_sqlite and any(each.plan.deferred_until for each in commands):
            _await_changes(tx)
        left = _planned_before(tx, commands)
        if not tx.is_sqlite:
            left |= _left_out(tx, [each for each in commands if each.due.id not in left])
        fired = [command for command in commands if command.due.id not in left]
        if not fired:
            return [left[command.due.id] for command in commands]
        opened = [_with_open_span(command, tx.now) for command in fired]
        _advance(tx, opened)
        ready = insert_planned(tx, [(command.due, command.plan.runs) for command in opened])
        return [left.get(command.due.id) or int(command.due.id in ready) for command in commands]


@dataclass(frozen=True, slots=True)
class PauseUnplannable(Command[bool]):
    """Pause a task whose schedule cannot be planned, so that it does not touch the others; nothing is deleted."""

    patient = False

    due: DueTask

    def apply(self, tx: Transaction) -> bool:
        unchanged = task.c.generation == self.due.generation
        ids = change_status(
            tx,
            [self.due.id],
            TaskStatus.PAUSED,
            SERVICE,
            still_active(),
            unchanged,
            reason=PauseReason.UNPLANNABLE,
            updated_at=tx.now,
        )
        if ids:
            block_waiting(tx, ids)
        return bool(ids)


def still_active() -> ColumnElement[bool]:
    """Guard: a task that was paused, cancelled or deleted meanwhile does not fire."""
    return task.c.status == TaskStatus.ACTIVE


def same_generation() -> ColumnElement[bool]:
    """Guard: a task that was edited meanwhile is planned again."""
    return task.c.generation == bindparam("g_generation")


def same_fire_time() -> ColumnElement[bool]:
    """Guard: what was fired meanwhile does not fire again."""
    return task.c.next_fire_at == bindparam("g_next_fire_at")


def same_move() -> ColumnElement[bool]:
    """Guard: a concurrent move of the next fire time wins, also where another one comes before it."""
    return task.c.moved_to_at.is_not_distinct_from(
        bindparam("g_moved_to_at", type_=task.c.moved_to_at.type)
    )


# Against `SetHold` and `EndHold` of other replicas.
_NO_CHANGES = text("LOCK TABLE hold IN SHARE MODE NOWAIT")


def _await_changes(tx: Transaction) -> None:
    """Let holds be changed before this or after it; who changes them looks at the tasks that are deferred by then."""
    tx.connection.execute(_NO_CHANGES)
    known_holds_of(tx.connection).written = read_version(tx.connection)


def _planned_before(tx: Transaction, commands: Sequence[Fire]) -> dict[Id, OvertakenError]:
    """Return the tasks that were planned with other holds than there are now, as far as this process knows.

    What it knows costs no statement, except after a change of holds.
    """
    known = known_holds_of(tx.connection)
    if any(each.due.holds_version != known.written for each in commands):
        known.written = read_version(tx.connection)
    return {
        each.due.id: OvertakenError("the holds were changed meanwhile")
        for each in commands
        if not is_current(each.due.holds_version, known.written)
    }


def is_current(read: HoldsVersion | None, present: HoldsVersion | None) -> bool:
    """Guard: a plan that was made before a change of holds is made again."""
    return read == present


def same_calendars() -> ColumnElement[bool]:
    """Guard: what was planned with days of calendars that have changed meanwhile is planned again."""
    planned_with = bindparam("g_calendars", type_=calendar_state.c.revision.type)
    return or_(planned_with.is_(None), planned_with == REVISION)


class _LockedRow(NamedTuple):
    """What the guards of the update are about, of a task that is locked."""

    id: Id
    status: str
    generation: int
    next_fire_at: datetime | None
    moved_to_at: datetime | None


_LOCK = (
    locking(*(task.c[name] for name in _LockedRow._fields))
    .where(is_one_of(task.c.id, "g_ids"))
    .with_for_update(skip_locked=True)
)


def _left_out(tx: Transaction, commands: Sequence[Fire]) -> dict[Id, OvertakenError]:
    """Lock tasks without waiting; return those that are not to be fired now, and why."""
    ids = [command.due.id for command in commands]
    rows = map(_LockedRow._make, tx.connection.execute(_LOCK, {"g_ids": ids}))
    locked = {row.id: row for row in rows}
    left: dict[Id, OvertakenError] = {}
    for command in commands:
        row = locked.get(command.due.id)
        if row is None:
            left[command.due.id] = HeldError("the task is locked by another transaction")
        elif not _is_as_read(command.due, row):
            left[command.due.id] = OvertakenError("the task was changed meanwhile")
    return left


def _is_as_read(due: DueTask, row: _LockedRow) -> bool:
    """Check the guards of the update beforehand, so that one task that was overtaken holds up no others."""
    now = row[1:]
    return now == (TaskStatus.ACTIVE, due.generation, due.next_fire_at, due.moved_to_at)


def _advance(tx: Transaction, commands: Sequence[Fire]) -> None:
    rows = [_advance_row(command, tx.now) for command in commands]
    with_calendars = any(command.due.calendars is not None for command in commands)
    guards = [still_active, same_generation, same_fire_time, same_move]
    guards += [same_calendars] if with_calendars else []
    advanced = _advancing(*guards).execute(tx.connection, rows)
    if advanced != len(rows):
        raise OvertakenError(f"{len(rows) - advanced} of {len(rows)} tasks were changed meanwhile")
    for command in commands:
        if command.plan.completed:
            due = command.due
            emit_status(tx, due.id, TaskStatus.COMPLETED, SERVICE, name=due.name)


@lru_cache
def _advancing(*guards: Callable[[], ColumnElement[bool]]) -> Bulk:
    return Bulk(
        update(task)
        .where(task.c.id == bindparam("g_id"), *(guard() for guard in guards))
        .values(
            next_fire_at=bindparam("n_next_fire_at"),
            fired=task.c.fired + bindparam("n_fired", type_=Integer),
            gap_run_id=bindparam("n_gap_run_id"),
            gap_until=bindparam("n_gap_until"),
            gap_catch_up=bindparam("n_gap_catch_up"),
            deferred_until=bindparam("n_deferred_until"),
            **completing_columns(),
        ),
        apart=True,
    )


def _advance_row(command: Fire, now: datetime) -> dict[str, Any]:
    plan = command.plan
    return {
        "g_id": command.due.id,
        "g_generation": command.due.generation,
        "g_next_fire_at": command.due.next_fire_at,
        "g_moved_to_at": command.due.moved_to_at,
        "g_calendars": command.due.calendars,
        "n_next_fire_at": plan.next_fire_at,
        "n_fired": plan.fired,
        "n_gap_run_id": _open_span_id(command),
        "n_deferred_until": plan.deferred_until,
        "n_gap_until": plan.gap.until if plan.gap else None,
        "n_gap_catch_up": plan.gap.catch_up if plan.gap else None,
        **completing(TaskStatus.ACTIVE, now, completed=plan.completed),
    }


def _open_span_id(command: Fire) -> Id | None:
    """Return the id of the span that what is skipped next is added to; a plan without runs leaves it as it is."""
    plan, span = command.plan, command.due.open_span
    if not plan.runs:
        return None if span is None else span.run_id
    return plan.runs[-1].id if plan.leaves_open else None


def _with_open_span(command: Fire, now: datetime) -> Fire:
    """Return the command with the id of the span that it leaves open: that of the one it adds to, or a new one."""
    plan, span = command.plan, command.due.open_span
    if not plan.leaves_open:
        return command
    last = plan.runs[-1]
    extends = span is not None and len(plan.runs) == 1 and last.reason is span.reason
    id = span.run_id if extends and span is not None else new_id(now)
    runs = (*plan.runs[:-1], replace(last, id=id))
    return replace(command, plan=replace(plan, runs=runs))
