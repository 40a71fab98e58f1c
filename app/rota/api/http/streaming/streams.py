"""The open streams of one process: how many there may be, and what wakes them.

Nothing is queued for a subscriber: it reads what is new once its client has received what was sent, so that a slow
client costs no memory. Commits of this process wake subscribers at once; commits of other processes are found by one
poll for all of them. The database is read in a few threads of their own, and subscribers that need the same share one
read.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar, get_args

import anyio.to_thread
import structlog

from rota.api.http.clients.calls import Share, current_call
from rota.db.engine import Database
from rota.domain.effects import Effect, Event, KvWritten, RunEnded, TaskDeleted
from rota.domain.primitives.ids import Id
from rota.errors import RateLimited, Unavailable
from rota.store.events.stored import marks

log = structlog.get_logger(__name__)

R = TypeVar("R")

#: What can be subscribed to: one task (its id), or the events of the service.
Topic = Id | None
EVENTS: Final = None

#: A stored key may have one of so many parts of the streams.
PARTS = 4
HEARTBEAT = 15.0
_POLL_EVERY = 0.5
# Concurrent reads: the other connections are kept for requests.
_READS = 2
# Effects that wake the subscribers of their task, and those that wake the subscribers of events.
_OF_TASK = (KvWritten, RunEnded, TaskDeleted)
_OF_SERVICE = get_args(Event)


@dataclass(slots=True, eq=False)
class Signal:
    """Set when there may be something new; `count` is how often that happened."""

    count: int = 0
    _event: asyncio.Event = field(default_factory=asyncio.Event)

    def set(self) -> None:
        self.count += 1
        self._event.set()

    def clear(self) -> None:
        """Reset the signal; called just before the read that it requests."""
        self._event.clear()

    async def wait(self, seconds: float) -> bool:
        """Wait until the signal is set; return False after a timeout."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        return True


class Streams:
    """The streams of one process. Except `acquire` and `committed`, call it on the loop of the requests."""

    def __init__(self, database: Database, most: int, heartbeat: float = HEARTBEAT) -> None:
        self.heartbeat = heartbeat
        self.closing = False
        self._database = database
        self._most = most
        # One key cannot take all of them from the others.
        self._most_of_key = max(1, most // PARTS)
        self._open = 0
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._limiter: anyio.CapacityLimiter | None = None
        self._subscribers: dict[Topic, set[Signal]] = {}
        self._marks: dict[Topic, Any] = {}
        self._poller: asyncio.Task[None] | None = None
        self._reads: dict[Hashable, asyncio.Task[Any]] = {}

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Set the event loop of the requests."""
        self._loop = loop

    def acquire(self) -> Callable[[], None]:
        """Count one more open stream; return the function that counts it no more.

        Raises Unavailable if there are as many as allowed, or at shutdown; RateLimited if they are the key's.
        """
        call = current_call()
        with self._lock:
            self._check(call.share)
            self._open += 1
            if call.share is not None:
                call.share.streams += 1
        call.end()
        return partial(self._release, call.share)

    def _check(self, share: Share | None) -> None:
        if self.closing:
            raise Unavailable("The service is stopping.")
        if self._open >= self._most:
            raise Unavailable(
                f"{self._open} streams and waits are open, as many as there can be (ROTA_MAX_STREAMS)."
            )
        if share is not None and share.streams >= self._most_of_key:
            raise RateLimited(
                f"{share.streams} streams and waits of this key are open, as many as one key may have (a quarter of "
                "ROTA_MAX_STREAMS). Close some first.",
                retry_after=1,
            )

    def _release(self, share: Share | None) -> None:
        with self._lock:
            self._open -= 1
            if share is not None:
                share.streams -= 1

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
        """Count a request that waits as an open stream; raises Unavailable or RateLimited."""
        release = self.acquire()
        try:
            yield
        finally:
            release()

    def close(self) -> None:
        """End all streams, so that the service can stop; their clients resume elsewhere."""
        self.closing = True
        if self._poller is not None:
            self._poller.cancel()
        self._notify(set(self._subscribers))

    @contextlib.contextmanager
    def subscribe(self, topic: Topic) -> Iterator[Signal]:
        """Yield a signal that is set, from now on, when there may be something new of the topic."""
        signal = Signal()
        self._subscribers.setdefault(topic, set()).add(signal)
        if self._poller is None and not self.closing:
            self._poller = asyncio.create_task(self._poll(), name="rota-streams")
        try:
            yield signal
        finally:
            self._unsubscribe(topic, signal)

    async def read(self, function: Callable[..., R], *args: Any) -> R:
        """Call a function of the store, which reads, with a connection and `args`, in one of the few threads for it."""
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(_READS)
        return await anyio.to_thread.run_sync(self._read, function, args, limiter=self._limiter)

    async def shared_read(self, signal: Signal, function: Callable[..., R], *args: Hashable) -> R:
        """The same, once for all subscribers that the same commit has woken and that call it with the same `args`."""
        key = (signal.count, function, args)
        reading = self._reads.get(key)
        if reading is None:
            reading = self._reads[key] = asyncio.create_task(self.read(function, *args))
            reading.add_done_callback(lambda _: self._reads.pop(key, None))
        result: R = await asyncio.shield(reading)
        return result

    def committed(self, effects: Sequence[Effect]) -> None:
        """Wake the subscribers that a commit concerns; called in the writer's thread."""
        if not self._subscribers or self._loop is None:
            return
        topics: set[Topic] = {effect.task_id for effect in effects if isinstance(effect, _OF_TASK)}
        if any(isinstance(effect, _OF_SERVICE) for effect in effects):
            with contextlib.suppress(RuntimeError):  # the loop is closed, and with it all streams
                self._loop.call_soon_threadsafe(self._notify, topics | {EVENTS})

    def _read(self, function: Callable[..., R], args: Sequence[Any]) -> R:
        with self._database.read() as connection:
            return function(connection, *args)

    def _notify(self, topics: set[Topic]) -> None:
        for topic in topics & self._subscribers.keys():
            for signal in self._subscribers[topic]:
                signal.set()

    def _unsubscribe(self, topic: Topic, signal: Signal) -> None:
        signals = self._subscribers[topic]
        signals.discard(signal)
        if signals:
            return
        del self._subscribers[topic]
        self._marks.pop(topic, None)
        if not self._subscribers and self._poller is not None:
            self._poller.cancel()
            self._poller = None

    async def _poll(self) -> None:
        """Notice the commits of other processes, for as long as there are subscribers."""
        while True:
            await asyncio.sleep(_POLL_EVERY)
            try:
                found = await self.read(marks, tuple(self._subscribers))
            except Unavailable as error:
                log.warning("streams.unavailable", error=error.detail)
                continue
            except Exception:
                log.exception("streams.poll_failed")
                continue
            changed = {
                topic for topic in self._subscribers if found.get(topic) != self._marks.get(topic)
            }
            self._marks = found
            self._notify(changed)
