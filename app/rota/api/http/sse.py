"""Server-sent events: who listens to what, what wakes them, and how events are written.

Nothing is queued for a listener: it reads what is new when its client has taken what it was told, so that a slow client
costs no memory. What wakes it: the commits of this process, at once; those of others, which one look for all listeners
together finds. The database is read in a few threads of their own; listeners that want the same share one read.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar, get_args

import anyio.to_thread
import structlog
from fastapi import Depends, Header, Query, Response
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from rota.api.http.head import WITHOUT_BODY
from rota.api.http.validation import invalid_parameter
from rota.db.engine import Database
from rota.domain.effects import Effect, Event, KvWritten, RunEnded, TaskDeleted
from rota.domain.primitives.ids import Id
from rota.domain.primitives.instants import format_instant
from rota.domain.primitives.stored_json import render
from rota.errors import AppError, Invalid, Unavailable
from rota.store.events import marks

log = structlog.get_logger(__name__)

R = TypeVar("R")

#: What can be listened to: the table of a task (its id), or the events of the service.
Topic = Id | None
EVENTS: Final = None

HEARTBEAT = 15.0
# How long a client may leave what it was sent before it counts as gone.
SLOWEST = 30.0
_LOOK_EVERY = 0.5
# Reads at the same time: requests have a right to the other connections.
_READS = 2
_RETRY_MS = 2_000
# What may change a table, and whose task says which.
_CHANGING = (KvWritten, RunEnded, TaskDeleted)
_TOLD = get_args(Event)
_LONGEST_ID = 400


@dataclass(frozen=True, slots=True)
class LastEvent:
    """The last event that a client was told, as it names it in a header, or where it cannot set one, in the query."""

    id: str | None
    in_query: bool = False

    def read(self, read: Callable[[str | None], R]) -> R:
        """Return what the id stands for; raises Invalid, naming where it stands."""
        try:
            return read(self.id)
        except Invalid as error:
            if not self.in_query:
                raise
            raise invalid_parameter("last_event_id", error.faults[0].detail) from None


async def _last_event(
    header: Annotated[
        str | None,
        Header(
            alias="Last-Event-ID",
            description="The id of the last event that you were told: the stream goes on behind it.",
            max_length=_LONGEST_ID,
        ),
    ] = None,
    query: Annotated[
        str | None,
        Query(
            alias="last_event_id",
            description="The same, for an EventSource that begins anew and cannot set the header, which counts if both "
            "are given.",
            max_length=_LONGEST_ID,
        ),
    ] = None,
) -> LastEvent:
    return LastEvent(header) if header is not None else LastEvent(query, query is not None)


LastEventId = Annotated[LastEvent, Depends(_last_event)]
#: How a route that can answer with a stream describes it.
STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/event-stream": {}},
        "description": "What was asked for, or a stream of events.",
    }
}
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


@dataclass(slots=True, eq=False)
class Bell:
    """Rings when there may be something new; `rings` counts."""

    rings: int = 0
    _rung: asyncio.Event = field(default_factory=asyncio.Event)

    def ring(self) -> None:
        self.rings += 1
        self._rung.set()

    def hush(self) -> None:
        """Forget the rings so far: what they were about is looked at now."""
        self._rung.clear()

    async def wait(self, seconds: float) -> bool:
        """Wait for a ring; return False if there was none for so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        except TimeoutError:
            return False
        return True


class Streams:
    """The streams of one process. All but `take`, `give_back` and `committed` is called on the loop of the requests."""

    def __init__(self, database: Database, most: int, heartbeat: float = HEARTBEAT) -> None:
        self.heartbeat = heartbeat
        self.closing = False
        self._database = database
        self._most = most
        self._open = 0
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._limiter: anyio.CapacityLimiter | None = None
        self._bells: dict[Topic, set[Bell]] = {}
        self._marks: dict[Topic, Any] = {}
        self._looking: asyncio.Task[None] | None = None
        self._reading: dict[Hashable, asyncio.Task[Any]] = {}

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tell on which loop the requests are."""
        self._loop = loop

    def take(self) -> None:
        """Take a place for what stays open; raises Unavailable if there is none."""
        with self._lock:
            if self.closing:
                raise Unavailable("The service is stopping.")
            if self._open >= self._most:
                raise Unavailable(
                    f"{self._open} streams and waits are open, as many as there can be (ROTA_MAX_STREAMS)."
                )
            self._open += 1

    def give_back(self) -> None:
        """Give a place back."""
        with self._lock:
            self._open -= 1

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Take a place for a request that waits, and give it back when it is over; raises Unavailable."""
        self.take()
        try:
            yield
        finally:
            self.give_back()

    def close(self) -> None:
        """End all streams, so that the service can stop; their clients resume elsewhere."""
        self.closing = True
        if self._looking is not None:
            self._looking.cancel()
        self._ring(set(self._bells))

    @contextlib.contextmanager
    def listening(self, topic: Topic) -> Iterator[Bell]:
        """Give a bell that rings when there may be something new, from now on."""
        bell = Bell()
        self._bells.setdefault(topic, set()).add(bell)
        if self._looking is None and not self.closing:
            self._looking = asyncio.create_task(self._look(), name="rota-streams")
        try:
            yield bell
        finally:
            self._forget(topic, bell)

    async def read(self, what: Callable[..., R], *args: Any) -> R:
        """Call a function of the store that reads, in one of the few threads for it."""
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(_READS)
        return await anyio.to_thread.run_sync(self._read, what, args, limiter=self._limiter)

    async def shared(self, bell: Bell, what: Callable[..., R], *args: Hashable) -> R:
        """The same; listeners that were woken by the same ring and want the same are given one answer."""
        key = (bell.rings, what, args)
        reading = self._reading.get(key)
        if reading is None:
            reading = self._reading[key] = asyncio.create_task(self.read(what, *args))
            reading.add_done_callback(lambda _: self._reading.pop(key, None))
        answer: R = await asyncio.shield(reading)
        return answer

    def committed(self, effects: Sequence[Effect]) -> None:
        """Wake those whom a commit concerns; called in the writer's thread."""
        if not self._bells or self._loop is None:
            return
        topics: set[Topic] = {effect.task_id for effect in effects if isinstance(effect, _CHANGING)}
        if any(isinstance(effect, _TOLD) for effect in effects):
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
                self._loop.call_soon_threadsafe(self._ring, topics | {EVENTS})

    def _read(self, what: Callable[..., R], args: Sequence[Any]) -> R:
        with self._database.read() as connection:
            return what(connection, *args)

    def _ring(self, topics: set[Topic]) -> None:
        for topic in topics & self._bells.keys():
            for bell in self._bells[topic]:
                bell.ring()

    def _forget(self, topic: Topic, bell: Bell) -> None:
        bells = self._bells[topic]
        bells.discard(bell)
        if bells:
            return
        del self._bells[topic]
        self._marks.pop(topic, None)
        if not self._bells and self._looking is not None:
            self._looking.cancel()
            self._looking = None

    async def _look(self) -> None:
        """See what other processes have committed, for as long as somebody listens."""
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            try:
                found = await self.read(marks, tuple(self._bells))
            except Unavailable as error:
                log.warning("streams.unavailable", error=error.detail)
                continue
            except Exception:
                log.exception("streams.look_failed")
                continue
            changed = {topic for topic in self._bells if found.get(topic) != self._marks.get(topic)}
            self._marks = found
            self._ring(changed)


class EventStream(StreamingResponse):
    """A response that goes on until its source ends, its client is gone, or does not take what it is sent."""

    def __init__(self, streams: Streams, source: AsyncGenerator[str, None]) -> None:
        """Take a place, which is given back when it is over; raises Unavailable if there is none."""
        streams.take()
        super().__init__(source, media_type="text/event-stream", headers=_HEADERS)
        self._streams = streams
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if WITHOUT_BODY in scope:
            await self._source.aclose()
            self._streams.give_back()
            await Response(headers=self.headers)(scope, receive, send)
            return

        async def patient(message: Any) -> None:
            async with asyncio.timeout(SLOWEST):
                await send(message)

        try:
            await super().__call__(scope, receive, patient)
        except* TimeoutError:
            log.warning("streams.slow", path=scope["path"], seconds=SLOWEST)
        except* AppError as errors:  # the client resumes: it may be over by then
            log.warning("streams.broken", path=scope["path"], error=str(errors.exceptions[0]))
        finally:
            with anyio.CancelScope(shield=True):
                await self._source.aclose()
            self._streams.give_back()


def opening(id: str | None) -> str:
    """Return what a stream begins with: after a break, the client comes back soon, and goes on behind `id`."""
    return f"retry: {_RETRY_MS}\n\n" if id is None else f"retry: {_RETRY_MS}\nid: {id}\n\n"


def heartbeat(id: str) -> str:
    """Return what keeps a quiet connection alive; the client has been told of all up to `id`."""
    return f": alive\nid: {id}\n\n"


def event(type: str, at: datetime, data: Any, id: str | None = None) -> str:
    """Return an event as it is sent. One without an id is to be told again after a break."""
    envelope = {"type": type, "timestamp": format_instant(at), "data": data}
    head = f"event: {type}\n" if id is None else f"event: {type}\nid: {id}\n"
    return f"{head}data: {render(envelope)}\n\n"
