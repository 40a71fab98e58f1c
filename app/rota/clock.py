"""The only place that reads the time."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Wall-clock time for times that are shown or stored, monotonic time for durations."""

    def now(self) -> datetime:
        """Return the time in UTC, truncated to the millisecond (the precision of the wire format)."""

    def monotonic(self) -> float:
        """Return seconds since some fixed instant; it never decreases."""


class SystemClock:
    """The clock of the machine."""

    def now(self) -> datetime:
        # Milliseconds as a float are as exact as microseconds are.
        return datetime.fromtimestamp(time.time_ns() // 1_000_000 / 1_000, UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class FakeClock:
    """A clock for tests: it changes only when `advance` or `set` is called."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._monotonic = 0.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, by: timedelta) -> None:
        """Move both clocks forward by `by`."""
        self._now += by
        self._monotonic += by.total_seconds()

    def set(self, now: datetime) -> None:
        """Set the wall clock, also backwards, as an administrator can; the monotonic one does not change."""
        self._now = now
