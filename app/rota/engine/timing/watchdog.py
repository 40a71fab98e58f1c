"""The watchdog: looks around by the monotonic clock, so that a clock set back cannot silence the service."""

import faulthandler
from collections.abc import Callable

from rota.clock import Clock
from rota.engine.timing.periodic import Periodic


class Watchdog:
    """A thread of its own that calls `look` every `interval` seconds.

    `look` is told for how many seconds longer than that the whole process stood still: because it was suspended, or
    because somebody held the interpreter lock. With `freeze_limit`, a process that stands still for so long is ended,
    by a thread that needs no interpreter; the stacks of all threads are written to stderr.
    """

    def __init__(
        self,
        interval: float,
        look: Callable[[float], None],
        clock: Clock,
        freeze_limit: float = 0.0,
    ) -> None:
        self._interval = interval
        self._look = look
        self._clock = clock
        self._freeze_limit = freeze_limit
        self._looked_at = clock.monotonic()
        self._periodic = Periodic(interval, self._round, "watchdog")

    def start(self) -> None:
        self._looked_at = self._clock.monotonic()
        self._arm()
        self._periodic.start()

    def stop(self) -> None:
        self._periodic.stop()
        if self._freeze_limit:
            faulthandler.cancel_dump_traceback_later()

    def _round(self) -> None:
        self._arm()
        now = self._clock.monotonic()
        still = max(now - self._looked_at - self._interval, 0.0)
        try:
            self._look(still)
        finally:
            self._looked_at = self._clock.monotonic()

    def _arm(self) -> None:
        if self._freeze_limit:
            faulthandler.dump_traceback_later(self._freeze_limit, exit=True)
