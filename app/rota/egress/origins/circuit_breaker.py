"""The circuit breaker of an origin: after several calls in a row that found it down, it is called no more for a while.

Closed: all calls pass. Open: none does, until a time. Then half-open: one call passes, the probe. If that finds the
origin up, the circuit is closed; if not, it stays open for twice as long, up to a bound.

Pure: times are arguments, in seconds of a monotonic clock.
"""

from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import assert_never

# Of an open time, the part by which it may be shorter: many circuits that opened together do not probe together.
_JITTER = 0.2
#: Those that wait come back in groups, so that their number does not matter: so many, at this interval (seconds).
GROUP = 10
INTERVAL = 0.2


class Verdict(StrEnum):
    """What follows from a call for its origin: it is up, down, or neither is known."""

    UP = "up"  # it was reached
    DOWN = "down"  # it was not reached, or is a gateway without the service behind it
    UNKNOWN = "unknown"  # the call was not made, or was given up


class Change(StrEnum):
    """What the report of a call has changed."""

    OPENED = "opened"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class CircuitRules:
    """When circuits open, and for how long (seconds); with `failures` 0 they never do."""

    failures: int
    first_open: float
    longest_open: float


@dataclass(frozen=True, slots=True, eq=False)
class Ticket:
    """The permission for one call; `era`: how often the circuit had been opened or closed when it was given."""

    era: int
    is_probe: bool
    expires: float


class CircuitBreaker:
    """The circuit of one origin."""

    def __init__(self, rules: CircuitRules, seed: str) -> None:
        """`seed` determines the jitter."""
        self._rules = rules
        self._seed = seed
        self._era = 0
        self._failures = 0
        # None: it is closed.
        self._open_until: float | None = None
        self._openings = 0
        self._probe: Ticket | None = None
        # How many callers got a time to try again since it was opened last.
        self._waiting = 0

    @property
    def is_closed(self) -> bool:
        return self._open_until is None

    @property
    def is_untouched(self) -> bool:
        """Whether nothing is lost if it is forgotten."""
        return self.is_closed and not self._failures

    def admit(self, now: float, expires: float) -> Ticket | None:
        """Return the permission for a call that has ended at `expires`; None if it must not be made now."""
        if self._open_until is None:
            return Ticket(self._era, is_probe=False, expires=expires)
        if now < self._open_until or (self._probe is not None and now < self._probe.expires):
            return None
        self._probe = Ticket(self._era, is_probe=True, expires=expires)
        return self._probe

    def report(self, ticket: Ticket, verdict: Verdict, now: float) -> Change | None:
        """Note how a call has gone. Calls that began before the circuit was opened or closed have no effect."""
        if ticket.era != self._era or (ticket.is_probe and ticket is not self._probe):
            return None
        match verdict:
            case Verdict.UP:
                return self._found_up()
            case Verdict.DOWN:
                return self._found_down(now)
            case Verdict.UNKNOWN:
                self._probe = None
                return None
            case _:
                assert_never(verdict)

    def come_back_at(self, now: float) -> float:
        """Return when a caller that was refused is to ask again: the first one when it can be the probe.

        The others come in groups behind it. While a probe is under way, they wait for as long as the circuit was open.
        """
        place = self._waiting // GROUP * INTERVAL
        self._waiting += 1
        until = self._open_until or now
        base = until if now < until else now + self._longest(self._openings)
        return base + place % self._rules.longest_open

    def _found_up(self) -> Change | None:
        self._failures = 0
        if self.is_closed:
            return None
        self._era += 1
        self._open_until = self._probe = None
        self._openings = 0
        return Change.CLOSED

    def _found_down(self, now: float) -> Change | None:
        if not self.is_closed:
            self._open(now)
            return None
        self._failures += 1
        if not self._rules.failures or self._failures < self._rules.failures:
            return None
        self._era += 1
        self._open(now)
        return Change.OPENED

    def _open(self, now: float) -> None:
        self._openings += 1
        self._waiting = 0
        self._probe = None
        part = Random(f"{self._seed}/{self._openings}").random()  # noqa: S311  # not a secret
        self._open_until = now + self._longest(self._openings) * (1 - _JITTER * part)

    def _longest(self, openings: int) -> float:
        """Return how long the circuit is open at most after so many openings in a row."""
        # The exponent is cut: 2.0 ** 1100 is an OverflowError.
        grown = self._rules.first_open * 2.0 ** min(max(openings, 1) - 1, 60)
        return min(grown, self._rules.longest_open)
