"""The ends of holds: tasks that were deferred by one are checked again as soon as nothing holds them."""

from collections.abc import Iterator, Sequence
from datetime import datetime

import structlog

from rota.clock import Clock
from rota.db.engine import Database
from rota.db.writer import Writer
from rota.domain.effects import Effect, HoldsChanged
from rota.domain.holds.held import Holds
from rota.engine.timing.wakeable_thread import WakeableThread
from rota.errors import Locked
from rota.store.holds.reading import holds_that_matter
from rota.store.scheduling.held_tasks import (
    DeferredTask,
    EndDeferral,
    Place,
    deferred_tasks,
    earliest_deferred,
)

log = structlog.get_logger(__name__)

#: Tasks released in one write.
BATCH = 500
# How many seconds until it looks again, if another transaction has locked a task.
_AFTER_A_LOCK = 0.2


class HoldReleaser(WakeableThread):
    """A thread that looks at the deferred tasks when the holds have changed, and whenever one ends.

    Between these it reads when the first one is due, and nothing else of the tasks. Another replica may change holds,
    so it reads their version every `interval` seconds. A task whose hold continues stays deferred and is not written.
    """

    def __init__(
        self, database: Database, writer: Writer, clock: Clock, interval: float = 1.0
    ) -> None:
        super().__init__("releasing", self._work_once, interval)
        self._database = database
        self._writer = writer
        self._clock = clock
        self._longest_wait = interval
        # The holds as of the last complete look, and when that was; None: there was none since the start.
        self._looked: tuple[Holds, datetime] | None = None

    def committed(self, effects: Sequence[Effect]) -> None:
        """Wake up if a commit has changed a hold."""
        if any(isinstance(effect, HoldsChanged) for effect in effects):
            self.wake()

    def make_pass(self) -> datetime | None:
        """Release the tasks that are not held any more; return when the next hold begins or ends."""
        now = self._clock.now()
        with self._database.read() as connection:
            holds = holds_that_matter(connection)
            due_at = earliest_deferred(connection)
        is_due = due_at is not None and due_at <= now
        if (is_due or self._is_to_look(holds, now)) and self._look(holds, now):
            self._looked = holds, now
        return holds.next_change(now)

    def _work_once(self) -> float:
        following = self.make_pass()
        if self._looked is None:
            return _AFTER_A_LOCK
        if following is None:
            return self._longest_wait
        ahead = (following - self._clock.now()).total_seconds()
        return min(max(ahead, 0.0), self._longest_wait)

    def _is_to_look(self, holds: Holds, now: datetime) -> bool:
        if self._looked is None:
            return True
        known, looked_at = self._looked
        if known.version != holds.version or now < looked_at:  # the clock was set back
            return True
        following = holds.next_change(looked_at)
        return following is not None and following <= now

    def _look(self, holds: Holds, now: datetime) -> bool:
        """Look at all deferred tasks; return whether each that is not held any more was released."""
        self._looked = None
        complete = True
        for page in self._pages(with_tags=holds.look_at_tags):
            free = [task for task in page if _is_free(task, holds, now)]
            if self._stopped.is_set():
                return False
            complete &= self._release(free)
        return complete

    def _release(self, free: Sequence[DeferredTask]) -> bool:
        if not free:
            return True
        try:
            return self._writer.call(EndDeferral(tuple(task.id for task in free))) == len(free)
        except Locked:
            log.info("releasing.locked")
            return False

    def _pages(self, *, with_tags: bool) -> Iterator[list[DeferredTask]]:
        after: Place | None = None
        while True:
            with self._database.read() as connection:
                page = deferred_tasks(connection, after, BATCH, with_tags=with_tags)
            yield page
            if len(page) < BATCH:
                return
            after = page[-1].place


def _is_free(task: DeferredTask, holds: Holds, now: datetime) -> bool:
    """Return whether firing is to look at a task again: nothing defers it, or its time has come.

    That may be before the end of the hold, if that was extended: then it is deferred until the new end.
    """
    if task.deferred_until <= now:
        return True
    return not holds.defers(task.name, task.queue, task.tags, now)
