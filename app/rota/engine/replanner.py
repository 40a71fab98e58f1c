"""The time zone database of this replica, those of the others, and what a change of it does to stored fire times."""

import structlog

from rota.clock import Clock
from rota.db.engine import Database
from rota.db.writer import Writer
from rota.domain.primitives.ids import Id
from rota.domain.time_zones.database import OF_THE_MACHINE, ZoneDatabase
from rota.domain.time_zones.zone import database as zone_database
from rota.errors import Unavailable
from rota.store.scheduling.replanning import Replan, replanned_of, stored_fire_times
from rota.store.scheduling.zone_releases import (
    ForgetReleases,
    KeepRelease,
    NoteMixed,
    Rule,
    Ruling,
    kept_release,
    live_releases,
    other_releases,
    ruling_release,
)

log = structlog.get_logger(__name__)

#: Tasks looked at in one read, and written at once.
BATCH = 200
# What others change while it is read is looked at once more, so often.
_ROUNDS = 3


class Replanning:
    """Looks at the start, and whenever other replicas come and go. The newest release of all live replicas rules."""

    def __init__(self, database: Database, writer: Writer, clock: Clock) -> None:
        self._database = database
        self._writer = writer
        self._clock = clock
        self._zones = zone_database()
        self._live: frozenset[str] = frozenset()

    @property
    def warnings(self) -> list[str]:
        """What is not as it should be: nothing, if all replicas compute with the same database."""
        if len(self._live) < 2:
            return []
        named = ", ".join(sorted(self._live))
        return [f"Live replicas compute with different time zone databases: {named}."]

    def begin(self) -> None:
        """Keep this replica's database, and replan what was computed with another one. Raises Unavailable."""
        self._writer.call(KeepRelease(self._zones))
        self._look()

    def look(self) -> None:
        """Look whether other replicas have come or gone."""
        try:
            with self._database.read() as connection:
                live = live_releases(connection)
            if live != self._live:
                self._look()
        except Unavailable as error:
            log.warning("zones.unavailable", error=error.detail)
        except Exception:
            log.exception("zones.failed")

    def _look(self) -> None:
        mine = self._zones.release
        with self._database.read() as connection:
            live, ruling = live_releases(connection) | {mine}, ruling_release(connection)
        if len(live) > 1:
            log.warning("zones.differ", releases=sorted(live), mine=mine)
        if mine < max(live) or self._rule(ruling, alone=len(live) == 1):
            self._live = live

    def _rule(self, ruling: Ruling | None, *, alone: bool) -> bool:
        """See to it that stored fire times are those of this release; False: another replica does so, look again."""
        mine = self._zones.release
        if ruling is None or ruling.release != mine or (ruling.mixed and alone):
            self._replan(self._before(ruling))
            if not self._writer.call(Rule(mine, ruling)):
                return False
        if not alone:
            self._writer.call(NoteMixed(mine))
        self._writer.call(ForgetReleases())
        return True

    def _before(self, ruling: Ruling | None) -> ZoneDatabase:
        """Return what stored fire times were computed with, or may have been."""
        if ruling is None:
            return OF_THE_MACHINE
        with self._database.read() as connection:
            release = ruling.release
            if release == self._zones.release:  # there were others beside it
                others = other_releases(connection, release)
                release = others[0] if others else release
            return kept_release(connection, release) or self._zones

    def _replan(self, before: ZoneDatabase) -> None:
        """Go through all tasks; those that others change meanwhile are looked at again."""
        for _ in range(_ROUNDS):
            replanned, overtaken = self._go_through(before)
            if replanned:
                log.info(
                    "zones.replanned",
                    tasks=replanned,
                    before=before.release,
                    now=self._zones.release,
                )
            if not overtaken:
                return

    def _go_through(self, before: ZoneDatabase) -> tuple[int, int]:
        behind: Id | None = None
        replanned = overtaken = 0
        while True:
            with self._database.read() as connection:
                page = stored_fire_times(connection, behind, BATCH)
                now = self._clock.now()
                found, unplannable = replanned_of(connection, page, before, now)
            if unplannable:  # the firing pass pauses them when they are due
                log.warning("zones.unplannable", tasks=unplannable)
            if found:
                written = self._writer.call(Replan(tuple(found)))
                replanned, overtaken = replanned + written, overtaken + len(found) - written
            if len(page) < BATCH:
                return replanned, overtaken
            behind = page[-1].id
