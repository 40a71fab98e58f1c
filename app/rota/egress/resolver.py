"""Host names to addresses: in threads, within a deadline, once at a time for each host.

The system gives up a lookup after 10 s or more, and it cannot be ended. So that names whose servers are silent delay no
others, a name that was not resolved in time has other threads for a while.
"""

import asyncio
import socket
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

from rota.daemon_threads import DaemonThreads

#: How long a lookup is waited for, in seconds.
DEADLINE = 3.0
# Of names that are not known to be slow: so many that turn out to be delay no other. There are as many as needed only.
_THREADS = 256
_THREADS_OF_SLOW = 32
# For how many seconds a name is known to be slow, and how many are.
_SLOW_FOR = 60.0
_MOST_SLOW = 4_096

_Key = tuple[str, int]
_SocketAddress = tuple[Any, ...]
Found = tuple[socket.AddressFamily, _SocketAddress]


class LookupFailedError(Exception):
    """A host name was not resolved; the text is the cause."""


@dataclass(slots=True, eq=False)
class _Lookup:
    future: Future[list[Found]]
    waiters: int = 0


class Resolver:
    """Resolves host names with the resolver of the system. No answer is remembered: the next lookup asks again."""

    def __init__(self) -> None:
        self._threads = DaemonThreads("rota-dns", _THREADS)
        self._threads_of_slow = DaemonThreads("rota-dns-slow", _THREADS_OF_SLOW)
        self._lock = Lock()
        self._in_progress: dict[_Key, _Lookup] = {}
        # Until when, by the monotonic clock; the name that was slow the longest time ago comes first.
        self._slow: OrderedDict[str, float] = OrderedDict()

    async def resolve(self, host: str, port: int) -> Sequence[Found]:
        """Return the addresses of a host, in the order in which to try them; raises LookupFailedError."""
        with self._lookup(host, port) as lookup:
            try:
                async with asyncio.timeout(DEADLINE):
                    # Others may wait for the same lookup, which a cancellation of this one must not end.
                    found = await asyncio.shield(asyncio.wrap_future(lookup.future))
            except TimeoutError:
                self._note_slow(host, lookup)
                text = f"its name was not resolved within {DEADLINE:g} s"
                raise LookupFailedError(text) from None
            except (OSError, UnicodeError) as error:
                raise LookupFailedError(_words(error)) from None
        if not found:
            raise LookupFailedError("its name has no address")
        return found

    def close(self) -> None:
        """End the threads, without waiting for lookups."""
        self._threads.shutdown()
        self._threads_of_slow.shutdown()

    @contextmanager
    def _lookup(self, host: str, port: int) -> Iterator[_Lookup]:
        """Enter with the lookup of a host. A queued lookup without a waiter is cancelled."""
        key = (host, port)
        with self._lock:
            lookup = self._in_progress.get(key)
            is_new = lookup is None
            if lookup is None:
                lookup = _Lookup(self._threads_for(host).submit(_look_up, host, port))
                self._in_progress[key] = lookup
            lookup.waiters += 1
        if is_new:
            lookup.future.add_done_callback(lambda _: self._forget(key, lookup))
        try:
            yield lookup
        finally:
            self._leave(key, lookup)

    def _leave(self, key: _Key, lookup: _Lookup) -> None:
        with self._lock:
            lookup.waiters -= 1
            is_given_up = not lookup.waiters and self._in_progress.get(key) is lookup
            if is_given_up and not lookup.future.running():
                del self._in_progress[key]
            else:
                return
        lookup.future.cancel()

    def _forget(self, key: _Key, lookup: _Lookup) -> None:
        with self._lock:
            if self._in_progress.get(key) is lookup:
                del self._in_progress[key]

    def _threads_for(self, host: str) -> DaemonThreads:
        is_slow = self._slow.get(host, 0.0) > _now()
        return self._threads_of_slow if is_slow else self._threads

    def _note_slow(self, host: str, lookup: _Lookup) -> None:
        """Note that a lookup was not done in time; one that had no thread yet does not count."""
        if not lookup.future.running():
            return
        with self._lock:
            self._slow[host] = _now() + _SLOW_FOR
            self._slow.move_to_end(host)
            if len(self._slow) > _MOST_SLOW:
                self._slow.popitem(last=False)


def _look_up(host: str, port: int) -> list[Found]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _words(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) else None
    return (text or "its name cannot be looked up").lower()[:200]


def _now() -> float:
    return asyncio.get_running_loop().time()
