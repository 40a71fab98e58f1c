"""GET /v1/events: what happens in the service, as server-sent events."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Response
from starlette.responses import StreamingResponse

from rota.api.http.access import ReadsRuns
from rota.api.http.pagination import split
from rota.api.http.routing import router
from rota.api.http.services import Served, Services
from rota.api.http.streaming import sse, streams
from rota.api.http.streaming.sse import EventStream, LastEventId
from rota.api.http.streaming.streams import Signal
from rota.api.http.validation import invalid_parameter
from rota.api.problems.problem import describe
from rota.domain.access.names import NameLimit
from rota.domain.alerts.events import AlertEvent
from rota.domain.effects import HoldEvent, TaskEvent
from rota.domain.holds.model import is_within
from rota.domain.runs.status import RunStatus
from rota.domain.stream_positions import EventPosition, parse_event_position
from rota.store.events.stored import EventsFound, StoredEvent, events_since, is_lost, newest

routes: APIRouter = router("/v1/events", "events")

#: All types of events; a filter that ends in `.*` means all of its kind.
TYPES = (
    *(f"run.{status}" for status in RunStatus if status.final),
    *(f"task.{what}" for what in TaskEvent),
    "kv.changed",
    # That a run has succeeded is an event already.
    *(f"alert.{what}" for what in AlertEvent if what is not AlertEvent.SUCCEEDED),
    *(f"hold.{what}" for what in HoldEvent),
)
_KINDS = frozenset(f"{each.partition('.')[0]}.*" for each in TYPES)


@dataclass(slots=True)
class _Subscription:
    """The filters of a client, and the position up to which it has received events. `limit`: the tasks that it may see.

    `lost`: events after the one that it named are not kept any more.
    """

    services: Services
    limit: NameLimit
    tasks: frozenset[str]
    types: frozenset[str]
    at: EventPosition
    lost: bool

    def includes(self, event: StoredEvent) -> bool:
        if self.types and event.type not in self.types:
            return False
        if "hold" in event.data:  # of all tasks that it selects
            return not self.tasks and is_within(event.data["within"], self.limit)
        task = event.data["task"]
        return (not self.tasks or task in self.tasks) and self.limit.covers(task)


@routes.get(
    "",
    response_class=StreamingResponse,
    responses=describe(
        also={200: {"content": {"text/event-stream": {}}, "description": "Events."}}
    ),
)
def listen(
    services: Served,
    caller: ReadsRuns,
    last_event: LastEventId,
    task: Annotated[list[str] | None, Query(description="Only of these tasks.")] = None,
    type: Annotated[
        list[str] | None,
        Query(description="Only of these types.", examples=[["run.failed", "task.*"]]),
    ] = None,
) -> Response:
    """Stream what happens from now on, or since the last event that you received, as server-sent events.

    Values of one filter are OR-ed, filters are AND-ed. `reset`: events after your last one are not kept any more.
    The stream does not end, so this page shows nothing of it; `curl -N` does.
    """
    types, after = _types(split(type)), last_event.read(parse_event_position)
    with services.database.read() as connection:
        at = newest(connection)
        lost = after is not None and is_lost(connection, after)
    subscription = _Subscription(
        services=services,
        limit=caller.tasks,
        tasks=frozenset(split(task)),
        types=types,
        at=at if after is None or lost else after,
        lost=lost,
    )
    return EventStream(services.streams, _stream(subscription))


async def _stream(subscription: _Subscription) -> AsyncGenerator[str, None]:
    """Yield events until the service stops."""
    with subscription.services.streams.subscribe(streams.EVENTS) as signal:
        yield sse.opening(str(subscription.at))
        if subscription.lost:
            reason = "events after the one that you name are not kept any more"
            yield _reset(subscription, reason, subscription.at)
        async for text in _follow(subscription, signal):
            yield text


async def _follow(subscription: _Subscription, signal: Signal) -> AsyncGenerator[str, None]:
    """Yield events; without any for a while, however much happens that the client does not receive, a heartbeat."""
    service, clock = subscription.services.streams, subscription.services.clock
    heartbeat_at = clock.monotonic() + service.heartbeat
    while not service.closing:
        signal.clear()
        found: EventsFound = await service.shared_read(signal, events_since, subscription.at)
        if found.cut is not None:  # by retention, while this client received earlier ones
            reason = "events after the one that you received last are not kept any more"
            yield _reset(subscription, reason, found.cut)
        for each in filter(subscription.includes, found.events):
            yield sse.event(each.type, each.at, each.data, str(each.position))
            heartbeat_at = clock.monotonic() + service.heartbeat
        subscription.at = found.position
        left = heartbeat_at - clock.monotonic()
        if left <= 0 or not (found.more or await signal.wait(left)):
            yield sse.heartbeat(str(subscription.at))
            heartbeat_at = clock.monotonic() + service.heartbeat


def _reset(subscription: _Subscription, reason: str, at: EventPosition) -> str:
    return sse.event("reset", subscription.services.clock.now(), {"reason": reason}, str(at))


def _types(given: tuple[str, ...]) -> frozenset[str]:
    for each in given:
        if each not in TYPES and each not in _KINDS:
            there = ", ".join((*TYPES, *sorted(_KINDS)))
            raise invalid_parameter("type", f"{each[:40]!r} is none of {there}")
    meant = (kind for each in given for kind in TYPES if each in {kind, f"{kind.split('.')[0]}.*"})
    return frozenset(meant)
