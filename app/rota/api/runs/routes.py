"""Runs: list, read, wait for, cancel, run again, and what they said."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from rota.api.http.pagination import (
    Cursor,
    Limit,
    decode_cursor,
    encode_cursor,
    fitting,
    foreign_cursor,
    split,
)
from rota.api.http.requested_times import GivenTime, span_of, task_of
from rota.api.http.responses import IdempotencyKey, commit, reply, send
from rota.api.http.routing import router
from rota.api.http.services import Served, Services
from rota.api.http.sse import EventStream, LastEventId
from rota.api.http.validation import invalid_parameter
from rota.api.problems.problem import describe
from rota.api.runs.response_models import LogsOut, RunOut, RunsOut
from rota.api.runs.views import run_accepted, show_log_line, show_run
from rota.domain.primitives import json_text
from rota.domain.primitives.ids import GivenId, Id, to_id
from rota.domain.primitives.instants import format_instant, parse_instant
from rota.domain.primitives.names import Name
from rota.domain.runs.model import Attempt, LogLine, Run
from rota.domain.runs.status import RunStatus, Trigger
from rota.domain.validation.messages import nearest
from rota.errors import NotFound
from rota.store.idempotency import Reply
from rota.store.runs.logs import list_lines
from rota.store.runs.reading import RunFilter, find_run, is_final, list_attempts, list_runs
from rota.store.task_rows import find_task
from rota.store.tasks.run_commands import CancelRun, Rerun

routes: APIRouter = router("/v1/runs", "runs")
of_task: APIRouter = router("/v1/tasks", "runs")

LONGEST_WAIT = 60
# Commits of other processes wake nobody here, so a wait looks again this often.
_LOOK_AGAIN = 1.0
_FOLLOW_EVERY = 0.5
_LINES = 200

Filters = Annotated[list[str] | None, Query()]


@routes.get("", response_model=RunsOut, responses=describe())
def list_all(
    services: Served,
    limit: Limit = 50,
    cursor: Cursor = None,
    task: Filters = None,
    tag: Filters = None,
    status: Filters = None,
    reason: Filters = None,
    trigger: Filters = None,
    backfill_id: Filters = None,
    scheduled_from: GivenTime = None,
    scheduled_to: GivenTime = None,
) -> Response:
    """List runs, newest `scheduled_for` first. Values of one filter are OR-ed, filters are AND-ed.

    A date or a local time is on the clock of the task, if one is given.
    """
    named = task_of(services, split(task)) if scheduled_from or scheduled_to else None
    first, last = span_of(scheduled_from, scheduled_to, named)
    wanted = RunFilter(
        task=split(task),
        tag=split(tag),
        status=_known("status", split(status), RunStatus),
        reason=split(reason),
        trigger=_known("trigger", split(trigger), Trigger),
        backfill_id=_ids(split(backfill_id)),
        scheduled_from=first,
        scheduled_to=last,
    )
    return _page(services, wanted, cursor, limit)


@of_task.get("/{name}/runs", response_model=RunsOut, responses=describe(404))
def list_of_task(
    services: Served,
    name: Name,
    limit: Limit = 50,
    cursor: Cursor = None,
    status: Filters = None,
    reason: Filters = None,
    trigger: Filters = None,
    backfill_id: Filters = None,
    scheduled_from: GivenTime = None,
    scheduled_to: GivenTime = None,
) -> Response:
    """List the runs of a task, newest `scheduled_for` first."""
    with services.database.read() as connection:
        first, last = span_of(scheduled_from, scheduled_to, find_task(connection, name))
    wanted = RunFilter(
        task=(name,),
        status=_known("status", split(status), RunStatus),
        reason=split(reason),
        trigger=_known("trigger", split(trigger), Trigger),
        backfill_id=_ids(split(backfill_id)),
        scheduled_from=first,
        scheduled_to=last,
    )
    return _page(services, wanted, cursor, limit)


@routes.get("/{id}", response_model=RunOut, responses=describe(404))
async def read(
    services: Served,
    id: GivenId,
    wait: Annotated[
        float,
        Query(
            ge=0,
            le=LONGEST_WAIT,
            description="Seconds to wait for the run to be final. Whoever waits counts towards ROTA_MAX_STREAMS.",
        ),
    ] = 0,
) -> Response:
    """Read a run with its attempts; with `wait`, when it is final or the time is up."""
    if wait:
        await _until_final(services, id, wait)
    return send(await run_in_threadpool(_shown, services, id))


@routes.post(
    "/{id}/cancel",
    status_code=202,
    response_model=RunOut,
    responses=describe("not-found", "wrong-status"),
)
async def cancel(services: Served, id: GivenId) -> Response:
    """Cancel a waiting run at once; ask a running one to end (if it finishes first, the finish wins)."""
    run = await services.writer.run(CancelRun(id))
    return send(run_accepted(run, await run_in_threadpool(_attempts, services, run)))


@routes.post(
    "/{id}/rerun",
    status_code=202,
    response_model=RunOut,
    responses=describe("not-found", "wrong-status", "overlap", "sealed"),
)
async def rerun(
    request: Request, services: Served, id: GivenId, _key: IdempotencyKey = None
) -> Response:
    """Run a finished run again: a new run with the same input and `scheduled_for`."""
    return await commit(request, services, Rerun(id), run_accepted)


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
    last_event: LastEventId,
    id: GivenId,
    limit: Limit = 50,
    cursor: Cursor = None,
    follow: Annotated[  # noqa: FBT002  # FastAPI passes it by name
        bool, Query(description="Server-sent events until the run is final.")
    ] = False,
) -> Response:
    """Read what the handler printed and logged, attempt after attempt."""
    after = _line_position(decode_cursor(cursor, 2))
    if follow and last_event.id:
        after = last_event.read(_line_told)
    elif last_event.in_query:
        raise invalid_parameter("last_event_id", "it goes with 'follow'")
    with services.database.read() as connection:
        find_run(connection, id)
        found = [] if follow else list_lines(connection, id, after, limit + 1)
    if follow:
        return EventStream(services.streams, _follow(services, id, after))
    page = found[:limit]
    following = (
        encode_cursor([str(page[-1][0]), str(page[-1][1].line)]) if len(found) > limit else None
    )
    items = [show_log_line(attempt, line) for attempt, line in page]
    return send(reply(200, {"items": items, "next_cursor": following}))


def _page(services: Services, wanted: RunFilter, cursor: str | None, limit: int) -> Response:
    position = _run_position(decode_cursor(cursor, 2))
    with services.database.read() as connection:
        found = list_runs(connection, wanted, position, limit + 1)
    page = fitting(found[:limit], _size)
    following = (
        encode_cursor([format_instant(page[-1].scheduled_for), str(page[-1].id)])
        if len(found) > len(page)
        else None
    )
    return send(reply(200, {"items": [show_run(run) for run in page], "next_cursor": following}))


def _size(run: Run) -> int:
    return sum(
        len(text)
        for name, text in (("input", run.input), ("result", run.result or ""))
        if name not in run.left_out
    )


def _shown(services: Services, id: Id) -> Reply:
    with services.database.read() as connection:
        run = find_run(connection, id)
        return reply(200, show_run(run, list_attempts(connection, run)))


def _attempts(services: Services, run: Run) -> list[Attempt]:
    with services.database.read() as connection:
        return list_attempts(connection, run)


async def _until_final(services: Services, id: Id, wait: float) -> None:
    """Wait for a run to end. Whoever waits takes a place among the streams."""
    ends_at = services.clock.monotonic() + wait
    if await run_in_threadpool(_is_final, services, id):
        return
    with services.streams.place(), services.waiters.waiting(id) as ended:
        while not services.streams.closing and not await run_in_threadpool(_is_final, services, id):
            left = ends_at - services.clock.monotonic()
            if left <= 0:
                return
            try:
                async with asyncio.timeout(min(left, _LOOK_AGAIN)):
                    await ended.wait()
            except TimeoutError:
                continue


def _is_final(services: Services, id: Id) -> bool:
    with services.database.read() as connection:
        return is_final(connection, id)


async def _follow(services: Services, id: Id, after: tuple[int, int]) -> AsyncGenerator[str, None]:
    """Tell lines as they come. Each look is a short read of its own, so that no snapshot is held meanwhile."""
    while not services.streams.closing:
        final, lines = await run_in_threadpool(_look, services, id, after)
        for attempt, line in lines:
            after = (attempt, line.line)
            yield _event("log", show_log_line(attempt, line), f"{attempt}.{line.line}")
        if final and not lines:
            yield _event("end", {"status": final})
            return
        if not lines:
            await asyncio.sleep(_FOLLOW_EVERY)


def _look(
    services: Services, id: Id, after: tuple[int, int]
) -> tuple[str | None, list[tuple[int, LogLine]]]:
    with services.database.read() as connection:
        try:
            run = find_run(connection, id)
        except NotFound:  # deleted meanwhile, and with that cancelled
            return RunStatus.CANCELLED, []
        return run.status if run.status.final else None, list_lines(connection, id, after, _LINES)


def _event(kind: str, data: Any, id: str | None = None) -> str:
    head = f"event: {kind}\n" + (f"id: {id}\n" if id else "")
    return f"{head}data: {json_text.dumps(data)}\n\n"


def _known(
    name: str, given: tuple[str, ...], kind: type[RunStatus] | type[Trigger]
) -> tuple[str, ...]:
    known = {str(member) for member in kind}
    for each in given:
        if each not in known:
            there = ", ".join(sorted(known))
            detail = f"{each[:40]!r} is none of {there}{nearest(each, list(known))}"
            raise invalid_parameter(name, detail)
    return given


def _ids(given: tuple[str, ...]) -> tuple[Id, ...]:
    try:
        return tuple(to_id(each) for each in given)
    except ValueError:
        raise invalid_parameter("backfill_id", "this is not an id") from None


def _run_position(position: list[str] | None) -> tuple[datetime, Id] | None:
    if position is None:
        return None
    try:
        return parse_instant(position[0]), to_id(position[1])
    except ValueError:
        raise foreign_cursor() from None


def _line_told(id: str | None) -> tuple[int, int]:
    """Return the line that the id of an event stands for: its attempt and number."""
    parts = (id or "").split(".")
    if len(parts) != len(("attempt", "line")) or not all(map(_is_number, parts)):
        raise invalid_parameter(
            "Last-Event-ID",
            "give the id of the last event that you were told, or none",
            "invalid-header",
        )
    return int(parts[0]), int(parts[1])


def _is_number(part: str) -> bool:
    return part.isascii() and part.isdigit() and len(part) < 10


def _line_position(position: list[str] | None) -> tuple[int, int]:
    if position is None:
        return 0, 0
    if not all(map(_is_number, position)):
        raise foreign_cursor()
    return int(position[0]), int(position[1])
