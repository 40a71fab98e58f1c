"""Streams of server-sent events that continue after a break."""

import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from rota.client.aio.concurrency import sleep
from rota.client.aio.transport import AsyncTransport
from rota.client.errors import ProblemError, Unreachable
from rota.client.retries import backoff, may_pass
from rota.client.sse import ServerSentEvent, SseDecoder
from rota.client.timing import Deadline, deadline

T = TypeVar("T")
log = logging.getLogger("rota.client")

#: A stream that is alive sends something every 15 seconds.
SILENCE = 45.0
#: How often a first connection is tried.
FIRST_TRIES = 5
_REMEMBERED = 1_000


class AsyncEventSource:
    """The events at a path. After a break it connects again, and goes on behind the last event."""

    def __init__(
        self,
        transport: AsyncTransport,
        path: str,
        parameters: Mapping[str, Any],
        *,
        after: str | None = None,
        silence: Callable[[], float] = lambda: SILENCE,
        first_tries: float = FIRST_TRIES,
        until: Deadline | None = None,
    ) -> None:
        """`after`: the id behind which to begin. `silence`: seconds without a byte that mean a break.

        `first_tries`: how often a stream that has not begun yet may fail; one that has begun always goes on.
        `until`: when nobody waits any more.
        """
        self._transport = transport
        self._path = path
        self._parameters = parameters
        self._silence = silence
        self._first_tries = first_tries
        self._until = until or deadline(None)
        self._seen: deque[str] = deque(maxlen=_REMEMBERED)
        self.position = after
        self.has_begun = False

    async def moments(self) -> AsyncGenerator[ServerSentEvent | None, None]:
        """Yield events, and None whenever something may have been missed, or nothing has happened for a while."""
        failures = 0
        while True:
            wait = 0.0
            try:
                async with aclosing(self._connection()) as events:
                    async for event in events:
                        failures = failures if event is None else 0
                        yield event
            except (Unreachable, ProblemError) as error:
                has_failed = not self.has_begun and failures + 1 >= self._first_tries
                if has_failed or not may_pass(error):
                    raise
                log.info("the stream of %s is broken: %s", self._path, error)
                wait = getattr(error, "retry_after", None) or 0.0
            yield None
            failures += 1
            await sleep(min(max(wait, backoff(failures)), self._until.left))

    async def _connection(self) -> AsyncGenerator[ServerSentEvent | None, None]:
        headers = {"Accept": "text/event-stream"}
        if self.position is not None:
            headers["Last-Event-ID"] = self.position
        stream = self._transport.stream(self._path, self._parameters, headers, self._silence())
        async with stream as chunks:
            self.has_begun = True
            decoder = SseDecoder()
            async for chunk in chunks:
                is_silent = True
                for event in decoder.feed(chunk):
                    if self._is_new(event):
                        is_silent = False
                        yield event
                if is_silent:
                    yield None

    def _is_new(self, event: ServerSentEvent) -> bool:
        """Note the position; return whether the event has something to say, and was not there before."""
        if event.id is not None:
            if event.id in self._seen:
                return False
            self._seen.append(event.id)
            self.position = event.id
        return bool(event.data)


class AsyncStream(Generic[T]):
    """An iterator over events. In a `with` it has begun when the block begins; without one, at the first item."""

    def __init__(
        self,
        source: AsyncEventSource,
        made: Callable[[ServerSentEvent], T],
        *,
        end: str = "",
        last: str = "",
    ) -> None:
        """`made` makes an item of an event; the stream ends before the type `end`, or behind the type `last`."""
        self._source = source
        self._made = made
        self._end = end
        self._last = last
        self._moments = source.moments()
        self._first: deque[tuple[ServerSentEvent | None, str | None]] = deque()
        self._position = source.position
        self._has_ended = False

    @property
    def position(self) -> str | None:
        """The id behind which another stream can continue: that of the last item that was given, or a later one."""
        return self._position

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        while not self._has_ended:
            event, self._position = self._first.popleft() if self._first else await self._next()
            if event is None:
                continue
            self._has_ended = event.type in {self._end, self._last}
            if event.type != self._end:
                return self._made(event)
        await self.close()
        raise StopAsyncIteration

    async def _next(self) -> tuple[ServerSentEvent | None, str | None]:
        """Return the next moment, and the position after it."""
        event = await anext(self._moments)
        return event, self._source.position

    async def close(self) -> None:
        """Close the connection."""
        self._has_ended = True
        await self._moments.aclose()

    async def __aenter__(self) -> Self:
        # What happens from now on is heard, also before the first item is asked for.
        while not self._source.has_begun:
            self._first.append(await self._next())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
