"""Actions on a task: pause, resume, cancel, run, ping."""

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from rota.api.http.access import WritesRuns, WritesTasks
from rota.api.http.audit_entries import of_run, of_task
from rota.api.http.etags import IfMatch, precondition
from rota.api.http.responses import IdempotencyKey, commit, send
from rota.api.http.routing import router
from rota.api.http.services import Served, Services, Traceparent
from rota.api.problems.problem import describe
from rota.api.runs.response_models import RunOut
from rota.api.runs.views import run_accepted, run_recorded
from rota.api.tasks.rendering import render_task
from rota.api.tasks.request_models import PauseIn, PingIn, ResumeIn, RunIn
from rota.api.tasks.response_models import TaskOut
from rota.domain.access.quotas import Counted
from rota.domain.audit.actions import Action
from rota.domain.primitives.json import json_text
from rota.domain.primitives.texts.names import Name
from rota.errors import Fault, Invalid
from rota.store.access.quotas import within
from rota.store.task_rows import find_task
from rota.store.tasks.lifecycle import Cancel, Change, Pause, Resume
from rota.store.tasks.ping import Ping
from rota.store.tasks.run_commands import RunNow

routes: APIRouter = router("/v1/tasks", "tasks")


@routes.post(
    "/{name}/pause",
    response_model=TaskOut,
    responses=describe("not-found", "wrong-status", "conflict", "precondition-failed"),
)
async def pause(
    request: Request,
    services: Served,
    caller: WritesTasks,
    name: Name,
    body: PauseIn | None = None,
    _match: IfMatch = None,
) -> Response:
    """Stop firing. Queued runs and retries wait; running ones end."""
    change = Change(name=name, by=caller.label, expected=precondition(request))
    command = Pause(change, None if body is None else body.reason)
    logged = of_task(Action.TASK_PAUSED, name, command)
    return send(render_task(services, await services.writer.run(logged)))


@routes.post(
    "/{name}/resume",
    response_model=TaskOut,
    responses=describe("not-found", "wrong-status", "conflict", "precondition-failed"),
)
async def resume(
    request: Request,
    services: Served,
    caller: WritesTasks,
    name: Name,
    body: ResumeIn | None = None,
    _match: IfMatch = None,
) -> Response:
    """Fire again. The fire times that passed are one skipped run, reason `paused`."""
    change = Change(name=name, by=caller.label, expected=precondition(request))
    command = Resume(change, (body or ResumeIn()).catch_up)
    logged = of_task(Action.TASK_RESUMED, name, command)
    return send(render_task(services, await services.writer.run(logged)))


@routes.post(
    "/{name}/cancel",
    response_model=TaskOut,
    responses=describe("not-found", "wrong-status", "conflict", "precondition-failed"),
)
async def cancel(
    request: Request, services: Served, caller: WritesTasks, name: Name, _match: IfMatch = None
) -> Response:
    """End a task: nothing fires, unfinished runs are cancelled; the task, its kv and its history stay."""
    change = Change(name=name, by=caller.label, expected=precondition(request))
    logged = of_task(Action.TASK_CANCELLED, name, Cancel(change))
    return send(render_task(services, await services.writer.run(logged)))


@routes.post(
    "/{name}/run",
    status_code=202,
    response_model=RunOut,
    responses=describe(
        "not-found", "wrong-status", "overlap", "invalid-input", "quota-exceeded", "sealed"
    ),
)
async def run(
    request: Request,
    services: Served,
    caller: WritesRuns,
    name: Name,
    traceparent: Traceparent,
    body: RunIn | None = None,
    _key: IdempotencyKey = None,
) -> Response:
    """Run a task now, also a paused one. If it skips on overlap and has an unfinished run, that is a 409."""
    requested = body or RunIn()
    replaces = "input" in requested.model_fields_set
    if replaces:
        handler = await run_in_threadpool(_handler_of, services, name)
        await services.handlers.check(handler, requested.input)
    if "scheduled_for" in requested.model_fields_set and requested.scheduled_for is None:
        raise Invalid(
            "/scheduled_for: give a time, or leave it out.", Fault("/scheduled_for", "give a time")
        )
    command = RunNow(
        task=name,
        input=json_text.dumps(requested.input) if replaces else None,
        scheduled_for=requested.scheduled_for,
        traceparent=traceparent,
    )
    logged = of_run(Action.RUN_REQUESTED, command)
    limited = within(caller, Counted.UNFINISHED_RUNS, logged, adds=1)
    return await commit(request, services, limited, run_accepted)


@routes.post(
    "/{name}/ping",
    status_code=201,
    response_model=RunOut,
    responses=describe("not-found", "wrong-status"),
)
async def ping(
    request: Request,
    services: Served,
    _caller: WritesRuns,
    name: Name,
    traceparent: Traceparent,
    body: PingIn | None = None,
    _key: IdempotencyKey = None,
) -> Response:
    """Report that work of a task has ended outside of Rota: a finished run, and a sign of life (`expect_every`)."""
    reported = body or PingIn()
    command = Ping(
        task=name,
        status=reported.status,
        message=reported.message,
        duration=reported.duration,
        traceparent=traceparent,
    )
    return await commit(request, services, command, run_recorded)


def _handler_of(services: Services, name: str) -> str:
    with services.database.read() as connection:
        return find_task(connection, name).definition.handler
