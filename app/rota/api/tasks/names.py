"""The names in registrations: generated ones, and those that a key may use."""

import secrets

from starlette.concurrency import run_in_threadpool

from rota.api.http.services import Services
from rota.api.http.validation import refusal
from rota.api.tasks.request_models import TaskIn
from rota.db.client_reads import ClientReads
from rota.domain.access.named import NameKind, fault_of, not_kept, outside, rule_of
from rota.domain.access.names import NameLimit
from rota.domain.access.principal import Principal
from rota.domain.primitives.texts.names import LONGEST_NAME
from rota.domain.tasks.definition import TaskDefinition
from rota.errors import Fault, NotFound
from rota.store.task_rows import find_task

_LONGEST_HANDLER = 100


def generated_name(handler: str, limit: NameLimit) -> str:
    """Return a random name for a task that is registered without one; it begins with the first prefix of a limit."""
    number = f"-{secrets.token_hex(6)}"
    stem = handler[:_LONGEST_HANDLER]
    if limit.prefixes and not limit.covers(stem + number):
        stem = f"{limit.prefixes[0]}{stem}"[: LONGEST_NAME - len(number)]
    return stem + number


async def check_names(services: Services, caller: Principal, body: TaskIn, name: str) -> None:
    """Raise Invalid with the pointers of the names that a client may not use, without looking them up.

    Rules that the task has already, whose names another client gave, may stay.
    """
    if not caller.tasks.covers(name):
        raise refusal([Fault("/name", rule_of(caller.tasks, NameKind.TASK))])
    found = outside(caller, body)
    if not found:
        return
    present = await run_in_threadpool(_present, services.database, name)
    if present is not None:
        found = not_kept(found, present)
    if found:
        raise refusal([fault_of(caller, each) for each in found])


def _present(database: ClientReads, name: str) -> TaskDefinition | None:
    try:
        with database.read() as connection:
            return find_task(connection, name).definition
    except NotFound:
        return None
