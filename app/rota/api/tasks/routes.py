"""Tasks: register, declare, read, change, delete."""

from asyncio import sleep
from contextlib import suppress
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from rota.api.http.etags import etag, precondition
from rota.api.http.pagination import Cursor, Limit, decode_cursor, encode_cursor, fitting, split
from rota.api.http.responses import IdempotencyKey, commit, idempotency_key, reply, send
from rota.api.http.routing import router
from rota.api.http.services import Principal, Served, Services
from rota.api.http.validation import invalid_parameter, refusal, validated
from rota.api.problems.problem import describe
from rota.api.tasks.registration import (
    NEXT_FIRE,
    RegistrationRoute,
    RegistrationsRoute,
    check_cost,
    check_costs,
    made_up_name,
    merge_task,
    parse_next_fire,
    pointing_into,
    prepare,
    with_unknown_handlers,
)
from rota.api.tasks.request_models import BatchIn, DeclaredTaskIn, TaskIn
from rota.api.tasks.response_models import BatchOut, RegistrationOut, TaskOut, TasksOut, UpcomingOut
from rota.api.tasks.views import show_definition, show_registration, show_task, show_upcoming
from rota.domain.kv.entries import KvLimits
from rota.domain.primitives.bounds import without_defaults
from rota.domain.primitives.names import NAME_PREFIX_PATTERN, Name
from rota.domain.primitives.preconditions import Precondition
from rota.domain.step_budget import AT_ONCE, FOR_A_PAGE, limited_to
from rota.domain.tasks.definition import OnConflict, Registered, Task, TaskStatus
from rota.domain.tasks.seeds import to_operations
from rota.domain.validation.messages import nearest
from rota.errors import Conflict, Fault, Invalid, PreconditionFailed, TooCostly, Unavailable
from rota.store.idempotency import Reply
from rota.store.task_rows import TaskFilter, find_task, list_sizes, list_tasks, present_task
from rota.store.tasks.declaration import Registration
from rota.store.tasks.lifecycle import Change, Delete, check_expected
from rota.store.tasks.registration import Register, RegisterAll

#: What is wrong with a registration beside its form, and what else keeps it from being stored.
REGISTERING = (
    "unknown-handler",
    "invalid-input",
    "time-in-the-past",
    "kv-schema",
    "conflict",
    "sealed",
)
routes: APIRouter = router("/v1/tasks", "tasks", RegistrationRoute)
batches: APIRouter = router("/v1/tasks", "tasks", RegistrationsRoute)

IfMatch = Annotated[
    str | None, Header(alias="If-Match", description="The ETag that the task must still have.")
]
IfNoneMatch = Annotated[
    str | None, Header(alias="If-None-Match", description="`*`: only create, never overwrite.")
]
# A patch is merged into what was read; if that was changed meanwhile, it is read again.
_PATCH_TRIES = 10
# So many items of a batch are prepared without a pause.
_SLICE = 20


@routes.post(
    "",
    status_code=201,
    response_model=RegistrationOut,
    responses=describe(
        "task-exists",
        "unplannable",
        *REGISTERING,
        also={200: {"model": RegistrationOut, "description": "Kept, updated, replaced."}},
    ),
)
async def register(
    request: Request,
    services: Served,
    principal: Principal,
    body: TaskIn,
    on_conflict: Annotated[
        OnConflict, Query(description="What to do if the name is taken.")
    ] = OnConflict.REJECT,
    _key: IdempotencyKey = None,
) -> Response:
    """Register a task: a handler to call, an input, a schedule."""
    name = body.name or made_up_name(body.handler)
    definition = await prepare(services, body, name)
    await check_cost(services, name, definition)
    command = Register(
        name=name,
        definition=definition,
        paused=body.paused,
        on_conflict=on_conflict,
        by=principal,
        seeds=to_operations(body.kv),
        limits=KvLimits.of(services.settings),
    )
    if idempotency_key(request) is None:
        made = await services.writer.run(command)
        return send(await _answered(services, made, timeout_given=_gives_timeout(body)))
    rendered = partial(_answered_at_once, services, timeout_given=_gives_timeout(body))
    return await commit(request, services, command, rendered)


@routes.get("", response_model=TasksOut, responses=describe())
def list_all(
    services: Served,
    limit: Limit = 50,
    cursor: Cursor = None,
    status: Annotated[
        list[str] | None, Query(description="`active`, `paused`, `completed`, `cancelled`.")
    ] = None,
    tag: Annotated[
        list[str] | None, Query(description="Tasks that have one of these tags.")
    ] = None,
    handler: Annotated[list[str] | None, Query()] = None,
    queue: Annotated[list[str] | None, Query()] = None,
    name_prefix: Annotated[str, Query(pattern=NAME_PREFIX_PATTERN)] = "",
) -> Response:
    """List tasks by name. Values of one filter are OR-ed, filters are AND-ed."""
    wanted = TaskFilter(
        status=_statuses(split(status)),
        tag=split(tag),
        handler=split(handler),
        queue=split(queue),
        name_prefix=name_prefix,
    )
    position = decode_cursor(cursor, 1)
    after = position[0] if position else ""
    with services.database.read() as connection:
        limit = max(len(fitting(list_sizes(connection, wanted, after, limit), int)), 1)
        found = list_tasks(connection, wanted, after, limit + 1)
    page = found[:limit]
    following = encode_cursor([page[-1].name]) if len(found) > limit else None
    with limited_to(FOR_A_PAGE):
        items = [show_task(task) for task in page]
    return send(reply(200, {"items": items, "next_cursor": following}))


@batches.post(
    "/batch",
    status_code=201,
    response_model=BatchOut,
    responses=describe("task-exists", "unplannable", *REGISTERING),
)
async def register_batch(
    request: Request,
    services: Served,
    principal: Principal,
    body: BatchIn,
    _key: IdempotencyKey = None,
) -> Response:
    """Register up to 10,000 tasks, all or nothing; an error points at the item (`/items/417/…`)."""
    items: list[Register] = []
    for index, item in enumerate(body.items):
        if index % _SLICE == 0:
            await sleep(0)  # a long batch is no reason for others to wait
        items.append(await _batch_item(services, principal, body.on_conflict, index, item))
    _check_names_differ(items)
    await check_costs(services, items)
    return await commit(request, services, RegisterAll(tuple(items)), _batch_registered)


@routes.put(
    "/{name}",
    response_model=RegistrationOut,
    responses=describe(
        "unplannable",
        "precondition-failed",
        *REGISTERING,
        also={201: {"model": RegistrationOut, "description": "Created."}},
    ),
)
async def declare(
    request: Request,
    services: Served,
    principal: Principal,
    name: Name,
    body: DeclaredTaskIn,
    _match: IfMatch = None,
    _none_match: IfNoneMatch = None,
) -> Response:
    """Declare a task: make it, or make it so. An unchanged declaration leaves it as it is."""
    _check_name(body, name)
    definition = await prepare(services, body, name)
    await check_cost(services, name, definition)
    command = Register(
        name=name,
        definition=definition,
        paused=body.paused,
        on_conflict=OnConflict.UPDATE,
        by=principal,
        seeds=to_operations(body.kv),
        limits=KvLimits.of(services.settings),
        expected=precondition(request),
        declared=True,
    )
    made = await services.writer.run(command)
    return send(await _answered(services, made, timeout_given=_gives_timeout(body)))


@routes.get("/{name}", response_model=TaskOut, responses=describe(404))
def read(services: Served, name: Name) -> Response:
    """Read a task."""
    with services.database.read() as connection:
        return send(task_reply(find_task(connection, name)))


@routes.patch(
    "/{name}",
    response_model=RegistrationOut,
    responses=describe(
        "not-found", "wrong-status", "unplannable", "precondition-failed", *REGISTERING
    ),
)
async def patch(
    request: Request,
    services: Served,
    principal: Principal,
    name: Name,
    body: Annotated[
        dict[str, Any],
        Body(
            openapi_examples={"input": {"value": {"input": {"name": "Grace"}, "priority": 5}}},
            description="A merge patch (RFC 7396): null takes a member back to its default.",
        ),
    ],
    _match: IfMatch = None,
) -> Response:
    """Change some members of a task; `next_fire_at` moves the next fire time, once (null takes that back)."""
    expected = precondition(request)
    for _ in range(_PATCH_TRIES - 1):
        command = await _patched(services, principal, name, body, expected)
        with suppress(PreconditionFailed):  # it was changed since it was read here
            made = await services.writer.run(command)
            return send(await _answered(services, made, timeout_given=_patches_timeout(body)))
    command = await _patched(services, principal, name, body, expected)
    made = await services.writer.run(command)
    return send(await _answered(services, made, timeout_given=_patches_timeout(body)))


@routes.delete("/{name}", status_code=204, response_class=Response, responses=describe(404, 412))
async def delete(
    request: Request, services: Served, principal: Principal, name: Name, _match: IfMatch = None
) -> Response:
    """Cancel a task, then remove it with its runs and its key-value table. Its name is free at once."""
    await services.writer.run(
        Delete(Change(name=name, by=principal, expected=precondition(request)))
    )
    return Response(status_code=204)


@routes.get(
    "/{name}/upcoming",
    response_model=UpcomingOut,
    responses=describe("not-found", "unplannable"),
)
async def read_upcoming(
    services: Served, name: Name, count: Annotated[int, Query(ge=1, le=1_000)] = 10
) -> Response:
    """Tell the next fire times of a task; of a paused one, as if it were resumed now."""
    items = await services.computing.run(_upcoming, services, name, count)
    return send(reply(200, {"items": items}))


def task_reply(task: Task) -> Reply:
    """Render a task with its ETag."""
    return reply(200, show_task(task), {"etag": etag(task.id, task.generation)})


def _upcoming(services: Services, name: str, count: int) -> list[str]:
    return show_upcoming(_find(services, name), services.clock.now(), count)


def _patches_timeout(patch: dict[str, Any]) -> bool:
    return patch.get("timeout") is not None


def _gives_timeout(body: TaskIn) -> bool:
    """Tell whether a registration names a timeout, be it that of the default."""
    return "timeout" in body.model_fields_set


async def _answered(services: Services, made: Registration, *, timeout_given: bool) -> Reply:
    """Render what a registration has done: at once where that is cheap, as it nearly always is, else in a slot."""
    rendered = partial(_registered, services, made, timeout_given=timeout_given)
    try:
        with limited_to(AT_ONCE):
            return rendered()
    except TooCostly:
        pass
    try:
        return await services.computing.run(rendered)
    except (TooCostly, Unavailable):  # it is registered: that has to be said
        return rendered(look_ahead=False)


def _answered_at_once(services: Services, made: Registration, *, timeout_given: bool) -> Reply:
    """Render the same within the write, which keeps everybody waiting."""
    rendered = partial(_registered, services, made, timeout_given=timeout_given)
    try:
        with limited_to(AT_ONCE):
            return rendered()
    except TooCostly:
        return rendered(look_ahead=False)


def _registered(
    services: Services, made: Registration, *, timeout_given: bool, look_ahead: bool = True
) -> Reply:
    headers = {"etag": etag(made.task.id, made.task.generation)}
    created = made.outcome is Registered.CREATED
    if created:
        headers["location"] = f"/v1/tasks/{made.task.name}"
    shown = show_registration(
        made,
        services.clock.now(),
        handler_is_live=services.handlers.is_live(made.task.definition.handler),
        timeout_given=timeout_given,
        look_ahead=look_ahead,
    )
    return reply(201 if created else 200, shown, headers)


def _batch_registered(made: list[Registration]) -> Reply:
    outcomes = [each.outcome for each in made]
    counts = {str(outcome): outcomes.count(outcome) for outcome in Registered}
    return reply(201, {**counts, "names": [each.task.name for each in made]})


async def _batch_item(
    services: Services, principal: str, on_conflict: OnConflict, index: int, item: TaskIn
) -> Register:
    name = item.name or made_up_name(item.handler)
    try:
        definition = await prepare(services, item, name)
    except Invalid as error:
        faults = [Fault(f"/items/{index}{fault.pointer}", fault.detail) for fault in error.faults]
        raise refusal(faults, error.slug, error.omitted) from None
    return Register(
        name=name,
        definition=definition,
        paused=item.paused,
        on_conflict=on_conflict,
        by=principal,
        seeds=to_operations(item.kv),
        limits=KvLimits.of(services.settings),
    )


def _check_names_differ(items: list[Register]) -> None:
    first: dict[str, int] = {}
    for index, item in enumerate(items):
        if item.name in first:
            detail = f"the name {item.name!r} is that of item {first[item.name]} already"
            raise Invalid(f"/items/{index}/name: {detail}.", Fault(f"/items/{index}/name", detail))
        first[item.name] = index


def _check_name(declared: TaskIn, name: str) -> None:
    if declared.name not in {None, name}:
        detail = f"the path names the task {name!r}"
        raise Invalid(f"/name: {detail}.", Fault("/name", detail))


async def _patched(
    services: Services,
    principal: str,
    name: str,
    body: dict[str, Any],
    expected: Precondition | None,
) -> Register:
    present = await run_in_threadpool(_find, services, name)
    check_expected(present, expected)
    if present.status is TaskStatus.CANCELLED:
        raise Conflict(
            f"Task {name!r} is cancelled; register it again to revive it.",
            slug="wrong-status",
            present=present_task(present),
        )
    if body.get("paused") is False and present.status is TaskStatus.PAUSED:
        detail = f"a registration never unpauses; POST /v1/tasks/{name}/resume does"
        raise Invalid(f"/paused: {detail}.", Fault("/paused", detail))
    next_fire = parse_next_fire(body)
    changes = _of_definition(body)
    shown = without_defaults(show_definition(present), changes)
    declared = await _merged(services, shown, changes)
    _check_name(declared, name)
    definition = await prepare(services, declared, name)
    await check_cost(services, name, definition)
    return Register(
        name=name,
        definition=definition,
        paused=declared.paused,
        on_conflict=OnConflict.UPDATE,
        by=principal,
        seeds=to_operations(declared.kv),
        limits=KvLimits.of(services.settings),
        expected=Precondition.exactly(present.id, present.generation),
        next_fire=next_fire,
    )


async def _merged(services: Services, present: dict[str, Any], patch: dict[str, Any]) -> TaskIn:
    try:
        return validated(TaskIn, merge_task(present, patch))
    except Invalid as error:
        refused = pointing_into(patch, error)
        raise await with_unknown_handlers(services, patch, refused) from None


def _of_definition(patch: dict[str, Any]) -> dict[str, Any]:
    return {member: value for member, value in patch.items() if member != NEXT_FIRE}


def _find(services: Services, name: str) -> Task:
    with services.database.read() as connection:
        return find_task(connection, name)


def _statuses(given: tuple[str, ...]) -> tuple[str, ...]:
    known = {str(status) for status in TaskStatus}
    for status in given:
        if status not in known:
            there = ", ".join(sorted(known))
            raise invalid_parameter(
                "status", f"{status[:40]!r} is none of {there}{nearest(status, list(known))}"
            )
    return given
