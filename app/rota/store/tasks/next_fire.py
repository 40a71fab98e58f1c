"""The next fire time of a task, moved once: `PATCH next_fire_at` and `ctx.set_next_fire`."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import select, update

from rota.db.command import Transaction
from rota.db.tables import task
from rota.domain.effects import DueSooner, TaskChanged, TaskEvent
from rota.domain.primitives.ids import Id
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.replanning.moved_fire_time import NextFire, moved, taken_back
from rota.domain.step_budget import FOR_A_REGISTRATION, limited_to
from rota.domain.tasks.definition import TaskStatus
from rota.domain.tasks.task import Task
from rota.store.calendars.opening import opened_schedule
from rota.store.calendars.present import PresentCalendars
from rota.store.definitions import read_definition
from rota.store.task_changes import checked_soon, status_columns, watched_anew

_PRESENT = select(
    task.c.name,
    task.c.status,
    task.c.definition,
    task.c.anchored_at,
    task.c.next_fire_at,
    task.c.overrides_at,
    task.c.moved_to_at,
)


def overridden(found: Task, at: datetime | None, now: datetime) -> Task:
    """Return the task with `at` in place of its next fire time (None: as if that had not been moved)."""
    schedule, anchor = found.definition.schedule, found.anchor
    if at is None:
        return with_next_fire(found, taken_back(schedule, anchor, found.next_fire, now))
    return with_next_fire(found, moved(schedule, anchor, found.next_fire, at, now))


def with_next_fire(found: Task, next_fire: NextFire) -> Task:
    """Return the task with another next fire time."""
    return replace(found, **next_fire.columns)


def override_next_fire(tx: Transaction, task_id: Id, at: datetime, by: str) -> bool:
    """Move the next fire time of a locked task to `at`; False if the task is cancelled or removed."""
    alive = (task.c.id == task_id, task.c.status != TaskStatus.CANCELLED)
    row = tx.connection.execute(_PRESENT.where(*alive)).one_or_none()
    if row is None:
        return False
    present = NextFire.of(row.next_fire_at, row.overrides_at, row.moved_to_at)
    calendars = PresentCalendars(tx.connection)
    schedule = opened_schedule(read_definition(row.definition).schedule, calendars)
    anchor = Anchor(row.anchored_at, row.name)
    with limited_to(FOR_A_REGISTRATION):
        made = moved(schedule, anchor, present, at, tx.now)
    columns: dict[str, Any] = {**made.columns, **checked_soon(tx.now)}
    if row.status == TaskStatus.COMPLETED:
        columns |= {**status_columns(TaskStatus.ACTIVE, by, tx.now), **watched_anew(tx.now)}
    changed = tx.connection.execute(update(task).where(*alive).values(**columns, updated_at=tx.now))
    if changed.rowcount == 1:
        tx.effects += (TaskChanged(task_id, TaskEvent.UPDATED, by), DueSooner(made.at or at))
    return changed.rowcount == 1
