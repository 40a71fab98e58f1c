"""Runs that wait for holds are released, in batches, when no hold matches their tasks any more."""

from collections.abc import Collection, Sequence

import structlog

from rota.clock import Clock
from rota.db.engine import Database
from rota.db.writer import Writer
from rota.domain.effects import Effect, HoldsChanged
from rota.domain.holds.model import Hold
from rota.domain.primitives.ids import NO_ID
from rota.engine.timing.wakeable_thread import WakeableThread
from rota.errors import Locked
from rota.store.holds.closing import CloseEnded, is_any_over
from rota.store.holds.lasting import lasting_holds
from rota.store.runs.holding import ReleaseHeld, held_of, held_page, is_any_held

log = structlog.get_logger(__name__)

#: Runs that are checked in one read, and released in one write.
BATCH = 200
# Seconds. A claim that has looked before a hold ended may block a run after that; a task that is changed may be held no
# more.
_AFTER_A_CHANGE = 3.0
_AGAIN = 60.0


class HeldRuns(WakeableThread):
    """A thread that looks, every `interval` seconds and when holds have changed, for runs that need not wait.

    One read, if no run waits for a hold. All of them are gone through when the holds that last are others than before.
    Holds that have ended by themselves are closed on the way.
    """

    def __init__(
        self, database: Database, writer: Writer, clock: Clock, interval: float = 1.0
    ) -> None:
        super().__init__("holds", self.look, interval)
        self._database = database
        self._writer = writer
        self._clock = clock
        #: The holds that lasted when all runs were gone through, and when that is due again (monotonic).
        self._swept: Collection[Hold] | None = None
        self._again_at = 0.0

    def committed(self, effects: Sequence[Effect]) -> None:
        """React to the effects of a commit; called in the writer's thread."""
        if any(isinstance(effect, HoldsChanged) for effect in effects):
            self.wake()

    def look(self) -> None:
        """Close holds that have ended, and release runs, if there may be some to release. Raises Unavailable."""
        now = self._clock.now()
        with self._database.read() as connection:
            over = is_any_over(connection, now)
            waits = is_any_held(connection)
            holds = lasting_holds(connection, now) if waits else []
        try:
            if over:
                self._writer.call(CloseEnded())
            if waits:
                self._release(holds)
        except Locked:  # the next look tries again
            log.info("holds.locked")

    def _release(self, holds: Sequence[Hold]) -> None:
        lasting = frozenset(holds)
        same = lasting == self._swept
        if same and self._clock.monotonic() < self._again_at:
            return
        self._swept = None  # until all of them have been gone through
        if not any(hold.selector.is_everything for hold in holds):
            self._sweep(holds)
        self._swept = lasting
        self._again_at = self._clock.monotonic() + (_AGAIN if same else _AFTER_A_CHANGE)

    def _sweep(self, holds: Sequence[Hold]) -> None:
        after = NO_ID
        while not self._stopped.is_set():
            with self._database.read() as connection:
                page = held_page(connection, after, BATCH)
                held = held_of(connection, page, holds)
            free = tuple(each.id for each in page if each.id not in held)
            if free:
                self._writer.call(ReleaseHeld(free))
            if len(page) < BATCH:
                return
            after = page[-1].id
