"""Whether a client keeps up with a minimum rate."""


class Pace:
    """Transferred bytes extend a deadline, never beyond the grace: a client that falls behind by the grace is slow."""

    __slots__ = ("_grace", "_rate", "_until")

    def __init__(self, rate: float, grace: float) -> None:
        self._rate = rate
        self._grace = grace
        self._until = 0.0

    def begin(self, now: float) -> None:
        """Restart, with the whole grace."""
        self._until = now + self._grace

    def moved(self, now: float, count: int) -> None:
        """Record that `count` bytes were transferred."""
        self._until = min(self._until + count / self._rate, now + self._grace)

    def is_too_slow(self, now: float) -> bool:
        """Return whether the grace is used up."""
        return now >= self._until
