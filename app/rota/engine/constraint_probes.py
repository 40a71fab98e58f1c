"""Probes of constraints that take time: they run on a loop of their own, so that no other check waits for them."""

import asyncio
import contextlib
import ipaddress
import shutil
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import assert_never
from urllib.parse import urlsplit

import structlog

from rota.clock import Clock
from rota.domain.constraints.evaluation import ConnectProbe, DiskProbe, Probe, ProbeResult
from rota.engine.timing.loop_thread import LoopThread
from rota.handlers.http.client import HttpClient, Request, SendFailed

log = structlog.get_logger(__name__)

#: Of each step of a probe, in seconds.
TIMEOUT = 2.0
_MOST_AT_ONCE = 256
# For steps that block a thread: host names are resolved, and disks measured (a network disk may hang).
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

    def __init__(self, clock: Clock, max_age: float, answered: Callable[[], None]) -> None:
        self._clock = clock
        self._max_age = max_age
        self._answered = answered
        self._client = HttpClient(0, clock)
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
        """Stop without waiting for probes. No probe may be requested afterwards."""
        if self._loop is not None:
            self._loop.stop()

    def _started(self) -> asyncio.AbstractEventLoop:
        """Return the loop; it is created with the first probe, since most services need none."""
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
        """Store a result within TIMEOUT for each of the two steps; keep waiting for a thread that hangs.

        While it hangs the probe is not started again: otherwise all threads would soon be blocked.
        """
        step = asyncio.get_running_loop().run_in_executor(None, _blocking_step, probe)
        done, _ = await asyncio.wait([step], timeout=TIMEOUT)
        if not done:
            self._store(probe, ProbeResult(_late()))
            with contextlib.suppress(OSError):
                await step
            return
        try:
            free = step.result()
            async with asyncio.timeout(TIMEOUT):
                fault = await self._fault(probe)
        except TimeoutError:
            self._store(probe, ProbeResult(_late()))
        except (OSError, SendFailed, UnicodeError, ValueError) as error:
            self._store(probe, ProbeResult(_words(error)))
        else:
            self._store(probe, ProbeResult(fault, free))

    async def _fault(self, probe: Probe) -> str | None:
        """Return what is wrong with a host or URL, None if it answers; raises what its connection raises."""
        match probe:
            case ConnectProbe(url=str(url)):
                reply = await self._client.send(Request("GET", url, {}, None))
                return None if reply.status < _WORKS_BELOW else f"it answered {reply.status}"
            case ConnectProbe():
                _, writer = await asyncio.open_connection(probe.host, probe.port)
                writer.transport.abort()
                return None
            case DiskProbe():
                return None
            case _:
                assert_never(probe)

    def _store(self, probe: Probe, result: ProbeResult) -> None:
        with self._lock:
            self._cache[probe] = _Cached(result, self._clock.monotonic())
        self._answered()


def _blocking_step(probe: Probe) -> int:
    """Execute the step that blocks: measure a disk (return its free bytes), or resolve a host name (return 0)."""
    if isinstance(probe, DiskProbe):
        return shutil.disk_usage(probe.path).free
    host = probe.host if probe.url is None else urlsplit(probe.url).hostname
    if host is not None and not _is_address(host):
        socket.getaddrinfo(host, probe.port, type=socket.SOCK_STREAM)
    return 0


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _late() -> str:
    return f"no answer within {TIMEOUT:g} s"


def _words(error: Exception) -> str:
    if isinstance(error, OSError):
        return (error.strerror or str(error) or type(error).__name__).lower()[:200]
    return str(error)[:200]
