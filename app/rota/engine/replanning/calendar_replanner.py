"""Replanning after changes of calendars, and of the rules of holidays, by any replica."""

import structlog

from rota.clock import Clock
from rota.db.engine import Database
from rota.db.writer import Writer
from rota.domain.calendars.holiday_rules import library_version
from rota.domain.primitives.ids import Id
from rota.errors import Locked
from rota.store.calendars.changes import UpdateHolidays
from rota.store.scheduling.calendar_replanning import (
    ReplansEnded,
    changed_calendars,
    delays_with,
    replanned_delays,
)
from rota.store.scheduling.replanning import Replan

log = structlog.get_logger(__name__)

#: Tasks read in one transaction, and written in one.
BATCH = 200
# How often tasks that other transactions change meanwhile are read again.
_ROUNDS = 3


class CalendarReplanner:
    """Replans what calendars that have changed concern. What is left to do is stored with the calendars.

    So it is done after a crash, and by another replica: to do it twice changes nothing.
    """

    def __init__(self, database: Database, writer: Writer, clock: Clock) -> None:
        self._database = database
        self._writer = writer
        self._clock = clock

    def begin(self) -> None:
        """Record the rules of holidays that this replica has: newer ones change the calendars of holidays."""
        version = library_version()
        if version is not None and self._writer.call(UpdateHolidays(version)):
            log.info("calendars.holidays_updated", version=version)
        self.check()

    def check(self) -> None:
        """Replan the tasks of calendars that have changed. Raises Unavailable."""
        with self._database.read() as connection:
            changed = changed_calendars(connection)
        for id, revision in changed:
            try:
                self._replan(id)
                self._writer.call(ReplansEnded(id, revision))
            except Locked:  # the next check does it
                log.info("calendars.locked", calendar=id)

    def _replan(self, id: Id) -> None:
        for _ in range(_ROUNDS):
            replanned, overtaken = self._replan_once(id)
            if replanned:
                log.info("calendars.replanned", calendar=id, tasks=replanned)
            if not overtaken:
                return

    def _replan_once(self, id: Id) -> tuple[int, int]:
        """Return how many tasks were replanned, and how many were changed by another transaction first."""
        after: Id | None = None
        replanned = overtaken = 0
        while True:
            with self._database.read() as connection:
                page = delays_with(connection, id, after, BATCH)
                found = replanned_delays(connection, page, self._clock.now())
            if found:
                written = self._writer.call(Replan(tuple(found)))
                replanned, overtaken = replanned + written, overtaken + len(found) - written
            if len(page) < BATCH:
                return replanned, overtaken
            after = page[-1].id
