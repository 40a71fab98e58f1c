"""Admission: whether the host of a target may be called now; if not, the attempt is postponed, and does not count."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import timedelta
from functools import lru_cache
from math import ceil
from typing import assert_never
from urllib.parse import urlsplit

from rota.clock import Clock
from rota.domain.http_target.target import Target
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Failed, Postponed, RetryRequested, TimedOut
from rota.egress.origins.circuit_breaker import Verdict
from rota.egress.origins.gate import Obstacle, OriginGate, Permit, Refusal
from rota.egress.phases import Phases
from rota.handlers.outcomes import EndsWith

# For how many seconds an attempt waits itself: to postpone it for a few milliseconds would cost two commits.
_PATIENCE = 0.25
# And for which share of the timeout of the call: that may be all the time that the attempt has.
_SHARE = 0.25
# A timer may be a little early, and who asks too early goes to the end of the line.
_MARGIN = 0.005
# How many seconds an attempt may take for the call apart from the timeout of its target.
_BESIDE_THE_CALL = 10.0
# Seconds; only a rate of a few calls a day comes to more.
_LONGEST = 86_400.0
_DEFAULT_PORTS = {"http": 80, "https": 443}
# What a gateway answers when the service behind it is down; a 500 is of one path.
_DOWN_CODES = frozenset({502, 503, 504})
# The phases of a call, and the types of its errors, in which the host is not reached.
_NOT_REACHED_IN = frozenset({"dns", "connect", "proxy", "tls"})
_NOT_REACHED = frozenset({"http.connect"})
_REACHED = frozenset({"http.disconnected", "http.protocol", "http.redirect"})
# They say nothing about the host: Rota may not call it, or the proxy does not want to.
_NOT_CALLED = "http.forbidden"
_REFUSED_BY_PROXY = ("http.proxy", "proxy")

#: The gate of the built-in handlers; the executor sets it for the handlers' loop.
ORIGIN_GATE: ContextVar[OriginGate] = ContextVar("rota_origin_gate")


class HostCall:
    """A call that may be made, and its verdict on the host."""

    def __init__(self) -> None:
        self._verdict = Verdict.UNKNOWN
        self._hold = timedelta()
        #: Those of the request that is sent.
        self.phases = Phases()

    @property
    def verdict(self) -> Verdict:
        """The verdict on the host: one that redirected the call to another host is up, however that call ended."""
        return Verdict.UP if self.phases.is_elsewhere else self._verdict

    @property
    def hold(self) -> timedelta:
        """For how long the host asks not to be called; what another one asks for is not for this one."""
        return timedelta() if self.phases.is_elsewhere else self._hold

    def answered(self, status: int, *, succeeded: bool, pause: timedelta | None) -> None:
        """Note a response; `pause`: its `Retry-After`."""
        is_down = status in _DOWN_CODES and not succeeded
        self._verdict = Verdict.DOWN if is_down else Verdict.UP
        self._hold = pause or timedelta()

    def failed(self, kind: str, phase: str | None = None) -> None:
        """Note that there is no response: the type of the error, and the phase in which the call was if it is known."""
        if kind == _NOT_CALLED or (kind, phase) == _REFUSED_BY_PROXY:
            return
        if phase in _NOT_REACHED_IN or kind in _NOT_REACHED:
            self._verdict = Verdict.DOWN
        elif phase is not None or kind in _REACHED:
            self._verdict = Verdict.UP


@asynccontextmanager
async def admitted(target: Target, clock: Clock) -> AsyncIterator[HostCall]:
    """Enter when the host of the target may be called; raises EndsWith if that is to be tried later.

    A failed attempt that was to find out whether the host is up again is postponed as well.
    """
    gate, call = ORIGIN_GATE.get(), HostCall()
    permit = await _permit(gate, target, clock)
    probe: Failed | RetryRequested | TimedOut | None = None
    try:
        yield call
    except EndsWith as ended:
        if not isinstance(ended.outcome, Failed | RetryRequested | TimedOut):
            raise
        probe = ended.outcome
        if not permit.is_probe or call.verdict is not Verdict.DOWN:
            raise
    finally:
        hold = call.hold.total_seconds()
        refusal = gate.leave(permit, call.verdict, clock.monotonic(), hold)
    if probe is not None:
        raise EndsWith(_postponed(target, refusal, clock, probe.error) if refusal else probe)


async def _permit(gate: OriginGate, target: Target, clock: Clock) -> Permit:
    origin = origin_text(target.url)
    patience = min(_PATIENCE, target.timeout.total_seconds() * _SHARE)
    while True:
        now = clock.monotonic()
        found = gate.enter(origin, now, now + target.timeout.total_seconds() + _BESIDE_THE_CALL)
        if isinstance(found, Permit):
            return found
        if found.wait > patience:
            raise EndsWith(_postponed(target, found, clock, None))
        pause = found.wait + _MARGIN
        patience -= pause
        await asyncio.sleep(pause)


def _postponed(target: Target, refusal: Refusal, clock: Clock, error: RunError | None) -> Postponed:
    host = host_and_port(target.url)
    wait = min(refusal.wait, _LONGEST)
    until = clock.now() + timedelta(milliseconds=ceil(1_000 * wait))
    return Postponed(until, f"{refusal.by}:{host}", error or _error(refusal.by, host))


def _error(by: Obstacle, host: str) -> RunError:
    match by:
        case Obstacle.CIRCUIT:
            return RunError("http.circuit", f"{host} does not answer at the moment")
        case Obstacle.HOST:
            return RunError("http.host", f"{host} takes no more calls at the moment")
        case _:
            assert_never(by)


# Asked for each call, and runs of a task call the same.
@lru_cache(maxsize=256)
def origin_text(url: str) -> str:
    """Return the origin of a URL (scheme, host and port) as one text."""
    return f"{urlsplit(url).scheme.lower()}://{host_and_port(url)}"


def host_and_port(url: str) -> str:
    """Return the host of a URL, with the port unless it is that of the scheme."""
    parts = urlsplit(url)
    host = parts.hostname or "the target"
    shown = f"[{host}]" if ":" in host else host
    default = _DEFAULT_PORTS.get(parts.scheme.lower())
    return shown if parts.port in {None, default} else f"{shown}:{parts.port}"
