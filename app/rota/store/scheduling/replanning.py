"""Stored fire times that are replaced because the time zone database has changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, select, update

from rota.db.command import Command, Transaction
from rota.db.tables import run, task
from rota.domain.effects import DueSooner
from rota.domain.primitives.ids import Id
from rota.domain.runs.status import Trigger
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.replanning.moved_fire_time import NextFire
from rota.domain.schedules.replanning.zone_changes import replanned_next_fire
from rota.domain.step_budget import FOR_A_PLAN, limited_to
from rota.domain.tasks.definition import TaskStatus
from rota.domain.time_zones.database import ZoneDatabase
from rota.errors import Unplannable
from rota.store.calendars.opening import opened_schedule
from rota.store.calendars.present import PresentCalendars
from rota.store.definitions import read_definition
from rota.store.task_changes import SERVICE, change_status, checked_soon

# Definitions without a zone, which are most, are not read at all.
_WITH_A_ZONE = task.c.definition.contains('"timezone"')
_FIRING = (TaskStatus.ACTIVE, TaskStatus.PAUSED)


class Stored(NamedTuple):
    """When a task fires next, as it was read."""

    id: Id
    name: str
    generation: int
    definition: str
    anchored_at: datetime
    next_fire_at: datetime
    overrides_at: datetime | None
    moved_to_at: datetime | None

    @property
    def next_fire(self) -> NextFire:
        """With the fire time that was moved last."""
        return NextFire.of(self.next_fire_at, self.overrides_at, self.moved_to_at)


class Replanned(NamedTuple):
    """A stored next fire time and its replacement; without a time: nothing is left to fire."""

    stored: Stored
    next_fire: NextFire


@dataclass(frozen=True, slots=True)
class Replan(Command[int]):
    """Replace next fire times; return how many. A task that was changed or fired meanwhile stays as it is."""

    tasks: tuple[Replanned, ...]

    def apply(self, tx: Transaction) -> int:
        # By id, the order in which all tasks are locked.
        in_order = sorted(self.tasks, key=lambda found: found.stored.id)
        return sum(_replace(tx, found) for found in in_order)


def stored_fire_times(connection: Connection, behind: Id | None, limit: int) -> list[Stored]:
    """Return up to `limit` tasks, by id, that have a next fire time and a zone somewhere in their definition."""
    wanted = select(*(task.c[name] for name in Stored._fields)).where(
        task.c.status.in_(_FIRING),
        task.c.deleted_at.is_(None),
        task.c.next_fire_at.is_not(None),
        _WITH_A_ZONE,
    )
    if behind is not None:
        wanted = wanted.where(task.c.id > behind)
    return [
        Stored._make(row) for row in connection.execute(wanted.order_by(task.c.id).limit(limit))
    ]


def replanned_of(
    connection: Connection, page: Sequence[Stored], before: ZoneDatabase, now: datetime
) -> tuple[list[Replanned], list[str]]:
    """Return the changed ones of fire times that were computed with the database `before`.

    And the names of the tasks that cannot be planned.
    """
    found: list[Replanned] = []
    unplannable: list[str] = []
    calendars = PresentCalendars(connection)
    for stored in page:
        try:
            with limited_to(FOR_A_PLAN):
                next_fire = _replanned(connection, stored, calendars, before, now)
        except (Unplannable, ArithmeticError, LookupError, ValueError):
            unplannable.append(stored.name)
            continue
        if next_fire != stored.next_fire:
            found.append(Replanned(stored, next_fire))
    return found, unplannable


def _replanned(
    connection: Connection,
    stored: Stored,
    calendars: PresentCalendars,
    before: ZoneDatabase,
    now: datetime,
) -> NextFire:
    return replanned_next_fire(
        opened_schedule(read_definition(stored.definition).schedule, calendars),
        Anchor(stored.anchored_at, stored.name),
        stored.next_fire,
        now,
        before=before,
        has_run=partial(_has_run, connection, stored),
    )


def _has_run(connection: Connection, stored: Stored, at: datetime) -> bool:
    """Return whether a fire time of the present schedule has its run, or lies in a span of skipped ones."""
    latest = (
        select(run.c.scheduled_for, run.c.scheduled_until)
        .where(
            run.c.task_id == stored.id,
            run.c.trigger == Trigger.SCHEDULE,
            run.c.scheduled_for <= at,
        )
        .order_by(run.c.scheduled_for.desc())
        .limit(1)
    )
    found = connection.execute(latest).one_or_none()
    return found is not None and at <= (found.scheduled_until or found.scheduled_for)


def still_fires() -> ColumnElement[bool]:
    """Guard: a task that was cancelled or completed meanwhile keeps its next fire time."""
    return task.c.status.in_(_FIRING)


def same_generation(stored: Stored) -> ColumnElement[bool]:
    """Guard: a concurrent edit wins."""
    return task.c.generation == stored.generation


def same_fire_time(stored: Stored) -> ColumnElement[bool]:
    """Guard: what was fired meanwhile does not fire again."""
    return task.c.next_fire_at == stored.next_fire_at


def same_move(stored: Stored) -> ColumnElement[bool]:
    """Guard: a concurrent move of the next fire time wins, also where another one comes before it."""
    return and_(
        task.c.overrides_at.is_not_distinct_from(stored.overrides_at),
        task.c.moved_to_at.is_not_distinct_from(stored.moved_to_at),
    )


def _replace(tx: Transaction, found: Replanned) -> int:
    stored, next_fire = found
    changed = tx.connection.execute(
        update(task)
        .where(
            task.c.id == stored.id,
            still_fires(),
            same_generation(stored),
            same_fire_time(stored),
            same_move(stored),
        )
        .values(**next_fire.columns, **checked_soon(tx.now))
    ).rowcount
    if not changed:
        return 0
    if next_fire.at is not None:
        tx.effects.append(DueSooner(next_fire.at))
    else:
        # A paused one is completed when it is resumed.
        is_active = task.c.status == TaskStatus.ACTIVE
        change_status(tx, [stored.id], TaskStatus.COMPLETED, SERVICE, is_active)
    return changed
