"""Host names to addresses: in threads, within a deadline, once at a time for each host."""

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from threading import Lock
from typing import Any

from rota.daemon_threads import DaemonThreads

#: How long a lookup is waited for, in seconds.
DEADLINE = 3.0
# The system gives up a lookup after 10 s or more; so many hosts whose name servers are silent delay no other host.
_THREADS = 64

_SocketAddress = tuple[Any, ...]
Found = tuple[socket.AddressFamily, _SocketAddress]


class LookupFailedError(Exception):
    """A host name was not resolved; the text says why."""


class Resolver:
    """Resolves host names with the resolver of the system. Nothing is remembered: the next lookup asks again."""

    def __init__(self) -> None:
        self._threads = DaemonThreads("rota-dns", _THREADS)
        self._lock = Lock()
        self._in_progress: dict[tuple[str, int], Future[list[Found]]] = {}

    async def resolve(self, host: str, port: int) -> Sequence[Found]:
        """Return the addresses of a host, in the order in which to try them; raises LookupFailedError."""
        future = self._asked(host, port)
        try:
            async with asyncio.timeout(DEADLINE):
                # Others may wait for the same lookup, which a cancellation of this one must not end.
                found = await asyncio.shield(asyncio.wrap_future(future))
        except TimeoutError:
            raise LookupFailedError(f"its name was not resolved within {DEADLINE:g} s") from None
        except (OSError, UnicodeError) as error:
            raise LookupFailedError(_words(error)) from None
        if not found:
            raise LookupFailedError("its name has no address")
        return found

    def close(self) -> None:
        """End the threads, without waiting for lookups."""
        self._threads.shutdown()

    def _asked(self, host: str, port: int) -> "Future[list[Found]]":
        key = (host, port)
        with self._lock:
            future = self._in_progress.get(key)
            if future is None:
                future = self._threads.submit(_look_up, host, port)
                self._in_progress[key] = future
            else:
                return future
        future.add_done_callback(partial(self._ended, key))
        return future

    def _ended(self, key: tuple[str, int], _: "Future[list[Found]]") -> None:
        with self._lock:
            self._in_progress.pop(key, None)


def _look_up(host: str, port: int) -> list[Found]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _words(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) else None
    return (text or "its name cannot be looked up").lower()[:200]
