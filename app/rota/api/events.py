"""GET /v1/events: what happens, as it happens, as server-sent events."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Response
from starlette.responses import StreamingResponse

from rota.api.http import sse
from rota.api.http.pagination import split
from rota.api.http.routing import router
from rota.api.http.services import Served, Services
from rota.api.http.sse import Bell, EventStream, LastEventId
from rota.api.http.validation import invalid_parameter
from rota.api.problems.problem import describe
from rota.domain.effects import TaskEvent
from rota.domain.runs.status import RunStatus
from rota.domain.stream_positions import EventPosition, parse_event_position
from rota.store.events import EventsFound, StoredEvent, events_since, is_lost, newest

routes: APIRouter = router("/v1/events", "events")

#: Every type there is; one that ends in `.*` stands for all of its kind.
TYPES = (
    *(f"run.{status}" for status in RunStatus if status.final),
    *(f"task.{what}" for what in TaskEvent),
    "kv.changed",
)
_KINDS = frozenset(f"{each.partition('.')[0]}.*" for each in TYPES)


@dataclass(slots=True)
class _Listener:
    """Who listens to what, and how far it has been told; `lost`: what came next is not kept any more."""

    services: Services
    tasks: frozenset[str]
    types: frozenset[str]
    at: EventPosition
    lost: bool

    def wants(self, event: StoredEvent) -> bool:
        """Tell whether it has asked for this event."""
        return (not self.tasks or event.data["task"] in self.tasks) and (
            not self.types or event.type in self.types
        )


@routes.get(
    "",
    response_class=StreamingResponse,
    responses=describe(
        also={200: {"content": {"text/event-stream": {}}, "description": "Events."}}
    ),
)
def listen(
    services: Served,
    last_event: LastEventId,
    task: Annotated[list[str] | None, Query(description="Only of these tasks.")] = None,
    type: Annotated[
        list[str] | None,
        Query(description="Only of these types.", examples=[["run.failed", "task.*"]]),
    ] = None,
) -> Response:
    """Tell what happens from now on, or since the event that you were told last, as server-sent events.

    Values of one filter are OR-ed, filters are AND-ed. `reset`: events since your last one are not kept any more.
    """
    types, after = _types(split(type)), last_event.read(parse_event_position)
    with services.database.read() as connection:
        at = newest(connection)
        lost = after is not None and is_lost(connection, after)
    made = _Listener(
        services=services,
        tasks=frozenset(split(task)),
        types=types,
        at=at if after is None or lost else after,
        lost=lost,
    )
    return EventStream(services.streams, _tell(made))


async def _tell(listener: _Listener) -> AsyncGenerator[str, None]:
    """Tell events as they come, until the service stops."""
    with listener.services.streams.listening(sse.EVENTS) as bell:
        yield sse.opening(str(listener.at))
        if listener.lost:
            reason = "events behind the one that you name are not kept any more"
            yield _reset(listener, reason, listener.at)
        async for text in _follow(listener, bell):
            yield text


async def _follow(listener: _Listener, bell: Bell) -> AsyncGenerator[str, None]:
    service = listener.services.streams
    while not service.closing:
        bell.hush()
        found: EventsFound = await service.shared(bell, events_since, listener.at)
        if found.cut is not None:  # by retention, while this client took what it was told before
            reason = "events behind the one that you were told last are not kept any more"
            yield _reset(listener, reason, found.cut)
        for each in found.events:
            if listener.wants(each):
                yield sse.event(each.type, each.at, each.data, str(each.position))
        listener.at = found.position
        if not found.more and not await bell.wait(service.heartbeat):
            yield sse.heartbeat(str(listener.at))


def _reset(listener: _Listener, reason: str, at: EventPosition) -> str:
    return sse.event("reset", listener.services.clock.now(), {"reason": reason}, str(at))


def _types(given: tuple[str, ...]) -> frozenset[str]:
    for each in given:
        if each not in TYPES and each not in _KINDS:
            there = ", ".join((*TYPES, *sorted(_KINDS)))
            raise invalid_parameter("type", f"{each[:40]!r} is none of {there}")
    meant = (kind for each in given for kind in TYPES if each in {kind, f"{kind.split('.')[0]}.*"})
    return frozenset(meant)
