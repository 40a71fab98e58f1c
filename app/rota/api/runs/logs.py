"""GET /v1/runs/{id}/logs: pages of log lines, and server-sent events."""

from collections.abc import AsyncGenerator
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Query, Response

from rota.api.http.access import ReadsRuns
from rota.api.http.pagination import Cursor, Limit, decode_cursor, foreign_cursor, paginate
from rota.api.http.responses import reply, send
from rota.api.http.routing import router
from rota.api.http.services import Served, Services
from rota.api.http.streaming import sse
from rota.api.http.streaming.sse import EventStream, LastEventId
from rota.api.http.validation import invalid_parameter
from rota.api.problems.problem import describe
from rota.api.runs.response_models import LogsOut
from rota.api.runs.views import show_log_line
from rota.domain.primitives.ids import GivenId
from rota.domain.runs.model import Run
from rota.store.runs.logs import follow_lines, list_lines
from rota.store.runs.reading import find_run

routes: APIRouter = router("/v1/runs", "runs")

_POLL_EVERY = 0.5
# Lines of one read of a stream.
_LINES = 200


class _Position(NamedTuple):
    """The last line that was sent; 0, 0: none."""

    attempt: int
    line: int

    def __str__(self) -> str:
        return f"{self.attempt}.{self.line}"


@routes.get(
    "/{id}/logs",
    response_model=LogsOut,
    responses=describe(
        404,
        also={
            200: {
                "content": {"text/event-stream": {}},
                "description": "A page; with `follow`, events.",
            }
        },
    ),
)
def logs(
    services: Served,
    caller: ReadsRuns,
    last_event: LastEventId,
    id: GivenId,
    limit: Limit = 50,
    cursor: Cursor = None,
    follow: Annotated[  # noqa: FBT002  # FastAPI passes it by name
        bool, Query(description="Server-sent events until the run is final.")
    ] = False,
) -> Response:
    """Read what the handler printed and logged, attempt after attempt."""
    after = _page_position(decode_cursor(cursor, 2))
    if follow and last_event.id:
        after = last_event.read(_event_position)
    elif last_event.in_query:
        raise invalid_parameter("last_event_id", "it goes with 'follow'")
    with services.database.read() as connection:
        run = find_run(connection, id, caller.tasks)
        found = [] if follow else list_lines(connection, id, after, limit + 1)
    if follow:
        return EventStream(services.streams, _follow(services, run, after))
    page, following = paginate(found, limit, lambda each: [str(each[0]), str(each[1].line)])
    items = [show_log_line(attempt, line) for attempt, line in page]
    return send(reply(200, LogsOut(items=items, next_cursor=following)))


async def _follow(services: Services, run: Run, after: _Position) -> AsyncGenerator[str, None]:
    """Yield lines as they are written, then `end`. Each read is short, so that no snapshot is held in between."""
    streams, clock = services.streams, services.clock
    with streams.subscribe(run.task_id) as signal:
        yield sse.opening(str(after))
        heartbeat_at = clock.monotonic() + streams.heartbeat
        while not streams.closing:
            signal.clear()
            final, lines = await streams.read(follow_lines, run.id, after, _LINES)
            for attempt, line in lines:
                after = _Position(attempt, line.line)
                yield sse.event("log", line.at, show_log_line(attempt, line), str(after))
            if lines:
                heartbeat_at = clock.monotonic() + streams.heartbeat
            elif final is not None:
                yield sse.event("end", clock.now(), {"status": final})
                return
            elif not await signal.wait(_POLL_EVERY) and clock.monotonic() >= heartbeat_at:
                yield sse.heartbeat(str(after))
                heartbeat_at = clock.monotonic() + streams.heartbeat


def _event_position(id: str | None) -> _Position:
    """Parse the id of an event; raises Invalid."""
    parts = (id or "").split(".")
    if len(parts) != len(_Position._fields) or not all(map(_is_number, parts)):
        raise invalid_parameter(
            "Last-Event-ID",
            "give the id of the last event that you received, or none",
            "invalid-header",
        )
    return _Position(*map(int, parts))


def _page_position(position: list[str] | None) -> _Position:
    if position is None:
        return _Position(0, 0)
    if not all(map(_is_number, position)):
        raise foreign_cursor()
    return _Position(*map(int, position))


def _is_number(part: str) -> bool:
    return part.isascii() and part.isdigit() and len(part) < 10
