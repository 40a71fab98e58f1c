"""Tasks: register, declare, read, list, change, delete."""

from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request, Response

from rota.api.http.access import ReadsTasks, WritesTasks
from rota.api.http.audit_entries import of_registration, of_task
from rota.api.http.etags import IfMatch, IfNoneMatch, precondition
from rota.api.http.pagination import (
    Cursor,
    Limit,
    WithTotal,
    decode_cursor,
    fitting,
    paginate,
    show_total,
    split,
    split_all_tags,
)
from rota.api.http.request_model import check_name
from rota.api.http.responses import IdempotencyKey, commit, idempotency_key, reply, send
from rota.api.http.routing import router
from rota.api.http.services import Served, Services, Traceparent
from rota.api.http.validation import checked_filter
from rota.api.problems.problem import describe
from rota.api.tasks.dry_runs.response_models import DryRunOut
from rota.api.tasks.dry_runs.responses import DryRunQuery, dry_run_one, show_one, try_one
from rota.api.tasks.merge_patch import apply_patch
from rota.api.tasks.names import generated_name
from rota.api.tasks.registration import (
    REGISTERING,
    RegistrationRoute,
    check_cost,
    prepare,
)
from rota.api.tasks.rendering import holds_now, render, render_at_once, render_task
from rota.api.tasks.request_models import DeclaredTaskIn, TaskIn
from rota.api.tasks.response_models import RegistrationOut, TaskOut, TasksOut, UpcomingOut
from rota.api.tasks.views import show_latest, show_task, show_upcoming
from rota.domain.access.scopes import Scope
from rota.domain.audit.actions import Action
from rota.domain.primitives.texts.names import NAME_PREFIX_PATTERN, Name
from rota.domain.step_budget import FOR_A_PAGE, limited_to
from rota.domain.tasks.definition import OnConflict, TaskStatus
from rota.store.access.quotas import within_registration
from rota.store.runs.listing.latest import latest_runs as runs_of_each
from rota.store.task_rows import TaskFilter, count_tasks, find_task, list_sizes, list_tasks
from rota.store.tasks.declaration import Registration
from rota.store.tasks.lifecycle import Change, Delete
from rota.store.tasks.registration import Register

routes: APIRouter = router("/v1/tasks", "tasks", RegistrationRoute)

MOST_LATEST = 30
LatestRuns = Annotated[
    int,
    Query(
        ge=0,
        le=MOST_LATEST,
        description=f"Return up to so many of the latest runs of each task as well, at most {MOST_LATEST}. A key that "
        "may not read runs gets none.",
        examples=[20],
    ),
]


@routes.post(
    "",
    status_code=201,
    response_model=RegistrationOut,
    responses=describe(
        "task-exists",
        "unplannable",
        *REGISTERING,
        also={
            200: {
                "model": RegistrationOut | DryRunOut,
                "description": "Kept, updated, replaced; or what would be done.",
            }
        },
    ),
)
async def register(
    request: Request,
    services: Served,
    caller: WritesTasks,
    traceparent: Traceparent,
    body: TaskIn,
    on_conflict: Annotated[
        OnConflict, Query(description="What to do if the name is taken.")
    ] = OnConflict.REJECT,
    dry_run: DryRunQuery = False,  # noqa: FBT002
    _key: IdempotencyKey = None,
) -> Response:
    """Register a task: a handler to call, an input, a schedule."""
    name = body.name or generated_name(body.handler, caller.tasks)
    command = await prepare(services, body, name, caller, on_conflict)
    await check_cost(services, command)
    command = replace(command, traceparent=traceparent)
    given = body.gives_timeout
    key = idempotency_key(request)
    if dry_run:
        return await dry_run_one(services, caller, command, timeout_given=given)
    logged = within_registration(
        caller,
        of_registration(Action.TASK_REGISTERED, name, command),
        seeds=bool(command.seeds),
    )
    if key is None:
        made = await services.writer.run(logged)
        return send(await render(services, made, timeout_given=given))
    rendered = partial(render_at_once, services, timeout_given=given)
    return await commit(request, services, logged, rendered)


@routes.get("", response_model=TasksOut, responses=describe())
def list_all(
    services: Served,
    caller: ReadsTasks,
    limit: Limit = 50,
    cursor: Cursor = None,
    status: Annotated[
        list[str] | None, Query(description="`active`, `paused`, `completed`, `cancelled`.")
    ] = None,
    tag: Annotated[
        list[str] | None, Query(description="Tasks that have one of these tags.")
    ] = None,
    all_tags: Annotated[
        list[str] | None,
        Query(description="Tasks that have each of these tags.", examples=[["billing,eu"]]),
    ] = None,
    handler: Annotated[list[str] | None, Query()] = None,
    queue: Annotated[list[str] | None, Query()] = None,
    name_prefix: Annotated[str, Query(pattern=NAME_PREFIX_PATTERN)] = "",
    failing: Annotated[  # noqa: FBT002  # a parameter of the query
        bool, Query(description="Only active tasks whose last run has failed.")
    ] = False,
    total: WithTotal = False,  # noqa: FBT002  # a parameter of the query
    latest_runs: LatestRuns = 0,
) -> Response:
    """List tasks by name. Values of one filter are OR-ed, filters are AND-ed."""
    wanted = TaskFilter(
        status=checked_filter("status", split(status), TaskStatus),
        tag=split(tag),
        all_tags=split_all_tags(all_tags),
        handler=split(handler),
        queue=split(queue),
        name_prefix=name_prefix,
        failing=failing,
        limit=caller.tasks,
    )
    position = decode_cursor(cursor, 1)
    after = position[0] if position else ""
    with services.database.read() as connection:
        limit = max(len(fitting(list_sizes(connection, wanted, after, limit), int)), 1)
        found = list_tasks(connection, wanted, after, limit + 1)
        counted = show_total(count_tasks(connection, wanted)) if total else {}
        page, following = paginate(found, limit, lambda task: [task.name])
        number = latest_runs if caller.may(Scope.RUNS_READ) else 0
        latest = runs_of_each(connection, [each.id for each in page], number)
    with limited_to(FOR_A_PAGE):
        holds = holds_now(services)
        items = [show_task(task, holds) | show_latest(latest, task.id, number) for task in page]
    return send(reply(200, {"items": items, "next_cursor": following, **counted}))


@routes.put(
    "/{name}",
    response_model=RegistrationOut | DryRunOut,
    responses=describe(
        "not-found",
        "unplannable",
        "precondition-failed",
        *REGISTERING,
        also={201: {"model": RegistrationOut, "description": "Created."}},
    ),
)
async def declare(
    request: Request,
    services: Served,
    caller: WritesTasks,
    traceparent: Traceparent,
    name: Name,
    body: DeclaredTaskIn,
    dry_run: DryRunQuery = False,  # noqa: FBT002
    _match: IfMatch = None,
    _none_match: IfNoneMatch = None,
) -> Response:
    """Declare a task: create it, or update it. An unchanged declaration leaves it as it is."""
    check_name(body.name, name, "task")
    command = await prepare(services, body, name, caller)
    await check_cost(services, command)
    command = replace(
        command, expected=precondition(request), declared=True, traceparent=traceparent
    )
    given = body.gives_timeout
    if dry_run:
        return await dry_run_one(services, caller, command, timeout_given=given)
    logged = within_registration(
        caller, of_registration(Action.TASK_DECLARED, name, command), seeds=bool(command.seeds)
    )
    made = await services.writer.run(logged)
    return send(await render(services, made, timeout_given=given))


@routes.get("/{name}", response_model=TaskOut, responses=describe(404))
def read(services: Served, _caller: ReadsTasks, name: Name) -> Response:
    """Read a task."""
    with services.database.read() as connection:
        return send(render_task(services, find_task(connection, name)))


@routes.patch(
    "/{name}",
    response_model=RegistrationOut | DryRunOut,
    responses=describe(
        "not-found", "wrong-status", "unplannable", "precondition-failed", *REGISTERING
    ),
)
async def patch(
    request: Request,
    services: Served,
    caller: WritesTasks,
    traceparent: Traceparent,
    name: Name,
    body: Annotated[
        dict[str, Any],
        Body(
            openapi_examples={"input": {"value": {"input": {"name": "Grace"}, "priority": 5}}},
            description="A merge patch (RFC 7396): null resets a field to its default.",
        ),
    ],
    dry_run: DryRunQuery = False,  # noqa: FBT002
    _match: IfMatch = None,
) -> Response:
    """Change some fields of a task; `next_fire_at` moves the next fire time, once (null undoes that)."""
    expected, given = precondition(request), body.get("timeout") is not None
    if dry_run:
        attempt = partial(try_one, services, caller)
        would = await apply_patch(services, name, body, caller, expected, attempt)
        return await show_one(services, would, timeout_given=given)

    async def write(command: Register) -> Registration:
        command = replace(command, traceparent=traceparent)
        logged = of_registration(Action.TASK_CHANGED, name, command)
        limited = within_registration(caller, logged, seeds=bool(command.seeds))
        return await services.writer.run(limited)

    made = await apply_patch(services, name, body, caller, expected, write)
    return send(await render(services, made, timeout_given=given))


@routes.delete("/{name}", status_code=204, response_class=Response, responses=describe(404, 412))
async def delete(
    request: Request, services: Served, caller: WritesTasks, name: Name, _match: IfMatch = None
) -> Response:
    """Cancel a task, then remove it with its runs and its key-value table. Its name can be used again at once."""
    command = Delete(Change(name=name, by=caller.label, expected=precondition(request)))
    await services.writer.run(of_task(Action.TASK_DELETED, name, command))
    return Response(status_code=204)


@routes.get(
    "/{name}/upcoming",
    response_model=UpcomingOut,
    responses=describe("not-found", "unplannable"),
)
async def read_upcoming(
    services: Served,
    _caller: ReadsTasks,
    name: Name,
    count: Annotated[int, Query(ge=1, le=1_000)] = 10,
) -> Response:
    """Return the next fire times of a task; of a paused one, as if it were resumed now."""
    items = await services.computing.run(_upcoming, services, name, count)
    return send(reply(200, UpcomingOut(items=items)))


def _upcoming(services: Services, name: str, count: int) -> list[str]:
    with services.database.read() as connection:
        task = find_task(connection, name)
    return show_upcoming(task, services.clock.now(), count)
