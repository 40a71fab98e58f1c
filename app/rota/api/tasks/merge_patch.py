"""PATCH /v1/tasks/{name}: a merge patch (RFC 7396) of a task as a registration."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from pydantic_core import PydanticCustomError
from starlette.concurrency import run_in_threadpool

from rota.api.http.request_model import check_name
from rota.api.http.services import Services
from rota.api.http.validation import refusal, validated
from rota.api.tasks.names import check_names
from rota.api.tasks.registration import check_cost, prepare, with_unknown_handlers
from rota.api.tasks.request_models import TaskIn
from rota.api.tasks.views import show_definition
from rota.domain.access.principal import Principal
from rota.domain.primitives.bounds import without_defaults
from rota.domain.primitives.json.json_text import unescape
from rota.domain.primitives.json.unset import UNSET, Unset
from rota.domain.primitives.preconditions import Precondition
from rota.domain.primitives.times.instants import parse_instant
from rota.domain.tasks.definition import TaskStatus
from rota.domain.tasks.task import Task
from rota.errors import Conflict, Fault, Invalid, PreconditionFailed
from rota.store.task_rows import find_task, present_task
from rota.store.tasks.lifecycle import check_expected
from rota.store.tasks.registration import Register

R = TypeVar("R")

#: The one field of the service that a patch may set.
_NEXT_FIRE = "next_fire_at"
# A patch is merged into what was read; if that was changed meanwhile, it is read again.
_TRIES = 10


async def apply_patch(
    services: Services,
    name: str,
    patch: dict[str, Any],
    caller: Principal,
    expected: Precondition | None,
    write: Callable[[Register], Awaitable[R]],
    tries: int = _TRIES,
) -> R:
    """Return what `write` makes of a task with a merge patch applied, which is the present one when it is written.

    Raises Conflict, Invalid, NotFound or PreconditionFailed.
    """
    command = await _merge(services, name, patch, caller, expected)
    try:
        return await write(command)
    except PreconditionFailed:
        if tries == 1:
            raise
    return await apply_patch(services, name, patch, caller, expected, write, tries - 1)


async def _merge(
    services: Services,
    name: str,
    patch: dict[str, Any],
    caller: Principal,
    expected: Precondition | None,
) -> Register:
    """Return the registration of the present task with the patch applied, on condition that it is still the same."""
    present = await run_in_threadpool(_find, services, name)
    check_expected(present, expected)
    _check_status(present, patch)
    next_fire = _next_fire(patch)
    changes = {field: value for field, value in patch.items() if field != _NEXT_FIRE}
    shown = without_defaults(show_definition(present), changes)
    try:
        merged = validated(TaskIn, _merge_task(shown, changes))
    except Invalid as error:
        refused = _pointing_into(changes, error)
        raise await with_unknown_handlers(services, changes, refused) from None
    check_name(merged.name, name, "task")
    try:
        await check_names(services, caller, merged, name)
    except Invalid as error:
        raise _pointing_into(changes, error) from None
    command = await prepare(services, merged, name, caller)
    await check_cost(services, command)
    same = Precondition.exactly(present.id, present.generation)
    return replace(command, expected=same, next_fire=next_fire)


def _find(services: Services, name: str) -> Task:
    with services.database.read() as connection:
        return find_task(connection, name)


def _check_status(present: Task, patch: dict[str, Any]) -> None:
    name = present.name
    if present.status is TaskStatus.CANCELLED:
        raise Conflict(
            f"Task {name!r} is cancelled; register it again to revive it.",
            slug="wrong-status",
            present=present_task(present),
        )
    if patch.get("paused") is False and present.status is TaskStatus.PAUSED:
        detail = f"a registration never unpauses; POST /v1/tasks/{name}/resume does"
        raise Invalid(f"/paused: {detail}.", Fault("/paused", detail))


def _next_fire(patch: dict[str, Any]) -> datetime | Unset | None:
    """Return the next fire time that a patch sets; raises Invalid."""
    if _NEXT_FIRE not in patch:
        return UNSET
    if patch[_NEXT_FIRE] is None:
        return None
    try:
        return parse_instant(patch[_NEXT_FIRE])
    except PydanticCustomError as error:
        detail = error.message()
        raise Invalid(f"/{_NEXT_FIRE}: {detail}.", Fault(f"/{_NEXT_FIRE}", detail)) from None


def _merge_task(present: dict[str, Any], patch: dict[str, Any]) -> Any:
    """Return a task with a merge patch applied. A schedule of another type replaces the present one as a whole."""
    schedule, there = patch.get("schedule"), present.get("schedule")
    if isinstance(schedule, dict) and isinstance(there, dict) and _is_another(schedule, there):
        present = {**present, "schedule": {}}
    return _merge_values(present, patch)


def _is_another(schedule: dict[str, Any], there: dict[str, Any]) -> bool:
    return "type" in schedule and schedule["type"] != there.get("type")


def _merge_values(present: Any, patch: Any) -> Any:
    """Return `present` with a merge patch applied (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(present) if isinstance(present, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge_values(merged.get(key), value)
    return merged


def _pointing_into(patch: Any, error: Invalid) -> Invalid:
    """Return an error of the patched task with pointers into the patch: the client did not send the rest."""
    faults = [_fault_of_patch(patch, fault) for fault in error.faults]
    return refusal(faults, error.slug, error.omitted)


def _fault_of_patch(patch: Any, fault: Fault) -> Fault:
    here, sent, rest = patch, "", fault.pointer.split("/")[1:]
    while rest and isinstance(here, dict) and (field := unescape(rest[0])) in here:
        here, sent = here[field], f"{sent}/{rest.pop(0)}"
    # A value that is no object replaces the present one, as a schedule of another type does: all below it was sent.
    if not rest or not isinstance(here, dict) or (sent == "/schedule" and "type" in here):
        return fault
    return Fault(sent, f"with this patch, {'/'.join(rest)} of the task is wrong: {fault.detail}")
