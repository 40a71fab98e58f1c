"""The watchdog: checks the service at intervals of the monotonic clock, whatever the wall clock is set to."""

import faulthandler
from collections.abc import Callable

from rota.clock import Clock
from rota.engine.timing.wakeable_thread import WakeableThread

# How many seconds a stop waits for a check.
_STOP_TIMEOUT = 2.0


class Watchdog(WakeableThread):
    """Calls `check` every `interval` seconds, with the seconds for which the whole process stood still.

    A process stands still when it is suspended, or when a thread keeps the interpreter lock. With a `freeze_limit`
    (seconds; 0: none), a process that stands still for longer is terminated by a thread that needs no interpreter; the
    stacks of all threads are written to stderr.
    """

    def __init__(
        self,
        interval: float,
        check: Callable[[float], None],
        clock: Clock,
        freeze_limit: float = 0.0,
    ) -> None:
        super().__init__("watchdog", self._check, interval, stop_timeout=_STOP_TIMEOUT)
        self._seconds = interval
        self._on_check = check
        self._clock = clock
        self._freeze_limit = freeze_limit
        self._checked_at = clock.monotonic()

    def start(self) -> None:
        self._checked_at = self._clock.monotonic()
        self._arm()
        super().start()

    def stop(self) -> None:
        super().stop()
        if self._freeze_limit:
            faulthandler.cancel_dump_traceback_later()

    def _check(self) -> None:
        self._arm()
        stood_still = self._clock.monotonic() - self._checked_at - self._seconds
        try:
            self._on_check(max(stood_still, 0.0))
        finally:
            self._checked_at = self._clock.monotonic()

    def _arm(self) -> None:
        if self._freeze_limit:
            faulthandler.dump_traceback_later(self._freeze_limit, exit=True)
