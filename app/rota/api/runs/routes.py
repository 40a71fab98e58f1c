"""Runs: read, wait for, cancel and run again."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from rota.api.http.access import ReadsRuns, WritesRuns
from rota.api.http.audit_entries import of_rerun, of_run
from rota.api.http.responses import IdempotencyKey, commit, reply, send
from rota.api.http.routing import router
from rota.api.http.services import Served, Services, Traceparent
from rota.api.problems.problem import describe
from rota.api.runs.request_models import RerunIn
from rota.api.runs.response_models import RunOut
from rota.api.runs.views import run_accepted, show_run_with_attempts
from rota.domain.access.names import NameLimit
from rota.domain.access.principal import Principal
from rota.domain.access.quotas import Counted
from rota.domain.audit.actions import Action
from rota.domain.primitives.ids import GivenId, Id
from rota.domain.primitives.json import json_text
from rota.domain.runs.lineage import Neighbours
from rota.store.access.quotas import within
from rota.store.idempotency import Reply
from rota.store.runs.graph import neighbours
from rota.store.runs.reading import find_run, find_run_with_links, is_final, list_attempts
from rota.store.task_rows import find_task
from rota.store.tasks.run_commands import CancelRun, Rerun

routes: APIRouter = router("/v1/runs", "runs")

LONGEST_WAIT = 60
# Commits of other processes wake no waiter here, so it polls this often.
_POLL_EVERY = 1.0


@routes.get("/{id}", response_model=RunOut, responses=describe(404))
async def read(
    services: Served,
    caller: ReadsRuns,
    id: GivenId,
    wait: Annotated[
        float,
        Query(
            ge=0,
            le=LONGEST_WAIT,
            description="Seconds to wait for the run to be final. A request that waits counts towards "
            "ROTA_MAX_STREAMS.",
        ),
    ] = 0,
) -> Response:
    """Read a run with its attempts; with `wait`, when it is final or the time is up."""
    if wait:
        await _until_final(services, id, caller.tasks, wait)
    return send(await run_in_threadpool(_shown, services, id, caller.tasks))


@routes.post(
    "/{id}/cancel",
    status_code=202,
    response_model=RunOut,
    responses=describe("not-found", "wrong-status"),
)
async def cancel(services: Served, caller: WritesRuns, id: GivenId) -> Response:
    """Cancel a waiting run at once; request a running one to end (if it finishes first, its outcome counts)."""
    await _check_run(services, caller, id)
    run = await services.writer.run(of_run(Action.RUN_CANCELLED, CancelRun(id)))
    # Not among the reads of the key, which may be refused: the run is cancelled.
    return send(run_accepted(run, await services.reader.run(list_attempts, run)))


@routes.post(
    "/{id}/rerun",
    status_code=202,
    response_model=RunOut,
    responses=describe("not-found", "wrong-status", "overlap", "quota-exceeded", "sealed"),
)
async def rerun(
    request: Request,
    services: Served,
    caller: WritesRuns,
    id: GivenId,
    traceparent: Traceparent,
    body: RerunIn | None = None,
    _key: IdempotencyKey = None,
) -> Response:
    """Run a finished run again: a new run with the same `scheduled_for`, and the same input, or another one."""
    await _check_run(services, caller, id)
    replaces = body is not None and "input" in body.model_fields_set
    if body is not None and replaces:
        handler = await run_in_threadpool(_handler_of, services, id)
        await services.handlers.check(handler, body.input)
    input = json_text.dumps(body.input) if body is not None and replaces else None
    logged = of_rerun(Rerun(id, traceparent, input))
    command = within(caller, Counted.UNFINISHED_RUNS, logged, adds=1)
    return await commit(request, services, command, run_accepted)


async def _check_run(services: Services, caller: Principal, id: Id) -> None:
    """Raise NotFound for a run of a task that the client may not see. A run keeps its task, and a task its name."""
    if not caller.tasks.is_unlimited:
        await run_in_threadpool(_is_final, services, id, caller.tasks)


def _shown(services: Services, id: Id, limit: NameLimit) -> Reply:
    with services.database.read() as connection:
        run, linked = find_run_with_links(connection, id, limit)
        around = neighbours(connection, id, limit) if linked else Neighbours()
        return reply(200, show_run_with_attempts(run, list_attempts(connection, run), around))


async def _until_final(services: Services, id: Id, limit: NameLimit, wait: float) -> None:
    """Wait up to `wait` seconds for a run to be final; raises Unavailable if too many streams and waits are open."""
    ends_at = services.clock.monotonic() + wait
    if await run_in_threadpool(_is_final, services, id, limit):
        return
    with services.streams.slot(), services.waiters.waiting(id) as ended:
        while not services.streams.closing and not await run_in_threadpool(
            _is_final, services, id, limit
        ):
            left = ends_at - services.clock.monotonic()
            if left <= 0:
                return
            try:
                async with asyncio.timeout(min(left, _POLL_EVERY)):
                    await ended.wait()
            except TimeoutError:
                continue


def _handler_of(services: Services, id: Id) -> str:
    with services.database.read() as connection:
        return find_task(connection, find_run(connection, id).task).definition.handler


def _is_final(services: Services, id: Id, limit: NameLimit) -> bool:
    with services.database.read() as connection:
        return is_final(connection, id, limit)
