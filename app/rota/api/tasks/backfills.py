"""Backfills: past fire times are run again."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Literal, NotRequired

from fastapi import APIRouter, Request, Response
from pydantic import ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from rota.api.http.access import ReadsRuns, WritesRuns
from rota.api.http.audit_entries import logged
from rota.api.http.formats import InstantText, show_instant
from rota.api.http.pagination import Cursor, Limit, decode_cursor, foreign_cursor, paginate
from rota.api.http.request_model import RequestModel
from rota.api.http.responses import IdempotencyKey, commit, reply, send
from rota.api.http.routing import router
from rota.api.http.services import Served, Services, Traceparent
from rota.api.problems.problem import describe
from rota.domain.access.quotas import Counted
from rota.domain.audit.actions import Action, Kind
from rota.domain.backfills import SHOWN, Backfill, Span, Survey, survey
from rota.domain.primitives.ids import GivenId, Id, to_id
from rota.domain.primitives.texts.names import Name
from rota.domain.primitives.times.durations import Duration, to_seconds
from rota.domain.primitives.times.instants import Instant, format_instant
from rota.domain.schedules.definitions import fires_unscheduled
from rota.domain.schedules.fire_times import fires_after_finish
from rota.domain.tasks.task import Task
from rota.errors import Fault, Invalid
from rota.store.access.quotas import within
from rota.store.audit.audited import Made
from rota.store.idempotency import Reply
from rota.store.scheduling.backfill import BeginBackfill, CancelBackfill
from rota.store.scheduling.backfill_rows import find_backfill, list_backfills
from rota.store.task_rows import find_task, task_id

routes: APIRouter = router("/v1/tasks", "bulk")

Order = Literal["oldest_first", "newest_first"]
MOST_CONCURRENT = 1_000
#: So that the times of all runs of a backfill fit in a datetime.
MOST_SPACING = timedelta(days=366)


class BackfillIn(RequestModel):
    """Which fire times to run again, and how."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "from": "2026-11-01T00:00:00Z",
                    "to": "2026-11-25T00:00:00Z",
                    "dry_run": True,
                }
            ]
        },
    )

    starts_at: Instant = Field(alias="from", description="The first instant of the span.")
    ends_at: Instant = Field(alias="to", description="The last one; not in the future.")
    dry_run: bool = Field(
        False,
        strict=True,
        description="Return the fire times, and run none.",
    )
    order: Order = "oldest_first"
    max_concurrent: Annotated[int, Field(strict=True, ge=1, le=MOST_CONCURRENT)] = Field(
        1, description="How many of its runs are unfinished at a time."
    )
    spacing: Duration = Field(
        timedelta(0),
        description="Minimum time between the earliest starts of two runs; at most 366 days.",
    )

    @field_validator("spacing")
    @classmethod
    def _within_a_year(cls, spacing: timedelta) -> timedelta:
        if spacing > MOST_SPACING:
            raise PydanticCustomError("spacing", "runs are at most 366 days apart")
        return spacing

    @property
    def newest_first(self) -> bool:
        return self.order == "newest_first"


class BegunOut(TypedDict):
    """A backfill that has begun, or (`backfill_id` null) what one would run."""

    backfill_id: str | None
    runs: Annotated[int, Field(description="How many fire times there are.")]
    fire_times: NotRequired[
        Annotated[
            list[InstantText],
            Field(
                [],
                description=f"Of a dry run: the first {SHOWN} in the order in which they would run.",
            ),
        ]
    ]


# `from` is a keyword of Python.
_SpanOut = TypedDict("_SpanOut", {"from": InstantText, "to": InstantText})


class BackfillOut(_SpanOut):
    """A backfill in its present state."""

    id: str
    task: str
    order: Order
    max_concurrent: int
    spacing: float
    runs: Annotated[int, Field(description="How many fire times it has.")]
    made: Annotated[int, Field(description="How many of them have become runs.")]
    next_at: Annotated[
        InstantText | None, Field(description="The fire time that becomes a run next.")
    ]
    created_at: InstantText
    created_by: str
    finished_at: Annotated[
        InstantText | None,
        Field(
            description="Since when it creates no more runs: all are created, or it was cancelled."
        ),
    ]


class BackfillsOut(TypedDict):
    """A page of backfills, newest first."""

    items: list[BackfillOut]
    next_cursor: str | None


@routes.post(
    "/{name}/backfill",
    status_code=202,
    response_model=BegunOut,
    responses=describe(
        "not-found",
        "wrong-status",
        "conflict",
        "unplannable",
        "quota-exceeded",
        also={200: {"model": BegunOut, "description": "What a backfill would run."}},
    ),
)
async def begin(
    request: Request,
    services: Served,
    caller: WritesRuns,
    traceparent: Traceparent,
    name: Name,
    body: BackfillIn,
    _key: IdempotencyKey = None,
) -> Response:
    """Run the fire times of a span again, a few at a time, also those that have a run already."""
    _check_span(body, services.clock.now())
    # In a thread: counting 100,000 fire times takes a while.
    task, span, found = await services.computing.run(_survey, services, name, body)
    if body.dry_run:
        return send(_would_run(found))
    command = BeginBackfill(
        task=name,
        expected=(task.id, task.generation),
        span=span,
        runs=found.runs,
        first=found.first,
        newest_first=body.newest_first,
        max_concurrent=body.max_concurrent,
        spacing=body.spacing,
        by=caller.label,
        traceparent=traceparent,
    )
    entry = logged(Action.BACKFILL_BEGUN, command, made=_made)
    limited = within(caller, Counted.UNFINISHED_RUNS, entry, adds=found.runs)
    return await commit(request, services, limited, _begun)


@routes.get("/{name}/backfills", response_model=BackfillsOut, responses=describe(404))
def list_of_task(
    services: Served, _caller: ReadsRuns, name: Name, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """List the backfills of a task, newest first."""
    after = _position(decode_cursor(cursor, 1))
    with services.database.read() as connection:
        found = list_backfills(connection, task_id(connection, name), after, limit + 1)
    page, following = paginate(found, limit, lambda each: [str(each.id)])
    items = [_show(each) for each in page]
    return send(reply(200, BackfillsOut(items=items, next_cursor=following)))


@routes.get("/{name}/backfills/{id}", response_model=BackfillOut, responses=describe(404))
def read(services: Served, _caller: ReadsRuns, name: Name, id: GivenId) -> Response:
    """Read a backfill. `GET /v1/runs?backfill_id=` lists its runs."""
    with services.database.read() as connection:
        return send(reply(200, _show(find_backfill(connection, task_id(connection, name), id))))


@routes.post("/{name}/backfills/{id}/cancel", response_model=BackfillOut, responses=describe(404))
async def cancel(services: Served, _caller: WritesRuns, name: Name, id: GivenId) -> Response:
    """Create no more runs, cancel those that wait, request those that run to end."""
    command = CancelBackfill(task=name, id=id)
    entry = logged(Action.BACKFILL_CANCELLED, command, made=_made)
    cancelled = await services.writer.run(entry)
    return send(reply(200, _show(cancelled)))


def _check_span(body: BackfillIn, now: datetime) -> None:
    if body.starts_at > body.ends_at:
        detail = "'from' is not after 'to'"
        raise Invalid(f"/from: {detail}.", Fault("/from", detail))
    if body.ends_at > now:
        detail = f"it is {format_instant(now)}; later fire times are fired by the schedule"
        raise Invalid(f"/to: {detail}.", Fault("/to", detail))


def _survey(services: Services, name: str, body: BackfillIn) -> tuple[Task, Span, Survey]:
    with services.database.read() as connection:
        task = find_task(connection, name)
    schedule = task.definition.schedule
    if fires_unscheduled(schedule) or fires_after_finish(schedule):
        detail = f"the schedule of task {name!r} has no fire times of its own, so there are none to run again"
        raise Invalid(f"{detail[0].upper()}{detail[1:]}.", Fault("", detail))
    span = Span(
        schedule=schedule,
        anchor=task.anchor,
        starts_at=body.starts_at,
        ends_at=body.ends_at,
    )
    return task, span, survey(span, newest_first=body.newest_first)


def _would_run(found: Survey) -> Reply:
    times = [format_instant(at) for at in found.shown]
    return reply(200, BegunOut(backfill_id=None, runs=found.runs, fire_times=times))


def _made(of: Backfill) -> Iterator[Made]:
    after = {
        "from": format_instant(of.span.starts_at),
        "to": format_instant(of.span.ends_at),
        "runs": of.runs,
        "made": of.made,
        "finished_at": show_instant(of.finished_at),
    }
    yield Made(kind=Kind.BACKFILL, name=of.id, task=of.task, after=after)


def _begun(made: Backfill) -> Reply:
    headers = {"location": f"/v1/tasks/{made.task}/backfills/{made.id}"}
    return reply(202, BegunOut(backfill_id=made.id, runs=made.runs), headers)


def _show(of: Backfill) -> BackfillOut:
    return {
        "id": of.id,
        "task": of.task,
        "from": format_instant(of.span.starts_at),
        "to": format_instant(of.span.ends_at),
        "order": "newest_first" if of.newest_first else "oldest_first",
        "max_concurrent": of.max_concurrent,
        "spacing": to_seconds(of.spacing),
        "runs": of.runs,
        "made": of.made,
        "next_at": show_instant(of.next_at),
        "created_at": format_instant(of.created_at),
        "created_by": of.created_by,
        "finished_at": show_instant(of.finished_at),
    }


def _position(position: list[str] | None) -> Id | None:
    if position is None:
        return None
    try:
        return to_id(position[0])
    except ValueError:
        raise foreign_cursor() from None
