"""The check of registrations: the secrets that its target refers to exist, and may be sent there by this task."""

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import Protocol

from sqlalchemy import Connection

from rota.domain.access.names import NameLimit
from rota.domain.http_target.secret_references import SecretUse
from rota.domain.primitives.ids import Id
from rota.domain.secrets.binding import is_for, permits
from rota.domain.secrets.model import Secret
from rota.domain.tasks.definition import Task, TaskDefinition
from rota.errors import Fault, Invalid, Sealed
from rota.store.sealing.secret_headers import open_headers
from rota.store.secrets.reading import secrets_named


class Named(Protocol):
    """A definition with the name of its task."""

    @property
    def name(self) -> str: ...
    @property
    def definition(self) -> TaskDefinition: ...
    @property
    def limit(self) -> NameLimit: ...


class SecretCheck:
    """Checks the registrations of a commit; reads each secret once, and none if no target refers to one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[str, Secret | None] = {}

    def check(self, command: Named, existing: Task | None) -> None:
        """Raise Invalid if a target refers to a secret that does not exist, or that its task may not send there."""
        task_id = None if existing is None else existing.id
        uses = _uses(self._connection, command.definition, task_id)
        if not uses:
            return
        self._read({use.name for use in uses} - self._known.keys())
        faults = list(_faults(uses, self._known, command))
        if faults:
            first = faults[0]
            raise Invalid(f"{first.pointer}: {first.detail}.", *faults, slug="unusable-secret")

    def _read(self, names: Collection[str]) -> None:
        if names:
            found = secrets_named(self._connection, names)
            self._known |= {name: found.get(name) for name in names}


def _uses(
    connection: Connection, definition: TaskDefinition, task_id: Id | None
) -> list[SecretUse]:
    target = definition.target
    if target is None:
        return []
    if target.has_sealed_headers and task_id is not None:
        with suppress(Sealed):  # otherwise its runs fail and say so
            target = open_headers(connection, task_id, definition).target or target
    return target.secret_uses


def _faults(
    uses: Iterable[SecretUse], known: Mapping[str, Secret | None], command: Named
) -> Iterable[Fault]:
    limited = not command.limit.is_unlimited
    for use in uses:
        there = known.get(use.name)
        if there is not None and limited and not is_for(there, command.name):
            there = None
        detail = (
            _missing(use.name, command.name if limited else None)
            if there is None
            else permits(there, use.origin, command.name)
        )
        if detail is not None:
            yield Fault(f"/target{use.pointer}", detail)


def _missing(name: str, task: str | None) -> str:
    """Return what is missing; with a `task` of a limited key also for a secret that is for other tasks."""
    if not name:
        return "name the secret: {{ secret.crm }}"
    if task is not None:
        return f"there is no secret {name!r} that the task {task!r} may send"
    return f"there is no secret {name!r}; PUT /v1/secrets/{name} makes it"
