"""From the body of a registration to its command: the handler is known, its input fits, secrets are filled in."""

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from rota.api.http.routing import StrictRoute
from rota.api.http.services import Services
from rota.api.http.validation import refusal
from rota.api.tasks.names import check_names
from rota.api.tasks.request_models import TaskIn
from rota.db.client_reads import ClientReads
from rota.domain.access.principal import Principal
from rota.domain.constraints.definitions import Reachable
from rota.domain.hosts.policy import TargetPolicy
from rota.domain.http_target.auth import OAuth2Auth
from rota.domain.http_target.secret_headers import REDACTED
from rota.domain.http_target.target import Target, restore
from rota.domain.kv.entries import KvLimits
from rota.domain.primitives.json import json_text
from rota.domain.primitives.texts.sealed import SealedText
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.calendar_use import with_no_days
from rota.domain.schedules.definitions import AnyOf, Planned
from rota.domain.schedules.fire_times import first_fire
from rota.domain.step_budget import AT_ONCE, FOR_A_REGISTRATION, for_a_batch, limited_to
from rota.domain.tasks.definition import OnConflict, TaskDefinition
from rota.domain.tasks.seeds import to_operations
from rota.errors import Fault, Invalid, NotFound, TooCostly, sentence
from rota.store.handlers import HandlerInfo
from rota.store.sealing.secret_inputs import open_input_of
from rota.store.task_rows import find_task
from rota.store.tasks.registration import Register

# Items of a refused batch that are searched for unknown handlers.
_MOST_SEARCHED = 100
#: The problems of a registration, besides those of its form.
REGISTERING = (
    "unknown-handler",
    "invalid-input",
    "time-in-the-past",
    "kv-schema",
    "unusable-secret",
    "quota-exceeded",
    "conflict",
    "sealed",
)


class RegistrationRoute(StrictRoute):
    """A route for registrations: an error of their form includes unknown handlers."""

    async def complete(self, request: Request, refused: Invalid, body: Any) -> Invalid:
        return await with_unknown_handlers(request.app.state.services, body, refused)


async def with_unknown_handlers(services: Services, body: Any, refused: Invalid) -> Invalid:
    """Return an error of registrations with their unknown handlers added: these may be the cause."""
    faults = list(refused.faults)
    there = {fault.pointer for fault in faults}
    for at, handler in _handlers_of(body):
        fault = await services.handlers.fault(handler)
        if fault is not None and f"{at}/handler" not in there:
            faults.insert(0, Fault(f"{at}{fault.pointer}", fault.detail))
    if len(faults) == len(refused.faults):
        return refused
    return refusal(faults, refused.slug, refused.omitted)


def _handlers_of(body: Any) -> Iterator[tuple[str, str]]:
    """Yield (pointer to the registration, handler) for registrations that name one."""
    if not isinstance(body, dict):
        return
    items = body.get("items")
    several = enumerate(items[:_MOST_SEARCHED]) if isinstance(items, list) else ()
    for at, given in (("", body), *((f"/items/{index}", item) for index, item in several)):
        if isinstance(given, dict) and isinstance(given.get("handler"), str) and given["handler"]:
            yield at, given["handler"]


async def prepare(
    services: Services,
    body: TaskIn,
    name: str,
    caller: Principal,
    on_conflict: OnConflict = OnConflict.UPDATE,
) -> Register:
    """Return the command that registers a task.

    Raises Invalid, also if the handler does not accept the input, or the client may not use a name in it.
    """
    await check_names(services, caller, body, name)
    return Register(
        name=name,
        definition=await _definition(services, body, name),
        paused=body.paused,
        on_conflict=on_conflict,
        by=caller.label,
        limit=caller.tasks,
        seeds=to_operations(body.kv),
        limits=KvLimits.of(services.settings),
    )


async def _definition(services: Services, body: TaskIn, name: str) -> TaskDefinition:
    definition = body.definition()
    check_hosts(services.targets, definition)
    kept = await _kept_input(services, body, name)
    if kept is None:
        handler = await services.handlers.check(body.handler, body.input, body.schedule)
    else:
        handler = await _check_kept(services, body, json_text.loads(kept))
        definition = definition.model_copy(update={"input": None})
    refused = handler.fault_of(secret_input=definition.secret_input)
    if refused is not None:
        raise refusal([refused])
    if handler.timeout is not None and "timeout" not in body.model_fields_set:
        definition = definition.model_copy(update={"timeout": handler.timeout})
    if definition.target is not None and REDACTED in definition.target.headers.values():
        target = await run_in_threadpool(_with_secrets, services.database, name, definition.target)
        definition = definition.model_copy(update={"target": target})
    return definition


def check_hosts(targets: TargetPolicy, definition: TaskDefinition) -> None:
    """Raise Invalid for an address that the service may not connect to; names are judged when they are resolved."""
    faults = [
        Fault(pointer, fault)
        for pointer, host in _hosts_of(definition)
        if (fault := targets.fault_of(host)) is not None
    ]
    if faults:
        raise refusal(faults)


def _hosts_of(definition: TaskDefinition) -> Iterator[tuple[str, str]]:
    """Yield (pointer, host) for each place where a definition names a host."""
    if definition.target is not None:
        yield "/target/url", urlsplit(definition.target.url).hostname or ""
        if isinstance(definition.target.auth, OAuth2Auth):
            token_url = definition.target.auth.token_url
            yield "/target/auth/token_url", urlsplit(token_url).hostname or ""
    for index, constraint in enumerate(definition.constraints):
        if isinstance(constraint, Reachable):
            field = "host" if constraint.url is None else "url"
            host = constraint.host or urlsplit(constraint.url or "").hostname or ""
            yield f"/constraints/{index}/{field}", host


async def check_cost(services: Services, command: Register) -> None:
    """Raise Invalid if the first fire time takes more steps than the writer allows: all other writes wait for it."""
    schedule = command.definition.schedule
    if not isinstance(schedule, AnyOf):  # a single rule never does
        return
    rule = with_no_days(schedule)  # which days those of a calendar are costs no more steps
    anchor = Anchor(services.clock.now(), command.name)
    try:
        with limited_to(AT_ONCE):
            first_fire(rule, anchor)
    except TooCostly:
        await services.computing.run(
            _check_costs, [(rule, anchor, "/schedule")], FOR_A_REGISTRATION
        )


async def check_costs(services: Services, items: Sequence[Register]) -> None:
    """The same for a batch, whose items share their steps; the error points at the item that exceeds them."""
    now = services.clock.now()
    unions = [
        (with_no_days(item.definition.schedule), Anchor(now, item.name), f"/items/{index}/schedule")
        for index, item in enumerate(items)
        if isinstance(item.definition.schedule, AnyOf)
    ]
    if unions:
        await services.computing.run(_check_costs, unions, for_a_batch(len(items)))


def _check_costs(planned: Sequence[tuple[Planned, Anchor, str]], steps: int) -> None:
    with limited_to(steps):
        for schedule, anchor, pointer in planned:
            try:
                first_fire(schedule, anchor)
            except TooCostly as error:
                raise refusal([Fault(pointer, error.detail)]) from None


async def _kept_input(services: Services, body: TaskIn, name: str) -> str | None:
    """Return the JSON text of the stored secret input, if a registration keeps that; None if it gives an input."""
    given = body.input is not None and "input" in body.model_fields_set
    if given or not body.secret_input:
        return None
    return await run_in_threadpool(_present_input, services.database, name)


async def _check_kept(services: Services, body: TaskIn, kept: Any) -> HandlerInfo:
    """Check a stored secret input against the handler; raises Invalid without quoting the input."""
    try:
        return await services.handlers.check(body.handler, kept, body.schedule)
    except Invalid as error:
        if error.slug != "invalid-input":
            raise
        detail = "the stored secret input does not fit the handler; give another one"
        raise Invalid(
            sentence(f"/input: {detail}"), Fault("/input", detail), slug=error.slug
        ) from None


def _present_input(database: ClientReads, name: str) -> str | None:
    """Return the JSON text of the secret input of a task, if there is one; raises Sealed."""
    with database.read() as connection:
        try:
            present = find_task(connection, name)
        except NotFound:
            return None
        text = present.definition.input
        if not isinstance(text, SealedText):
            return None
        return open_input_of(connection, present.id, present.definition, text)


def _with_secrets(database: ClientReads, name: str, target: Target) -> Target:
    try:
        with database.read() as connection:
            stored = find_task(connection, name).definition.target
    except NotFound:
        stored = None
    try:
        return restore(target, stored)
    except KeyError as error:
        header = str(error.args[0])
        detail = f"{REDACTED!r} refers to a value that is stored for this server, but none is; give the value"
        raise Invalid(
            sentence(f"/target/headers/{header}: {detail}"),
            Fault(f"/target/headers/{header}", detail),
        ) from None
