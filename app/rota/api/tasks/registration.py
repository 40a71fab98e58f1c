"""From a body to a definition that can be kept: the handler is there, its input fits, secrets are in place."""

import secrets
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from fastapi import Request
from pydantic_core import PydanticCustomError
from starlette.concurrency import run_in_threadpool

from rota.api.http.routing import BATCH_BODY_LIMIT, BATCH_MOST_VALUES, StrictRoute
from rota.api.http.services import Services
from rota.api.http.validation import refusal
from rota.api.tasks.request_models import TaskIn
from rota.db.engine import Database
from rota.domain.http_target.target import REDACTED, Target, restore
from rota.domain.primitives import json_text
from rota.domain.primitives.instants import parse_instant
from rota.domain.primitives.json_text import unescape
from rota.domain.primitives.unset import UNSET, Unset
from rota.domain.schedules.definitions import AnyOf, Planned
from rota.domain.schedules.fire_times import Anchor, first_fire
from rota.domain.step_budget import AT_ONCE, FOR_A_REGISTRATION, for_a_batch, limited_to
from rota.domain.tasks.definition import TaskDefinition
from rota.domain.tasks.sealed_input import SealedText
from rota.errors import Fault, Invalid, NotFound, TooCostly
from rota.store.handlers import HandlerInfo
from rota.store.secret_inputs import open_input
from rota.store.task_rows import find_task
from rota.store.tasks.registration import Register

_LONGEST_PREFIX = 100
# Of a batch that is refused, so many are looked through for handlers that are not there.
_MOST_LOOKED_AT = 100
#: The one member of the service that a patch may set.
NEXT_FIRE = "next_fire_at"


class RegistrationRoute(StrictRoute):
    """A route that takes registrations: what is wrong with one includes a handler that is not there."""

    async def complete(self, request: Request, refused: Invalid, body: Any) -> Invalid:
        return await with_unknown_handlers(request.app.state.services, body, refused)


class RegistrationsRoute(RegistrationRoute):
    """The same for many registrations in one body."""

    body_limit = BATCH_BODY_LIMIT
    most_values = BATCH_MOST_VALUES


async def with_unknown_handlers(services: Services, body: Any, refused: Invalid) -> Invalid:
    """Return an error of registrations with their handlers that are not there: it may come from a misspelt one."""
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
    """Yield the handlers that registrations name, each with the pointer to its registration."""
    if not isinstance(body, dict):
        return
    items = body.get("items")
    several = enumerate(items[:_MOST_LOOKED_AT]) if isinstance(items, list) else ()
    for at, given in (("", body), *((f"/items/{index}", item) for index, item in several)):
        if isinstance(given, dict) and isinstance(given.get("handler"), str) and given["handler"]:
            yield at, given["handler"]


async def prepare(services: Services, body: TaskIn, name: str) -> TaskDefinition:
    """Return the definition to keep; raises Invalid, pointing at what the handler does not take."""
    definition = body.definition()
    kept = await _kept_input(services, body, name)
    if kept is None:
        handler = await services.handlers.check(body.handler, body.input, body.schedule)
    else:
        handler = await _check_kept(services, body, json_text.loads(kept))
        definition = definition.model_copy(update={"input": None})
    if handler.timeout is not None and "timeout" not in body.model_fields_set:
        definition = definition.model_copy(update={"timeout": handler.timeout})
    if definition.target is not None and REDACTED in definition.target.headers.values():
        target = await run_in_threadpool(_with_secrets, services.database, name, definition.target)
        definition = definition.model_copy(update={"target": target})
    return definition


async def check_cost(services: Services, name: str, definition: TaskDefinition) -> None:
    """Raise Invalid if the first fire time takes more steps than the writer would take: everybody waits for that."""
    if not isinstance(definition.schedule, AnyOf):  # one rule for itself never does
        return
    anchor = Anchor(services.clock.now(), name)
    try:
        with limited_to(AT_ONCE):
            first_fire(definition.schedule, anchor)
    except TooCostly:
        await services.computing.run(
            _check_costs, [(definition.schedule, anchor, "/schedule")], FOR_A_REGISTRATION
        )


async def check_costs(services: Services, items: Sequence[Register]) -> None:
    """The same for a batch, whose items share their steps; raises Invalid, pointing at the one that is too much."""
    now = services.clock.now()
    unions = [
        (item.definition.schedule, Anchor(now, item.name), f"/items/{index}/schedule")
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


def made_up_name(handler: str) -> str:
    """Return a name for a task that was registered without one."""
    return f"{handler[:_LONGEST_PREFIX]}-{secrets.token_hex(6)}"


def parse_next_fire(patch: dict[str, Any]) -> datetime | Unset | None:
    """Return what a patch says of the next fire time; raises Invalid."""
    if NEXT_FIRE not in patch:
        return UNSET
    if patch[NEXT_FIRE] is None:
        return None
    try:
        return parse_instant(patch[NEXT_FIRE])
    except PydanticCustomError as error:
        detail = error.message()
        raise Invalid(f"/{NEXT_FIRE}: {detail}.", Fault(f"/{NEXT_FIRE}", detail)) from None


def merge(present: Any, patch: Any) -> Any:
    """Return `present` with a merge patch applied (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(present) if isinstance(present, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def merge_task(present: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """Return a task with a merge patch applied. A schedule of another type takes the place of the present one whole."""
    schedule, there = patch.get("schedule"), present.get("schedule")
    if isinstance(schedule, dict) and isinstance(there, dict) and _is_another(schedule, there):
        present = {**present, "schedule": {}}
    merged: dict[str, Any] = merge(present, patch)
    return merged


def pointing_into(patch: Any, error: Invalid) -> Invalid:
    """Return an error of a patched task as one of the patch: what was not sent cannot be pointed at."""
    faults = [_fault_of_patch(patch, fault) for fault in error.faults]
    return refusal(faults, error.slug, error.omitted)


def _is_another(schedule: dict[str, Any], there: dict[str, Any]) -> bool:
    return "type" in schedule and schedule["type"] != there.get("type")


def _fault_of_patch(patch: Any, fault: Fault) -> Fault:
    here, sent, rest = patch, "", fault.pointer.split("/")[1:]
    while rest and isinstance(here, dict) and (member := unescape(rest[0])) in here:
        here, sent = here[member], f"{sent}/{rest.pop(0)}"
    # What is not an object replaces what was there, and so does a schedule of another type: all below it was sent.
    if not rest or not isinstance(here, dict) or (sent == "/schedule" and "type" in here):
        return fault
    return Fault(sent, f"with this patch, {'/'.join(rest)} of the task is wrong: {fault.detail}")


async def _kept_input(services: Services, body: TaskIn, name: str) -> str | None:
    """Return the JSON text of the secret input that a registration leaves as it is; None if it gives one."""
    given = body.input is not None and "input" in body.model_fields_set
    if given or not body.secret_input:
        return None
    return await run_in_threadpool(_present_input, services.database, name)


async def _check_kept(services: Services, body: TaskIn, kept: Any) -> HandlerInfo:
    """Check a kept input as one that is given; raises Invalid without a word of what it holds."""
    try:
        return await services.handlers.check(body.handler, kept, body.schedule)
    except Invalid as error:
        if error.slug != "invalid-input":
            raise
        detail = "the secret input that is there does not fit the handler; give another one"
        raise Invalid(f"/input: {detail}.", Fault("/input", detail), slug=error.slug) from None


def _present_input(database: Database, name: str) -> str | None:
    """Return the JSON text of the secret input of a task, if there is one; raises Sealed."""
    with database.read() as connection:
        try:
            present = find_task(connection, name)
        except NotFound:
            return None
        text = present.definition.input
        return open_input(connection, present.id, text) if isinstance(text, SealedText) else None


def _with_secrets(database: Database, name: str, target: Target) -> Target:
    try:
        with database.read() as connection:
            stored = find_task(connection, name).definition.target
    except NotFound:
        stored = None
    try:
        return restore(target, stored)
    except KeyError as error:
        header = str(error.args[0])
        detail = f"{REDACTED!r} stands for a value that is stored for this server, and none is; give the value"
        raise Invalid(
            f"/target/headers/{header}: {detail}.", Fault(f"/target/headers/{header}", detail)
        ) from None
