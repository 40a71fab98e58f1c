"""The request that is being served: its client and where it comes from, for the audit log and for what clients share.

Kept beside the code that serves it, so that no route can forget to count or to name its client.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field

from rota.domain.access.principal import LOCAL, Principal
from rota.domain.audit.author import Author
from rota.errors import RateLimited

#: How many requests of one stored key are served at a time, of those that do not wait: they take threads.
REQUESTS = 20
#: How many of its reads are done at a time: half of the connections that there are for reads.
READS = 4
#: How many seconds a request waits until others of its key have ended.
PATIENCE = 5.0


class Share:
    """What the requests of one stored key hold at present."""

    def __init__(self, requests: int = REQUESTS, computing: int = 2, reads: int = READS) -> None:
        self.streams = 0
        self._reads = threading.BoundedSemaphore(reads)
        self._requests = asyncio.Semaphore(requests)
        self._computing = asyncio.Semaphore(computing)

    async def take_turn(self, patience: float = PATIENCE) -> None:
        """Count one more request that is served; raises RateLimited if too many others are for too long."""
        await _take(self._requests, patience, "requests of this key are being served")

    def end_turn(self) -> None:
        """Count one request less."""
        self._requests.release()

    @contextmanager
    def reading(self, patience: float = PATIENCE) -> Iterator[None]:
        """Hold one of the key's connections for reads, in a thread, which waits for it; raises RateLimited."""
        if not self._reads.acquire(timeout=patience):
            raise _too_many("reads of this key are being done", patience)
        try:
            yield
        finally:
            self._reads.release()

    @asynccontextmanager
    async def computing(self, patience: float) -> AsyncIterator[None]:
        """Hold one of the key's slots for computations; raises RateLimited."""
        await _take(
            self._computing,
            patience,
            "previews, explanations and backfills of this key are being computed",
        )
        try:
            yield
        finally:
            self._computing.release()


@dataclass(slots=True)
class Call:
    """A request: who makes it, from which address, and what it holds of its key's share."""

    principal: Principal
    address: str | None
    request_id: str
    share: Share | None = None
    has_turn: bool = False
    _loop: asyncio.AbstractEventLoop | None = field(default=None, repr=False)

    @property
    def author(self) -> Author:
        """Who has made a change, for the audit log."""
        known = self.principal
        return Author(
            principal=known.label,
            key_id=known.key_id,
            address=self.address,
            request_id=self.request_id,
        )

    async def begin(self) -> None:
        """Wait for the request's turn; raises RateLimited."""
        if self.share is not None:
            await self.share.take_turn()
            self.has_turn, self._loop = True, asyncio.get_running_loop()

    def end(self) -> None:
        """Let another request have the turn: this one has ended, or waits from now on. Any thread may call it."""
        if self.has_turn and self.share is not None and self._loop is not None:
            self.has_turn = False
            self._loop.call_soon_threadsafe(self.share.end_turn)


_NOBODY = Call(LOCAL, None, "")
_CALL: ContextVar[Call] = ContextVar("rota_call", default=_NOBODY)


def current_call() -> Call:
    """Return the request that is being served here; outside of any, one of this machine."""
    return _CALL.get()


def turn_to_read() -> AbstractContextManager[None]:
    """Return what a read transaction of the request that is served here waits for: others of its key."""
    share = current_call().share
    return nullcontext() if share is None else share.reading()


def serving(call: Call) -> None:
    """Make a request the one that is being served, in this task and in the threads that it uses."""
    _CALL.set(call)


async def _take(slots: asyncio.Semaphore, patience: float, what: str) -> None:
    try:
        async with asyncio.timeout(patience):
            await slots.acquire()
    except TimeoutError:
        raise _too_many(what, patience) from None


def _too_many(what: str, patience: float) -> RateLimited:
    return RateLimited(
        f"As many {what} as may be at a time, and none ended within {patience:g} s. Send fewer at a time.",
        retry_after=1,
    )
