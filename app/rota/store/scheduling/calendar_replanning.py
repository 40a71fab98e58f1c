"""Stored fire times that are replaced because a calendar has changed: those of `fixed_delay`, and no others.

All others are fire times whether they are excluded or not: what a fire time becomes is decided when it is due.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection, select, update

from rota.db.command import Command, Transaction
from rota.db.tables import calendar, run, task, task_calendar
from rota.db.types import spelled_out
from rota.domain.primitives.ids import Id
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.replanning.calendar_changes import replanned_delay
from rota.domain.schedules.replanning.moved_fire_time import NextFire
from rota.domain.tasks.definition import TaskStatus
from rota.errors import Unplannable
from rota.store.calendars.opening import opened_schedule
from rota.store.calendars.present import PresentCalendars
from rota.store.definitions import read_definition
from rota.store.scheduling.replanning import Replanned, Stored

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ReplansEnded(Command[bool]):
    """The tasks of a calendar are replanned with this revision of it; False if it has changed since."""

    id: Id
    revision: Id

    def apply(self, tx: Transaction) -> bool:
        same = (calendar.c.id == self.id, calendar.c.revision == self.revision)
        changed = tx.connection.execute(update(calendar).where(*same).values(replans=False))
        return changed.rowcount == 1


def changed_calendars(connection: Connection) -> Sequence[tuple[Id, Id]]:
    """Return (id, revision) of the calendars whose tasks have yet to be replanned."""
    changed = select(calendar.c.id, calendar.c.revision).where(calendar.c.replans)
    return [(row.id, row.revision) for row in connection.execute(changed.order_by(calendar.c.id))]


def delays_with(
    connection: Connection, calendar_id: Id, behind: Id | None, limit: int
) -> Sequence[Any]:
    """Return up to `limit` rows of tasks, by id, that use a calendar and whose next fire time may depend on it."""
    wanted = (
        select(*(task.c[name] for name in Stored._fields), run.c.finished_at)
        .join(task_calendar, task_calendar.c.task_id == task.c.id)
        .outerjoin(run, run.c.id == task.c.last_run_id)
        .where(
            task_calendar.c.calendar_id == calendar_id,
            task.c.status.in_([spelled_out(TaskStatus.ACTIVE), spelled_out(TaskStatus.PAUSED)]),
            task.c.deleted_at.is_(None),
            task.c.next_fire_at.is_not(None),
            task.c.fires_after_finish,
        )
    )
    if behind is not None:
        wanted = wanted.where(task.c.id > behind)
    return connection.execute(wanted.order_by(task.c.id).limit(limit)).all()


def replanned_delays(connection: Connection, page: Sequence[Any], now: datetime) -> list[Replanned]:
    """Return the changed fire times of rows of `delays_with`; one that was set by hand stays."""
    calendars = PresentCalendars(connection)
    found: list[Replanned] = []
    for row in page:
        stored = Stored._make(getattr(row, name) for name in Stored._fields)
        if stored.next_fire.waiting is not None:
            continue
        schedule = opened_schedule(read_definition(stored.definition).schedule, calendars)
        anchor = Anchor(stored.anchored_at, stored.name)
        try:
            at = replanned_delay(schedule, anchor, stored.next_fire_at, row.finished_at, now)
        except Unplannable as error:  # the firing pass pauses it when it is due
            log.warning("calendars.unplannable", task=stored.name, error=error.detail)
            continue
        if at != stored.next_fire_at:
            found.append(Replanned(stored, NextFire(at, stored.next_fire.move)))
    return found
