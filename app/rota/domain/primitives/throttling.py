"""Throttling of log lines for frequent events. Pure; the time (monotonic seconds) is an argument."""

from collections import Counter

#: How many events of a second have lines of their own; the others are counted.
MOST_LINES = 20
#: How long events are counted before the count is logged, in seconds.
SPAN = 1.0


class LineThrottle:
    """Lets single lines through as long as few come, and counts while many do.

    A second with more than `MOST_LINES` events logs the rest of them as one count. While that continues, the
    next seconds are counts alone: twenty lines picked at random are of no use. A quiet second ends that.
    """

    __slots__ = ("_began", "_busy", "_counts", "_lines", "_taken")

    def __init__(self) -> None:
        self._began = float("-inf")
        self._taken = float("-inf")
        self._lines = 0
        self._busy = False
        self._counts: Counter[str] = Counter()

    def admit(self, kind: str, now: float) -> bool:
        """Return whether an event gets a line of its own; if not, it is counted."""
        if now - self._began >= SPAN and not self._counts:
            self._busy = self._busy and now - self._taken < SPAN
            self._began, self._lines = now, 0
        if not self._busy and self._lines < MOST_LINES:
            self._lines += 1
            return True
        self._counts[kind] += 1
        return False

    def due_in(self, now: float) -> float:
        """Return the seconds until the count is to be logged."""
        return max(self._began + SPAN - now, 0.0)

    def take(self, now: float) -> dict[str, int]:
        """Return how many of each kind were counted since the last time, and begin to count anew."""
        counts = dict(self._counts.most_common())
        self._busy = self._lines + sum(counts.values()) > MOST_LINES
        self._counts.clear()
        self._began, self._taken, self._lines = now, now, 0
        return counts
