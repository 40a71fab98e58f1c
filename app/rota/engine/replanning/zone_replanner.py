"""Replanning: what a change of the time zone database, on this or another replica, does to stored fire times."""

import structlog

from rota.clock import Clock
from rota.db.engine import Database
from rota.db.writer import Writer
from rota.domain.primitives.ids import Id
from rota.domain.time_zones.database import OF_THE_MACHINE, ZoneDatabase
from rota.domain.time_zones.zone import database as zone_database
from rota.store.scheduling.replanning import Replan, replanned_of, stored_fire_times
from rota.store.scheduling.zone_releases import (
    CurrentRelease,
    MarkMixed,
    RemoveUnusedReleases,
    SetCurrentRelease,
    StoreRelease,
    current_release,
    live_releases,
    other_releases,
    stored_release,
)

log = structlog.get_logger(__name__)

#: Tasks read in one transaction, and written in one.
BATCH = 200
# How often tasks that other transactions change meanwhile are read again.
_ROUNDS = 3


class Replanner:
    """Replans at the start, and whenever the live replicas change. The newest release of all live replicas rules."""

    def __init__(self, database: Database, writer: Writer, clock: Clock) -> None:
        self._database = database
        self._writer = writer
        self._clock = clock
        self._zones = zone_database()
        self._live: frozenset[str] = frozenset()

    @property
    def warnings(self) -> list[str]:
        """One warning if live replicas compute with different databases, otherwise none."""
        if len(self._live) < 2:
            return []
        releases = ", ".join(sorted(self._live))
        return [f"Live replicas compute with different time zone databases: {releases}."]

    def begin(self) -> None:
        """Store this replica's database, and replan what was computed with another one. Raises Unavailable."""
        self._writer.call(StoreRelease(self._zones))
        self._update()

    def check(self) -> None:
        """Replan if replicas with other databases have started or ended. Raises Unavailable."""
        with self._database.read() as connection:
            live = live_releases(connection)
        if live != self._live:
            self._update()

    def _update(self) -> None:
        mine = self._zones.release
        with self._database.read() as connection:
            live, current = live_releases(connection) | {mine}, current_release(connection)
        if len(live) > 1:
            log.warning("zones.differ", releases=sorted(live), mine=mine)
        if mine < max(live) or self._make_current(current, alone=len(live) == 1):
            self._live = live

    def _make_current(self, current: CurrentRelease | None, *, alone: bool) -> bool:
        """Replan stored fire times with this release if needed; False: another replica does it, check again."""
        mine = self._zones.release
        if current is None or current.release != mine or (current.mixed and alone):
            self._replan(self._before(current))
            if not self._writer.call(SetCurrentRelease(mine, current)):
                return False
        if not alone:
            self._writer.call(MarkMixed(mine))
        self._writer.call(RemoveUnusedReleases())
        return True

    def _before(self, current: CurrentRelease | None) -> ZoneDatabase:
        """Return the database that stored fire times were computed with, or may have been."""
        if current is None:
            return OF_THE_MACHINE
        with self._database.read() as connection:
            release = current.release
            if release == self._zones.release:  # other releases were live beside it
                others = other_releases(connection, release)
                release = others[0] if others else release
            return stored_release(connection, release) or self._zones

    def _replan(self, before: ZoneDatabase) -> None:
        """Replan all tasks; those that other transactions change meanwhile are read again."""
        for _ in range(_ROUNDS):
            replanned, overtaken = self._replan_once(before)
            if replanned:
                log.info(
                    "zones.replanned",
                    tasks=replanned,
                    before=before.release,
                    now=self._zones.release,
                )
            if not overtaken:
                return

    def _replan_once(self, before: ZoneDatabase) -> tuple[int, int]:
        """Return how many tasks were replanned, and how many were changed by another transaction first."""
        after: Id | None = None
        replanned = overtaken = 0
        while True:
            with self._database.read() as connection:
                page = stored_fire_times(connection, after, BATCH)
                now = self._clock.now()
                found, unplannable = replanned_of(connection, page, before, now)
            if unplannable:  # the firing pass pauses them when they are due
                log.warning("zones.unplannable", tasks=unplannable)
            if found:
                written = self._writer.call(Replan(tuple(found)))
                replanned, overtaken = replanned + written, overtaken + len(found) - written
            if len(page) < BATCH:
                return replanned, overtaken
            after = page[-1].id
