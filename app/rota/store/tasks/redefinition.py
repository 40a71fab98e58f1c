"""A registration of a task that exists: refused, kept, updated or replaced, as in the table of API.md."""

from dataclasses import replace
from datetime import datetime
from typing import assert_never

from sqlalchemy import exists, or_, select

from rota.db.command import Transaction
from rota.db.tables import backfill, run
from rota.domain.chains.fan_in import is_over
from rota.domain.primitives.ids import Id
from rota.domain.primitives.json import json_text
from rota.domain.primitives.json.unset import Unset
from rota.domain.reasons import CancelReason
from rota.domain.runs.planning import most_runs
from rota.domain.runs.status import RunStatus
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.calendar_use import without_days
from rota.domain.schedules.definitions import After
from rota.domain.schedules.fire_times import after_finish, fires_after_finish, first_fire
from rota.domain.schedules.past_times import check_ahead, check_not_past
from rota.domain.schedules.replanning.moved_fire_time import NextFire, begun_again
from rota.domain.tasks.definition import Applied, OnConflict, Registered, TaskDefinition, TaskStatus
from rota.domain.tasks.task import Task
from rota.errors import Conflict
from rota.store.chains.predecessors import forget_predecessors
from rota.store.follow_ups import follow_up
from rota.store.runs.cancellation import cancel_unfinished
from rota.store.scheduling.backfill_rows import end_backfills
from rota.store.task_changes import status_columns
from rota.store.task_rows import present_task
from rota.store.tasks.declaration import Declaration, Registration
from rota.store.tasks.next_fire import overridden, with_next_fire
from rota.store.tasks.save import save


def register_over(tx: Transaction, command: Declaration, existing: Task) -> Registration:
    """Register a task that exists; raises Conflict if it is to be rejected, or was changed concurrently."""
    same = same_definition(existing.definition, command.definition)
    match command.on_conflict:
        case OnConflict.REJECT:
            raise Conflict(
                f"There is a task {existing.name!r} already (generation {existing.generation}, {existing.status}). "
                "PUT it to update it, or choose another on_conflict.",
                slug="task-exists",
                present=present_task(existing),
            )
        case OnConflict.KEEP if _has_work_left(tx, existing):
            return Registration(
                task=existing, before=existing, outcome=Registered.KEPT, differs=not same
            )
        case OnConflict.UPDATE:
            return _update(tx, command, existing, same=same)
        case OnConflict.KEEP | OnConflict.REPLACE:
            return _replace(tx, command, existing)
        case _:
            assert_never(command.on_conflict)


def _has_work_left(tx: Transaction, existing: Task) -> bool:
    """Return whether a task is to be kept: it may fire no more, while its last run has not ended."""
    if existing.status is not TaskStatus.COMPLETED:
        return existing.status is not TaskStatus.CANCELLED
    unfinished = exists().where(run.c.task_id == existing.id, run.c.finished_at.is_(None))
    being_made = exists().where(backfill.c.task_id == existing.id, backfill.c.finished_at.is_(None))
    return bool(tx.connection.execute(select(or_(unfinished, being_made))).scalar_one())


def _update(tx: Transaction, command: Declaration, existing: Task, *, same: bool) -> Registration:
    """New definition, same history and kv; running work untouched; a registration never unpauses."""
    same_schedule = same_rule(existing, command)
    if not same_schedule:
        check_not_past(command.definition.schedule, tx.now)
    anchored_at = existing.anchored_at if same_schedule else tx.now
    changed = replace(
        with_next_fire(
            existing, _next_after_update(command, existing, tx.now, same_schedule=same_schedule)
        ),
        definition=command.definition,
        generation=existing.generation + (not same),
        anchored_at=anchored_at,
        fired=existing.fired if same_schedule else 0,
        declared=existing.declared or command.declared,
        updated_at=existing.updated_at if same else tx.now,
    )
    if not isinstance(command.next_fire, Unset):
        check_ahead(command.next_fire, tx.now)
        changed = overridden(changed, command.next_fire, tx.now)
    changed = _with_status(changed, command, tx.now)
    if replace(changed, declared=existing.declared) == existing:
        if changed.declared != existing.declared:
            save(tx, existing, changed)
        return Registration(task=changed, before=existing, outcome=Registered.UNCHANGED)
    changed = replace(changed, traceparent=command.traceparent)
    applied = _applied(tx, existing.id)
    save(tx, existing, changed)
    return Registration(task=changed, before=existing, outcome=Registered.UPDATED, applied=applied)


def _next_after_update(
    command: Declaration, existing: Task, now: datetime, *, same_schedule: bool
) -> NextFire:
    schedule = command.definition.schedule
    if not same_schedule:
        return NextFire(first_fire(schedule, Anchor(now, command.name)))
    if existing.status in {TaskStatus.ACTIVE, TaskStatus.PAUSED}:
        return existing.next_fire
    most = most_runs(schedule)
    if most is not None and existing.fired >= most:
        return NextFire(None, existing.next_fire.move)
    anchor = Anchor(existing.anchored_at, command.name)
    if fires_after_finish(schedule):
        return NextFire(after_finish(schedule, anchor, now))
    return begun_again(schedule, anchor, existing.next_fire, now)


def _replace(tx: Transaction, command: Declaration, existing: Task) -> Registration:
    """Unfinished runs are cancelled, the schedule starts anew; history and kv are kept."""
    check_not_past(command.definition.schedule, tx.now)
    end_backfills(tx, [existing.id])
    cancel_unfinished(tx, [existing.id], CancelReason.REPLACED)
    changed = replace(
        existing,
        definition=command.definition,
        generation=existing.generation + 1,
        anchored_at=tx.now,
        fired=0,
        updated_at=tx.now,
        traceparent=command.traceparent,
    )
    first = first_fire(command.definition.schedule, Anchor(tx.now, command.name))
    changed = with_next_fire(changed, NextFire(first))
    changed = _with_status(changed, command, tx.now)
    save(tx, existing, changed)
    forget_predecessors(tx, changed)
    # Here, and not only at the end of the command: successors that it registers next did not see these runs.
    follow_up(tx)
    return Registration(task=changed, before=existing, outcome=Registered.REPLACED)


def _with_status(changed: Task, command: Declaration, now: datetime) -> Task:
    """Return the task with the status that the registration leaves it in."""
    status = _status_after(changed, command, now)
    if status is changed.status:
        return changed
    return replace(
        changed,
        **status_columns(status, command.by, now),
    )


def _status_after(changed: Task, command: Declaration, now: datetime) -> TaskStatus:
    if command.paused or changed.status is TaskStatus.PAUSED:
        return TaskStatus.PAUSED
    waits = changed.status is TaskStatus.ACTIVE and fires_after_finish(changed.definition.schedule)
    schedule = changed.definition.schedule
    ended = isinstance(schedule, After) and is_over(schedule, changed.fired, now)
    fires = changed.next_fire_at is not None or changed.definition.fires_unscheduled
    return TaskStatus.ACTIVE if (fires and not ended) or waits else TaskStatus.COMPLETED


def _applied(tx: Transaction, task_id: Id) -> Applied:
    running = exists().where(run.c.task_id == task_id, run.c.status == RunStatus.RUNNING)
    is_running = tx.connection.execute(select(running)).scalar_one()
    return Applied.NEXT_RUN if is_running else Applied.IMMEDIATELY


def same_rule(existing: Task, command: Declaration) -> bool:
    """Return whether a registration keeps the schedule; what days its calendars have does not matter."""
    one, other = (each.definition.schedule for each in (existing, command))
    return without_days(one) == without_days(other)


def same_definition(one: TaskDefinition, other: TaskDefinition) -> bool:
    """Return whether two definitions are the same as JSON: defaults filled in, fields in any order, 1 is 1.0."""
    return json_text.equal(
        one.model_dump(mode="json", warnings=False), other.model_dump(mode="json", warnings=False)
    )
