"""From a body to a definition that can be kept: the handler is there, its input fits, secrets are in place."""

import secrets
from datetime import datetime
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from pydantic_core import PydanticCustomError
from starlette.concurrency import run_in_threadpool

from app.api.schemas import TaskIn
from app.api.services import Services
from app.db.engine import Database
from app.domain import values
from app.domain.instants import parse_instant
from app.domain.sealed import SealedText
from app.domain.targets import REDACTED, Target, restore
from app.domain.tasks import TaskDefinition
from app.errors import Fault, Invalid, NotFound
from app.store.handlers import HandlerInfo
from app.store.registering import UNSET, Unset
from app.store.secret_inputs import open_input
from app.store.tasks import find_task

_LONGEST_PREFIX = 100
#: The one member of the service that a patch may set.
NEXT_FIRE = "next_fire_at"


async def prepare(services: Services, body: TaskIn, name: str) -> TaskDefinition:
    """Return the definition to keep; raises Invalid, pointing at what the handler does not take."""
    definition = body.definition()
    kept = await _kept_input(services, body, name)
    if kept is None:
        handler = await services.handlers.check(body.handler, body.input, body.schedule)
    else:
        handler = await _check_kept(services, body, values.loads(kept))
        definition = definition.model_copy(update={"input": None})
    if handler.timeout is not None and "timeout" not in body.model_fields_set:
        definition = definition.model_copy(update={"timeout": handler.timeout})
    if definition.target is not None and REDACTED in definition.target.headers.values():
        target = await run_in_threadpool(_with_secrets, services.database, name, definition.target)
        definition = definition.model_copy(update={"target": target})
    return definition


def made_up_name(handler: str) -> str:
    """Return a name for a task that was registered without one."""
    return f"{handler[:_LONGEST_PREFIX]}-{secrets.token_hex(6)}"


def validate(body: Any) -> TaskIn:
    """Return a registration that was put together here; raises as FastAPI does for a body."""
    try:
        return TaskIn.model_validate(body)
    except ValidationError as error:
        faults = [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
        raise RequestValidationError(faults, body=body) from None


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
