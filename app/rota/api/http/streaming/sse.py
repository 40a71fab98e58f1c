"""Server-sent events: their text, the response that sends them, and where a client resumes."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeVar

import anyio
import structlog
from fastapi import Depends, Header, Query, Response
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from rota.api.http.streaming.streams import Streams
from rota.api.http.validation import invalid_parameter
from rota.domain.primitives.json.stored_json import render
from rota.domain.primitives.times.instants import format_instant
from rota.errors import AppError, Invalid

log = structlog.get_logger(__name__)

R = TypeVar("R")

#: In the scope of a request for the headers only: a stream sends them and ends.
WITHOUT_BODY = "rota.without_body"
#: Seconds after which a client that does not receive what it is sent is disconnected.
SEND_TIMEOUT = 30.0
_RETRY_MS = 2_000
_LONGEST_ID = 400
#: How a route that can answer with a stream describes it.
STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/event-stream": {}},
        "description": "The requested page, or a stream of events.",
    }
}
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


@dataclass(frozen=True, slots=True)
class LastEvent:
    """The last event that a client received, as it names it in a header, or where it cannot set one, in the query."""

    id: str | None
    in_query: bool = False

    def read(self, read: Callable[[str | None], R]) -> R:
        """Return the parsed id; raises Invalid, which names the header or the query parameter."""
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
            description="The id of the last event that you received: the stream continues after it.",
            max_length=_LONGEST_ID,
        ),
    ] = None,
    query: Annotated[
        str | None,
        Query(
            alias="last_event_id",
            description="The same, for a new EventSource, which cannot set the header. If both are given, the header "
            "counts.",
            max_length=_LONGEST_ID,
        ),
    ] = None,
) -> LastEvent:
    return LastEvent(header) if header is not None else LastEvent(query, query is not None)


LastEventId = Annotated[LastEvent, Depends(_last_event)]


class EventStream(StreamingResponse):
    """A response that lasts until its source ends, its client disconnects, or sending times out."""

    def __init__(self, streams: Streams, source: AsyncGenerator[str, None]) -> None:
        """Count as an open stream until the response ends; raises Unavailable if there are as many as allowed."""
        self._release = streams.acquire()
        super().__init__(source, media_type="text/event-stream", headers=_HEADERS)
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if WITHOUT_BODY in scope:
            await self._source.aclose()
            self._release()
            await Response(headers=self.headers)(scope, receive, send)
            return

        async def send_in_time(message: Any) -> None:
            async with asyncio.timeout(SEND_TIMEOUT):
                await send(message)

        try:
            await super().__call__(scope, receive, send_in_time)
        except* TimeoutError:
            log.warning("streams.slow", path=scope["path"], seconds=SEND_TIMEOUT)
        except* AppError as errors:  # the client resumes, by then perhaps with success
            log.warning("streams.broken", path=scope["path"], error=str(errors.exceptions[0]))
        finally:
            with anyio.CancelScope(shield=True):
                await self._source.aclose()
            self._release()


def opening(id: str | None) -> str:
    """Return the first block of a stream: how soon a client reconnects, and the id to resume after."""
    return f"retry: {_RETRY_MS}\n\n" if id is None else f"retry: {_RETRY_MS}\nid: {id}\n\n"


def heartbeat(id: str) -> str:
    """Return a comment that keeps a quiet connection open; all events up to `id` have been sent."""
    return f": alive\nid: {id}\n\n"


def event(type: str, at: datetime, data: Any, id: str | None = None) -> str:
    """Return the text of an event. A client does not resume after one without an id: it receives it again."""
    envelope = {"type": type, "timestamp": format_instant(at), "data": data}
    head = f"event: {type}\n" if id is None else f"event: {type}\nid: {id}\n"
    return f"{head}data: {render(envelope)}\n\n"
