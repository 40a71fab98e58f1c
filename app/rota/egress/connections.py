"""Connections that are kept after an exchange, for the next one of the same owner."""

import asyncio
import contextlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple
from weakref import WeakKeyDictionary

from rota.domain.hosts.addresses import AddressKind
from rota.egress.http11 import Http11
from rota.egress.proxy import HttpProxy
from rota.egress.stream import Stream

# Servers close idle connections after 5 s (Node.js, uvicorn) or more: Rota does before them, so that few requests meet
# a connection that is being closed.
IDLE_SECONDS = 4.0
MOST_IDLE = 256
# Until the loop has closed the sockets of connections that were aborted.
_ITERATIONS = 3
_PATIENCE = 0.5


class Shared(NamedTuple):
    """What exchanges have in common that may use one connection after the other.

    `owner`: whose connection it is; `credentials`: a digest of what it authenticates with. `redirected_from`: that of
    the request for which the address was judged.
    """

    scheme: str
    host: str
    port: int
    owner: str
    credentials: bytes
    redirected_from: AddressKind | None


@dataclass(eq=False, slots=True)
class Connection:
    """A connection, how HTTP is spoken on it, and the kind of the address that it leads to.

    `proxy`: the one that gets the requests themselves, if there is one.
    """

    http: Http11
    stream: Stream
    reached: AddressKind
    proxy: HttpProxy | None = None

    @property
    def is_reusable(self) -> bool:
        """Whether it is between two exchanges, with nothing that came unasked."""
        return self.http.is_idle and self.stream.is_open


class _Idle:
    """The idle connections of one event loop, the longest idle one first."""

    def __init__(self) -> None:
        self._all: OrderedDict[Connection, tuple[Shared, asyncio.TimerHandle]] = OrderedDict()
        self._by_key: dict[Shared, list[Connection]] = {}

    def take(self, key: Shared) -> Connection | None:
        while self._by_key.get(key):
            connection = self._by_key[key][-1]
            self._remove(connection)
            if connection.is_reusable:
                return connection
            connection.stream.close()
        return None

    def keep(self, key: Shared, connection: Connection) -> None:
        if len(self._all) >= MOST_IDLE:
            self._drop(next(iter(self._all)))
        timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._drop, connection)
        self._all[connection] = (key, timer)
        self._by_key.setdefault(key, []).append(connection)

    async def close(self) -> None:
        for connection in list(self._all):
            self._drop(connection)
        for _ in range(_ITERATIONS):
            await asyncio.sleep(0)

    def _drop(self, connection: Connection) -> None:
        self._remove(connection)
        connection.stream.close()

    def _remove(self, connection: Connection) -> None:
        key, timer = self._all.pop(connection)
        timer.cancel()
        self._by_key[key].remove(connection)
        if not self._by_key[key]:
            del self._by_key[key]


class IdleConnections:
    """The idle connections of each event loop that uses the client: a connection belongs to one loop."""

    def __init__(self) -> None:
        self._of: WeakKeyDictionary[asyncio.AbstractEventLoop, _Idle] = WeakKeyDictionary()

    def take(self, key: Shared) -> Connection | None:
        """Return an idle connection of the running loop, which is no longer kept then; None if there is none."""
        idle = self._of.get(asyncio.get_running_loop())
        return idle.take(key) if idle is not None else None

    def keep(self, key: Shared, connection: Connection) -> None:
        """Keep a connection for the next exchange, for a few seconds; the oldest goes if there are too many."""
        loop = asyncio.get_running_loop()
        if loop not in self._of:
            self._of[loop] = _Idle()
        self._of[loop].keep(key, connection)

    async def close_own(self) -> None:
        """Close the idle connections of the running loop."""
        idle = self._of.get(asyncio.get_running_loop())
        if idle is not None:
            await idle.close()

    def close(self) -> None:
        """Have all loops close their idle connections; not on one of these loops. One that is stuck keeps its own."""
        for loop, idle in list(self._of.items()):
            if loop.is_running():
                future = asyncio.run_coroutine_threadsafe(idle.close(), loop)
                with contextlib.suppress(TimeoutError):
                    future.result(_PATIENCE)
