"""The check of registrations: the secrets that a task refers to exist, and may be sent there by it.

It refers to them in its target, or in its input if its handler is a notifier.
"""

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import Protocol

from sqlalchemy import Connection

from rota.domain.access.names import NameLimit
from rota.domain.alerts.notifiers import secret_uses_of
from rota.domain.http_target.secret_references import SecretUse
from rota.domain.primitives.ids import Id
from rota.domain.secrets.binding import is_for, permits
from rota.domain.secrets.model import Secret
from rota.domain.tasks.definition import TaskDefinition
from rota.domain.tasks.task import Task
from rota.errors import Fault, Invalid, Sealed
from rota.store.sealing.secret_headers import open_headers
from rota.store.secrets.reading import secrets_named

# The fields of a task that refer to secrets.
_TARGET, _INPUT = "/target", "/input"


class Named(Protocol):
    """A definition with the name of its task."""

    @property
    def name(self) -> str: ...
    @property
    def definition(self) -> TaskDefinition: ...
    @property
    def limit(self) -> NameLimit: ...


class SecretCheck:
    """Checks the registrations of a commit; reads each secret once, and none if no task refers to one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[str, Secret | None] = {}

    def check(self, command: Named, existing: Task | None) -> None:
        """Raise Invalid if a task refers to a secret that does not exist, or that it may not send there."""
        task_id = None if existing is None else existing.id
        uses = _uses(self._connection, command.definition, task_id)
        given = secret_uses_of(command.definition.handler, command.definition.input)
        if not uses and not given:
            return
        self._read({use.name for use in (*uses, *given)} - self._known.keys())
        faults = [
            *_faults(uses, self._known, command, _TARGET),
            *_faults(given, self._known, command, _INPUT),
        ]
        if faults:
            first = faults[0]
            raise Invalid(first.sentence, *faults, slug="unusable-secret")

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
    uses: Iterable[SecretUse], known: Mapping[str, Secret | None], command: Named, at: str
) -> Iterable[Fault]:
    """Yield the faults in the field `at`: of a target, or of the input of a notifier."""
    for use in uses:
        there = _usable(known.get(use.name), command)
        detail = (
            _missing(use.name, command)
            if there is None
            else permits(there, _origin(use, there, at), command.name)
        )
        if detail is not None:
            yield Fault(f"{at}{use.pointer}", detail)


def _origin(use: SecretUse, there: Secret, at: str) -> str | None:
    """Return where a secret is sent. One that is an address itself goes to one of its own: its runs see which."""
    is_address = at == _INPUT and use.origin is None
    return next(iter(there.origins), None) if is_address else use.origin


def _usable(there: Secret | None, command: Named) -> Secret | None:
    """Return a secret, unless the key of the client is limited, and the secret is for other tasks."""
    is_hidden = not command.limit.is_unlimited and there and not is_for(there, command.name)
    return None if is_hidden else there


def _missing(name: str, command: Named) -> str:
    """Return what is missing; a limited key gets the same answer for a secret that is for other tasks."""
    if not name:
        return "name the secret: {{ secret.crm }}"
    if not command.limit.is_unlimited:
        return f"there is no secret {name!r} that the task {command.name!r} may send"
    return f"there is no secret {name!r}; PUT /v1/secrets/{name} makes it"
