"""Steps of the wall clock: it advanced by more, or by less, than the monotonic clock."""

import threading
from datetime import datetime

import structlog

from rota.clock import Clock

log = structlog.get_logger(__name__)

# Smaller differences between two checks (seconds) come from a clock that is being slewed.
_SMALLEST = 1.0
# A clock that was set forward by more than this (seconds) may be wrong, and may soon be set back.
_LARGE = 60.0
# For how many seconds nothing is removed by age after such a step.
_DOUBT = 3_600.0


class ClockSteps:
    """Detects steps of the wall clock, and whether it may be trusted to say that something is old.

    Every other effect of a wrong clock ends when it is corrected; deleted data does not come back.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last: tuple[datetime, float] = clock.now(), clock.monotonic()
        self._doubted_until = 0.0
        self._moved = 0.0

    def check(self) -> float:
        """Return by how many seconds the clock was set since the last check, 0 if it was not; log a step."""
        with self._lock:
            now, monotonic = self._clock.now(), self._clock.monotonic()
            last_now, last_monotonic = self._last
            self._last = now, monotonic
            step = (now - last_now).total_seconds() - (monotonic - last_monotonic)
            if step > _LARGE:
                self._doubted_until = monotonic + _DOUBT
            if abs(step) < _SMALLEST:
                return 0.0
            self._moved += step
        log.warning("clock.set", seconds=round(step, 3), now=now.isoformat())
        return step

    @property
    def moved(self) -> float:
        """By how many seconds the clock was set in total since the process began, whichever caller noticed it."""
        self.check()
        return self._moved

    @property
    def in_doubt(self) -> bool:
        """Whether the clock was set far forward within the last hour (monotonic)."""
        self.check()
        return self._clock.monotonic() < self._doubted_until
