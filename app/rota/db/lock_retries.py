"""Commands that have met a lock of somebody else's: each is tried again, later and later, until its time is up."""

import heapq
from itertools import count
from typing import Generic, Protocol, TypeVar

from rota.clock import SystemClock

#: How long a command is tried, in seconds: less than an open request may take while the service stops.
PATIENCE = 4.0
FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 0.4


class Retried(Protocol):
    """What is tried again: until when (None: it has not been put back yet), and after which pause."""

    until: float | None
    pause: float


T = TypeVar("T", bound=Retried)


class PutBack(Generic[T]):
    """For the writer's thread alone; goes by the machine's clock, as those do who hold the locks."""

    def __init__(self) -> None:
        self._monotonic = SystemClock().monotonic
        # When to try, and a number that keeps those of one time in their order.
        self._heap: list[tuple[float, int, T]] = []
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._heap)

    def take(self, what: T) -> bool:
        """Take what is to be tried again; False if its time is up."""
        now = self._monotonic()
        if what.until is None:
            what.until = now + PATIENCE
        if now >= what.until:
            return False
        due = min(now + what.pause, what.until)
        what.pause = min(what.pause * 2, _LONGEST_PAUSE)
        heapq.heappush(self._heap, (due, next(self._numbers), what))
        return True

    def next_in(self) -> float | None:
        """Return in how many seconds something is to be tried; None if there is nothing."""
        return max(self._heap[0][0] - self._monotonic(), 0) if self._heap else None

    def take_due(self, most: int) -> list[T]:
        """Give what is to be tried now."""
        now = self._monotonic()
        due: list[T] = []
        while self._heap and self._heap[0][0] <= now and len(due) < most:
            due.append(heapq.heappop(self._heap)[2])
        return due

    def take_all(self) -> list[T]:
        """Give all of it, to be tried for the last time."""
        everything = [what for _, _, what in sorted(self._heap, key=lambda each: each[:2])]
        self._heap.clear()
        for what in everything:
            what.until = self._monotonic()
        return everything
