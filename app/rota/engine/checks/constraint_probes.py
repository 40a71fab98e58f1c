"""Probes of constraints that take time: they run on a loop of their own, so that no other check waits for them."""

import asyncio
import contextlib
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import assert_never

import structlog

from rota.clock import Clock
from rota.domain.constraints.evaluation import ConnectProbe, DiskProbe, Probe, ProbeResult
from rota.egress.client import HttpClient
from rota.egress.guard import Guard, RefusedError, UnreachableError
from rota.egress.phases import Phases
from rota.egress.requests import Request, SendFailed
from rota.engine.timing.loop_thread import LoopThread

log = structlog.get_logger(__name__)

#: Of a probe, in seconds.
TIMEOUT = 2.0
_MOST_AT_ONCE = 256
# For disks: a network disk may hang.
_THREADS = 32
_WORKS_BELOW = 500


@dataclass(frozen=True, slots=True)
class _Cached:
    """A result, and when it was found (monotonic)."""

    result: ProbeResult
    at: float


class Prober:
    """Returns results of probes from a cache, and starts a probe when the cached result is too old.

    A result is fresh for `max_age` seconds; `answered` is called, in a thread of the prober, when there is a new one.
    """

    def __init__(
        self, clock: Clock, max_age: float, answered: Callable[[], None], guard: Guard
    ) -> None:
        self._clock = clock
        self._max_age = max_age
        self._answered = answered
        self._guard = guard
        self._client = HttpClient(0, clock, guard)
        self._lock = threading.Lock()
        self._cache: dict[Probe, _Cached] = {}
        self._requested: set[Probe] = set()
        self._in_progress: set[Probe] = set()
        self._loop: LoopThread | None = None

    def result_of(self, probe: Probe) -> ProbeResult | None:
        """Return the cached result, or None; never blocks. Starts the probe if the result is not fresh."""
        with self._lock:
            self._requested.add(probe)
            cached = self._cache.get(probe)
            fresh = cached is not None and self._clock.monotonic() - cached.at < self._max_age
            if not fresh and probe not in self._in_progress:
                self._in_progress.add(probe)
                asyncio.run_coroutine_threadsafe(self._probe(probe), self._started())
        return None if cached is None else replace(cached.result, fresh=fresh)

    def forget(self) -> None:
        """Forget the results that were not requested since the last call."""
        with self._lock:
            self._cache = {
                each: self._cache[each] for each in self._cache if each in self._requested
            }
            self._requested = set()

    def stop(self) -> None:
        """Stop without waiting for probes. No probe may be asked afterwards."""
        if self._loop is not None:
            self._loop.stop()

    def _started(self) -> asyncio.AbstractEventLoop:
        """Return the loop; it is created with the first probe, since most services ask none."""
        if self._loop is None:
            self._loop = LoopThread("rota-probing", _THREADS)
            self._slots = asyncio.Semaphore(_MOST_AT_ONCE)
            self._loop.start()
        return self._loop.loop

    async def _probe(self, probe: Probe) -> None:
        try:
            async with self._slots:
                await self._execute(probe)
        except Exception:
            log.exception("probe.failed", probe=repr(probe))
            self._store(probe, ProbeResult("it cannot be checked; the log of the service says why"))
        finally:
            with self._lock:
                self._in_progress.discard(probe)

    async def _execute(self, probe: Probe) -> None:
        match probe:
            case DiskProbe():
                await self._measure(probe)
            case ConnectProbe():
                await self._reach(probe)
            case _:
                assert_never(probe)

    async def _measure(self, probe: DiskProbe) -> None:
        """Store a result within TIMEOUT; keep waiting for a thread that hangs.

        While it hangs the probe is not started again: otherwise all threads would soon be blocked.
        """
        step = asyncio.get_running_loop().run_in_executor(None, _free_bytes, probe)
        done, _ = await asyncio.wait([step], timeout=TIMEOUT)
        if not done:
            self._store(probe, ProbeResult(_late()))
            with contextlib.suppress(OSError):
                await step
            return
        try:
            self._store(probe, ProbeResult(None, step.result()))
        except OSError as error:
            self._store(probe, ProbeResult(_words(error)))

    async def _reach(self, probe: ConnectProbe) -> None:
        """Store whether a host or URL answers within TIMEOUT."""
        try:
            async with asyncio.timeout(TIMEOUT):
                fault = await self._fault(probe)
        except TimeoutError:
            fault = _late()
        except (UnreachableError, RefusedError, SendFailed) as error:
            fault = str(error)[:200]
        self._store(probe, ProbeResult(fault))

    async def _fault(self, probe: ConnectProbe) -> str | None:
        """Return what is wrong with a host or URL, None if it answers; raises what its connection raises."""
        if probe.url is not None:
            reply = await self._client.send(Request("GET", probe.url, {}, None))
            return None if reply.status < _WORKS_BELOW else f"it answered {reply.status}"
        assert probe.host is not None
        assert probe.port is not None
        (await self._guard.connect(probe.host, probe.port, Phases())).close()
        return None

    def _store(self, probe: Probe, result: ProbeResult) -> None:
        with self._lock:
            self._cache[probe] = _Cached(result, self._clock.monotonic())
        self._answered()


def _free_bytes(probe: DiskProbe) -> int:
    return shutil.disk_usage(probe.path).free


def _late() -> str:
    return f"no answer within {TIMEOUT:g} s"


def _words(error: OSError) -> str:
    return (error.strerror or str(error) or type(error).__name__).lower()[:200]
