"""Whether the other side keeps up with the least rate."""


class Pace:
    """Bytes buy time, never more than the grace: whoever falls behind by it, or stands still for so long, is slow."""

    __slots__ = ("_grace", "_rate", "_until")

    def __init__(self, rate: float, grace: float) -> None:
        self._rate = rate
        self._grace = grace
        self._until = 0.0

    def begin(self, now: float) -> None:
        """Start anew, with the whole grace."""
        self._until = now + self._grace

    def moved(self, now: float, count: int) -> None:
        """Note that so many bytes have gone through."""
        self._until = min(self._until + count / self._rate, now + self._grace)

    def is_too_slow(self, now: float) -> bool:
        """Tell whether the grace is used up."""
        return now >= self._until
