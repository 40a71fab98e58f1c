"""The gate of all calls: for each origin the circuit and the limits that a call must pass. The state is per process."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from threading import Lock

import structlog

from rota.egress.origins.circuit_breaker import (
    Change,
    CircuitBreaker,
    CircuitRules,
    Ticket,
    Verdict,
)
from rota.egress.origins.limits import LimitRules, OriginLimits
from rota.metrics import Metrics
from rota.settings import Settings

log = structlog.get_logger(__name__)

#: The origins that are kept; of more, the one that was not used for longest is forgotten.
MOST_ORIGINS = 4_096
_FIRST_OPEN = 5.0
# As the settings' defaults.
_CIRCUIT = CircuitRules(5, _FIRST_OPEN, 60.0)
_LIMITS = LimitRules(64)


@dataclass(frozen=True, slots=True)
class GateRules:
    """The rules for each origin."""

    circuit: CircuitRules = _CIRCUIT
    limits: LimitRules = _LIMITS

    @classmethod
    def of(cls, settings: Settings) -> "GateRules":
        """Return the rules that the settings give."""
        longest = settings.http_circuit_longest
        return cls(
            CircuitRules(settings.http_circuit_failures, min(_FIRST_OPEN, longest), longest),
            LimitRules(settings.http_max_per_host, settings.http_rate_per_host),
        )


class Obstacle(StrEnum):
    """Why a call must not be made now."""

    CIRCUIT = "circuit"
    HOST = "host"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call must not be made now, and is to be tried again after so many seconds."""

    by: Obstacle
    wait: float


@dataclass(slots=True, eq=False)
class _Origin:
    name: str
    circuit: CircuitBreaker
    limits: OriginLimits
    opened_at: float = field(default=0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Permit:
    """A call that may be made; it is given back when the call has ended."""

    origin: _Origin
    ticket: Ticket
    number: int
    began: float

    @property
    def is_probe(self) -> bool:
        """Whether the call decides if the circuit of its origin is closed."""
        return self.ticket.is_probe


class OriginGate:
    """Safe to use from any thread. Times are seconds of a monotonic clock."""

    def __init__(
        self,
        rules: GateRules | None = None,
        metrics: Metrics | None = None,
        on_closed: Callable[[str], None] | None = None,
    ) -> None:
        """`on_closed` is called with the origin of a circuit that was closed, where its probe is reported."""
        self._on_closed = on_closed
        self._rules = rules or GateRules()
        self._metrics = metrics
        self._lock = Lock()
        # The one that was used last comes last.
        self._origins: OrderedDict[str, _Origin] = OrderedDict()
        if metrics is not None:
            metrics.open_circuits.set_function(self.open_circuits)
            metrics.circuits.set_function(self.open_origins)

    def enter(self, origin: str, now: float, expires: float) -> Permit | Refusal:
        """Return the permit for a call that has ended at `expires`, or when it is to be tried again."""
        with self._lock:
            of = self._find(origin)
            ticket = of.circuit.admit(now, expires)
            if ticket is None:
                return self._by_circuit(of, now)
            number = of.limits.enter(now, expires)
            if number is None:
                of.circuit.report(ticket, Verdict.UNKNOWN, now)
                return Refusal(Obstacle.HOST, of.limits.wait(now))
            return Permit(of, ticket, number, now)

    def leave(
        self, permit: Permit, verdict: Verdict, now: float, hold: float = 0.0
    ) -> Refusal | None:
        """Take a permit back; `hold`: for how many seconds the origin asks not to be called.

        Return when a probe that failed is to be tried again, and None for any other call.
        """
        of = permit.origin
        with self._lock:
            made = verdict is not Verdict.UNKNOWN
            of.limits.leave(permit.number, now - permit.began if made else None)
            if hold > 0:
                of.limits.hold(hold, now)
            change = of.circuit.report(permit.ticket, verdict, now)
            failed = permit.is_probe and verdict is Verdict.DOWN
            refusal = self._by_circuit(of, now) if failed else None
        if change is not None:
            self._report(of, change, now)
        return refusal

    def open_circuits(self) -> int:
        """Return how many circuits are not closed."""
        return len(self.open_origins())

    def open_origins(self) -> list[str]:
        """Return the origins whose circuits are not closed."""
        with self._lock:
            return [name for name, of in self._origins.items() if not of.circuit.is_closed]

    @property
    def number_of_origins(self) -> int:
        return len(self._origins)

    def _by_circuit(self, of: _Origin, now: float) -> Refusal:
        return Refusal(Obstacle.CIRCUIT, of.circuit.come_back_at(now) - now)

    def _find(self, origin: str) -> _Origin:
        found = self._origins.get(origin)
        if found is not None:
            self._origins.move_to_end(origin)
            return found
        if len(self._origins) >= MOST_ORIGINS:
            self._forget_one()
        made = _Origin(
            origin,
            CircuitBreaker(self._rules.circuit, origin),
            OriginLimits(self._rules.limits),
        )
        self._origins[origin] = made
        return made

    def _forget_one(self) -> None:
        """Forget the origin that was not used for longest; one with calls under way only if all have some."""
        idle = (name for name, of in self._origins.items() if of.limits.is_idle)
        del self._origins[next(idle, next(iter(self._origins)))]

    def _report(self, of: _Origin, change: Change, now: float) -> None:
        if change is Change.OPENED:
            of.opened_at = now
            log.warning("http.circuit_opened", origin=of.name)
            if self._metrics is not None:
                self._metrics.circuits_opened.inc()
        else:
            log.info("http.circuit_closed", origin=of.name, seconds=round(now - of.opened_at, 1))
            if self._on_closed is not None:
                self._on_closed(of.name)
