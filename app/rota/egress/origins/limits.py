"""The limits of calls to one origin: how many at once, how many in a second, and none while it asks for a pause.

The rate is a token bucket, kept as the time at which it is full again (the generic cell rate algorithm of ITU-T I.371).

Pure: times are arguments, in seconds of a monotonic clock.
"""

from dataclasses import dataclass

# How much later than the first one in line the last one asks again, and the longest pause that an origin can ask for.
LONGEST_WAIT = 60.0
# Of the mean duration of calls, the weight of the latest one.
_WEIGHT = 0.2
_FIRST_GUESS = 0.05
# Callers that cannot be given a time of their own are spread over the second half of the longest wait.
_GOLDEN = 0.618_033_988_75


@dataclass(frozen=True, slots=True)
class LimitRules:
    """The most calls to an origin at once, and how many may begin in a second (0: any number)."""

    at_once: int
    rate: float = 0.0

    @property
    def burst(self) -> float:
        """How many calls may begin together after a pause: as many as in a second, but at least one."""
        return max(self.rate, 1.0)


class OriginLimits:
    """The calls to one origin that are under way, and the times that those that wait were given."""

    def __init__(self, rules: LimitRules) -> None:
        self._rules = rules
        # When the permission of each call expires: a call whose thread hangs does not hold its place for ever.
        self._running: dict[int, float] = {}
        self._numbers = 0
        self._full_again = 0.0
        self._held_until = 0.0
        self._mean = _FIRST_GUESS
        # The time that the last one in line was given, and how many were sent away without one.
        self._line = 0.0
        self._sent_away = 0

    @property
    def is_idle(self) -> bool:
        return not self._running

    def enter(self, now: float, expires: float) -> int | None:
        """Count a call that begins now and has ended at `expires`; return its number, None if it must not begin."""
        if now < self._held_until or self._token_at(now) > now or self._is_full(now):
            return None
        if self._rules.rate:
            self._full_again = max(self._full_again, now) + 1 / self._rules.rate
        self._numbers += 1
        self._running[self._numbers] = expires
        return self._numbers

    def leave(self, number: int, took: float | None) -> None:
        """Count a call no more; it took so many seconds (None: it was not made)."""
        self._running.pop(number, None)
        if took is not None:
            self._mean += _WEIGHT * (took - self._mean)

    def hold(self, seconds: float, now: float) -> None:
        """Let no call begin for so long, since the origin has asked for that."""
        self._held_until = max(self._held_until, now + min(seconds, LONGEST_WAIT))

    def wait(self, now: float) -> float:
        """Return after how many seconds a caller that was refused is to ask again: each has a place in a line."""
        spacing = self._spacing()
        first = max(self._held_until, self._token_at(now))
        if first <= now:  # as many as allowed are under way: one of them ends about then
            first = now + spacing
        slot = max(self._line + spacing, first)
        if slot - first <= LONGEST_WAIT:
            self._line = slot
            return slot - now
        self._sent_away += 1
        return first - now + LONGEST_WAIT * (0.5 + self._sent_away * _GOLDEN % 1 / 2)

    def _is_full(self, now: float) -> bool:
        if len(self._running) < self._rules.at_once:
            return False
        over = [number for number, expires in self._running.items() if expires <= now]
        for number in over:
            del self._running[number]
        return not over

    def _token_at(self, now: float) -> float:
        """Return when the next call may begin as far as the rate is concerned."""
        if not self._rules.rate:
            return now
        return self._full_again - (self._rules.burst - 1) / self._rules.rate

    def _spacing(self) -> float:
        """Return how many seconds apart calls can begin while as many as possible are under way."""
        by_rate = 1 / self._rules.rate if self._rules.rate else 0.0
        return max(self._mean / self._rules.at_once, by_rate)
