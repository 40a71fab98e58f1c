"""Leases: workers outside, in any language and behind any firewall, take runs of declared handlers."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import ConfigDict, Field, StringConstraints, field_validator
from pydantic_core import PydanticCustomError
from starlette.concurrency import run_in_threadpool
from typing_extensions import TypedDict

from rota.api.http.access import Works, check_lease
from rota.api.http.formats import InstantText
from rota.api.http.request_model import RequestModel
from rota.api.http.responses import reply, send
from rota.api.http.routing import router
from rota.api.http.services import Served, Services
from rota.api.http.streaming.run_waiters import ReadyQueue
from rota.api.http.validation import refusal
from rota.api.kv.views import show_entry
from rota.api.problems.problem import describe
from rota.api.runs.response_models import RunSummaryOut
from rota.api.runs.views import show_run
from rota.domain.primitives.texts.names import READABLE_KEY_PATTERN, Name
from rota.domain.primitives.times.durations import Duration
from rota.domain.primitives.times.instants import format_instant
from rota.domain.runs.model import Run
from rota.domain.trace_context import traceparent_of_attempt
from rota.errors import Fault
from rota.store.declared_handlers import not_leasable
from rota.store.kv.handed_out import HandedOut, hand_out
from rota.store.runs.claiming.leasing import Lease, Leased, can_be_leased
from rota.store.runs.reading import find_runs

LONGEST_WAIT = 30
MOST_RUNS = 100
SHORTEST_LEASE = timedelta(seconds=1)
LONGEST_LEASE = timedelta(days=1)
# Commits of other processes wake no request here, so each looks this often by itself; and never more often than that.
_LOOK_EVERY = 1.0
_LOOK_AFTER = 0.05

_HandlerName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
_Key = Annotated[str, StringConstraints(pattern=READABLE_KEY_PATTERN)]


class LeaseIn(RequestModel):
    """What a worker can do, and how much of it now."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"handlers": ["thumbnails"], "max": 1, "wait": 20, "lease": 60}]
        }
    )

    handlers: tuple[_HandlerName, ...] = Field(
        min_length=1,
        max_length=100,
        description="Handlers that the worker has code for; each was declared by `PUT /v1/handlers/{name}`.",
        examples=[["thumbnails"]],
    )
    max: int = Field(
        1, strict=True, ge=1, le=MOST_RUNS, description="At most so many runs.", examples=[1]
    )
    wait: float = Field(
        0,
        ge=0,
        le=LONGEST_WAIT,
        description="Seconds to wait if there is no run. A request that waits counts towards ROTA_MAX_STREAMS.",
        examples=[20],
    )
    lease: Duration = Field(
        timedelta(seconds=60),
        description="How long the worker may be silent: each heartbeat extends the lease by so much. It ends with the "
        "`timeout` of the task at the latest. An attempt whose lease has expired has timed out, and is retried as the "
        "task says.",
        examples=[60],
    )
    kv: tuple[_Key, ...] | None = Field(
        None,
        max_length=100,
        description="The keys of the task's kv to hand out with each run; without it all, up to 256 KiB.",
        examples=[["cursor"]],
    )

    @field_validator("lease")
    @classmethod
    def _lease_within_limits(cls, lease: timedelta) -> timedelta:
        if not SHORTEST_LEASE <= lease <= LONGEST_LEASE:
            raise PydanticCustomError("lease", "a lease lasts between 1 second and 1 day")
        return lease


class LeasedRunOut(TypedDict):
    """A run that the worker holds, and what its attempt needs."""

    run: RunSummaryOut
    handler: Annotated[
        str, Field(description="Which of the handlers is to execute it.", examples=["thumbnails"])
    ]
    kv: Annotated[
        dict[str, Any],
        Field(
            description='Values of the task\'s kv, by key; one that is not JSON as `{"value", "encoding", '
            '"content_type"}`.',
            examples=[{"cursor": "8812"}],
        ),
    ]
    kv_revision: Annotated[
        int, Field(description="The revision that the kv had when it was read.", examples=[7])
    ]
    kv_truncated: Annotated[
        bool,
        Field(description="There are more entries, which did not fit: read them by their keys."),
    ]
    traceparent: Annotated[
        str | None,
        Field(
            description="For the requests of this attempt: the trace of the run, and a span of the attempt.",
            examples=["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
        ),
    ]
    token: Annotated[
        str,
        Field(
            description="Proves that the worker holds this attempt: `Authorization: Bearer …` or `X-Rota-Token: …` of "
            "`POST /v1/runs/{id}/complete` and `/heartbeat`.",
            examples=["pT3vO0mXq0n1o6dWw0o9Yl0y5bJwVxk2QfC8s1uHk7E"],
        ),
    ]
    lease_expires_at: InstantText


class LeasedOut(TypedDict):
    """The runs that the worker holds now, the best first; none if there were none in time."""

    items: list[LeasedRunOut]


routes: APIRouter = router("/v1/queues", "queues")


@routes.post("/{name}/lease", response_model=LeasedOut, responses=describe("not-found"))
async def lease(
    request: Request, services: Served, caller: Works, name: Name, body: LeaseIn
) -> Response:
    """Take runs of declared handlers from a queue, under the limits of the queue; wait for some if there are none.

    Each is running from then on, until its worker completes it, or its lease expires without a heartbeat. Runs of
    `http`, of Python handlers, and with secret inputs are never handed out.
    """
    check_lease(caller, name)
    await run_in_threadpool(_check_handlers, services, body.handlers)
    command = Lease(
        queue=name,
        handlers=body.handlers,
        limit=body.max,
        seconds=body.lease,
        tasks=caller.tasks,
    )
    leased = await services.writer.run(command)
    if not leased and body.wait:
        leased = await _until_leased(request, services, command, body.wait)
    if not leased:
        return send(reply(200, LeasedOut(items=[])))
    # Not among the reads of the key, which may be refused: only this response has the tokens of the leased runs.
    items = await services.streams.read(_shown, leased, body.kv, services.clock.now())
    response = send(reply(200, LeasedOut(items=items)))
    response.headers["cache-control"] = "no-store"
    return response


def _check_handlers(services: Services, handlers: Sequence[str]) -> None:
    with services.database.read() as connection:
        refused = not_leasable(connection, tuple(handlers))
    if refused:
        raise refusal(
            [
                Fault(
                    f"/handlers/{index}",
                    f"{name!r} is not a handler for workers; PUT /v1/handlers/{{name}} declares one",
                )
                for index, name in enumerate(handlers)
                if name in refused
            ]
        )


async def _until_leased(
    request: Request, services: Services, command: Lease, wait: float
) -> list[Leased]:
    """Wait up to `wait` seconds for runs; return none after that, at shutdown, or if the client has gone."""
    ends_at = services.clock.monotonic() + wait
    streams = services.streams
    with streams.slot(), services.waiters.waiting(ReadyQueue(command.queue)) as ready:
        while not streams.closing and not await request.is_disconnected():
            ready.clear()
            if await streams.read(can_be_leased, command.queue, command.handlers, command.tasks):
                leased = await services.writer.run(command)
                if leased:
                    return leased
            left = ends_at - services.clock.monotonic()
            if left <= 0:
                break
            await _ready_or_late(ready, left)
    return []


async def _ready_or_late(ready: asyncio.Event, left: float) -> None:
    """Wait until runs are queued, or for a while: at least a little, so that a busy queue is not asked all the time."""
    await asyncio.sleep(min(_LOOK_AFTER, left))
    try:
        async with asyncio.timeout(min(left, _LOOK_EVERY)):
            await ready.wait()
    except TimeoutError:
        return


def _shown(
    connection: Any, leased: Sequence[Leased], keys: Sequence[str] | None, now: datetime
) -> list[LeasedRunOut]:
    """Return leased runs with the kv of their tasks, of one moment; without those that were deleted since."""
    runs = find_runs(connection, [each.run_id for each in leased])
    owners = {run.task_id: run.task for run in runs.values()}
    tables = {owner[0]: hand_out(connection, owner, keys, now) for owner in owners.items()}
    held = ((each, runs[each.run_id]) for each in leased if each.run_id in runs)
    return [_show(each, run, tables[run.task_id]) for each, run in held]


def _show(leased: Leased, run: Run, table: HandedOut) -> LeasedRunOut:
    return {
        "run": show_run(run),
        "handler": leased.handler,
        "kv": {entry.key: _value(show_entry(entry)) for entry in table.entries},
        "kv_revision": table.revision,
        "kv_truncated": table.truncated,
        "traceparent": traceparent_of_attempt(run.traceparent, run.id, leased.attempt),
        "token": leased.token,
        "lease_expires_at": format_instant(leased.expires_at),
    }


def _value(entry: Any) -> Any:
    if "encoding" not in entry:
        return entry["value"]
    return {field: entry[field] for field in ("value", "encoding", "content_type")}
