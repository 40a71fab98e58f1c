"""What can be done to a task besides declaring it: pause, resume, cancel, run."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from starlette.concurrency import run_in_threadpool

from app.api import answers, schemas
from app.api.etags import precondition
from app.api.problems import describe
from app.api.replies import IdempotencyKey, commit, reply, send
from app.api.routing import router
from app.api.services import Principal, Served, Services
from app.api.tasks import task_reply
from app.api.views import show_run
from app.domain import values
from app.domain.names import Name
from app.domain.runs import Attempt, Run
from app.errors import Fault, Invalid
from app.store.idempotency import Reply
from app.store.runs import RunNow
from app.store.statuses import Cancel, Change, Pause, Resume
from app.store.tasks import find_task

routes: APIRouter = router("/v1/tasks", "tasks")

IfMatch = Annotated[
    str | None, Header(alias="If-Match", description="The ETag that the task must still have.")
]


@routes.post(
    "/{name}/pause",
    response_model=answers.TaskOut,
    responses=describe("not-found", "wrong-status", "conflict", "precondition-failed"),
)
async def pause(
    request: Request,
    services: Served,
    principal: Principal,
    name: Name,
    body: schemas.PauseIn | None = None,
    _match: IfMatch = None,
) -> Response:
    """Stop firing. Queued runs and retries wait; running ones end."""
    change = Change(name=name, by=principal, expected=precondition(request))
    command = Pause(change, None if body is None else body.reason)
    return send(task_reply(await services.writer.run(command)))


@routes.post(
    "/{name}/resume",
    response_model=answers.TaskOut,
    responses=describe("not-found", "wrong-status", "conflict", "precondition-failed"),
)
async def resume(
    request: Request,
    services: Served,
    principal: Principal,
    name: Name,
    body: schemas.ResumeIn | None = None,
    _match: IfMatch = None,
) -> Response:
    """Fire again. What passed meanwhile is one skipped run, reason `paused`."""
    change = Change(name=name, by=principal, expected=precondition(request))
    command = Resume(change, (body or schemas.ResumeIn()).catch_up)
    return send(task_reply(await services.writer.run(command)))


@routes.post(
    "/{name}/cancel",
    response_model=answers.TaskOut,
    responses=describe("not-found", "wrong-status", "conflict", "precondition-failed"),
)
async def cancel(
    request: Request, services: Served, principal: Principal, name: Name, _match: IfMatch = None
) -> Response:
    """End a task: nothing fires, unfinished runs are cancelled; the task, its kv and its history stay."""
    change = Change(name=name, by=principal, expected=precondition(request))
    return send(task_reply(await services.writer.run(Cancel(change))))


@routes.post(
    "/{name}/run",
    status_code=202,
    response_model=answers.RunOut,
    responses=describe("not-found", "wrong-status", "overlap", "invalid-input", "sealed"),
)
async def run(
    request: Request,
    services: Served,
    name: Name,
    body: schemas.RunIn | None = None,
    _key: IdempotencyKey = None,
) -> Response:
    """Run a task now, also a paused one. If it skips on overlap and has an unfinished run, that is a 409."""
    asked = body or schemas.RunIn()
    replaces = "input" in asked.model_fields_set
    if replaces:
        handler = await run_in_threadpool(_handler_of, services, name)
        await services.handlers.check(handler, asked.input)
    if "scheduled_for" in asked.model_fields_set and asked.scheduled_for is None:
        raise Invalid(
            "/scheduled_for: give a time, or leave it out.", Fault("/scheduled_for", "give a time")
        )
    command = RunNow(
        task=name,
        input=values.dumps(asked.input) if replaces else None,
        scheduled_for=asked.scheduled_for,
    )
    return await commit(request, services, command, run_accepted)


def _handler_of(services: Services, name: str) -> str:
    with services.database.read() as connection:
        return find_task(connection, name).definition.handler


def run_accepted(run: Run, attempts: Sequence[Attempt] = ()) -> Reply:
    """Render a run of which something was asked; a new one has no attempts yet."""
    return reply(202, show_run(run, attempts), {"location": f"/v1/runs/{run.id}"})
