"""Steps of the wall clock: it moved on by more, or by less, than the monotonic clock did."""

import threading
from datetime import datetime

import structlog

from rota.clock import Clock

log = structlog.get_logger(__name__)

# What adjusting a clock that is a little off may come to between two looks.
_SMALLEST = 1.0
# A clock that was set forward by more than this may be wrong, and set back soon.
_FAR = 60.0
# For how long what is old only by such a clock is kept.
_DOUBT = 3_600.0


class ClockSteps:
    """Tells of steps of the wall clock, and whether it may be trusted to say that something is old.

    Every other mistake of a clock passes when it is set right; what was deleted is gone.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: tuple[datetime, float] = clock.now(), clock.monotonic()
        self._doubted_until = 0.0

    def look(self) -> float:
        """Return by how many seconds the clock was set since the last look; tells the log if it was."""
        with self._lock:
            now, monotonic = self._clock.now(), self._clock.monotonic()
            wall, counted = self._seen
            self._seen = now, monotonic
            step = (now - wall).total_seconds() - (monotonic - counted)
            if step > _FAR:
                self._doubted_until = monotonic + _DOUBT
        if abs(step) < _SMALLEST:
            return 0.0
        log.warning("clock.set", seconds=round(step, 3), now=now.isoformat())
        return step

    @property
    def in_doubt(self) -> bool:
        """Whether the clock was set far forward within the last hour (monotonic)."""
        self.look()
        return self._clock.monotonic() < self._doubted_until
