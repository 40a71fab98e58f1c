"""Secret headers of targets: sealed in the definitions of tasks, opened for the run that sends them.

They are bound to their task, to their names, and to the server that they are for: who changes the URL in a row does not
have them sent elsewhere.
"""

from collections.abc import Mapping

from sqlalchemy import Connection

from rota.db.encryption import Keyring, keyring_of, open_text, seal_text
from rota.domain.http_target.secret_headers import is_secret
from rota.domain.http_target.target import Target, origin_of
from rota.domain.primitives.ids import Id
from rota.domain.primitives.texts.sealed import SealedText
from rota.domain.tasks.definition import TaskDefinition
from rota.domain.tasks.task import Task
from rota.errors import Conflict, Sealed


def seal_headers(connection: Connection, task_id: Id, definition: TaskDefinition) -> TaskDefinition:
    """Return a definition as its row has it: with its secret headers sealed, if there is a key."""
    target, keyring = definition.target, keyring_of(connection)
    if target is None or keyring is None:
        return definition
    headers = {
        name: seal_header(keyring, task_id, target.url, name, value)
        if is_secret(name, value) and not isinstance(value, SealedText)
        else value
        for name, value in target.headers.items()
    }
    return _with_headers(definition, target, headers)


def open_headers(connection: Connection, task_id: Id, definition: TaskDefinition) -> TaskDefinition:
    """Return a definition with the headers that are sent; raises Sealed."""
    target = definition.target
    if target is None or not target.has_sealed_headers:
        return definition
    headers = {
        name: open_header(connection, task_id, target.url, name, value)
        for name, value in target.headers.items()
    }
    return _with_headers(definition, target, headers)


def with_present_headers(
    connection: Connection, definition: TaskDefinition, existing: Task | None
) -> TaskDefinition:
    """Return a definition with the sealed headers that are stored, where it has the same ones.

    Raises Conflict if it has some that were sealed for a task that is not there any more.
    """
    target = definition.target
    present = None if existing is None else existing.definition.target
    if target is None or not any(each and each.has_sealed_headers for each in (target, present)):
        return definition
    if existing is None or present is None:
        raise _changed()
    at_home = origin_of(present.url) == origin_of(target.url)
    stored = present.headers if at_home else {}
    headers = {
        name: _present(connection, existing.id, target.url, name, value, stored.get(name))
        for name, value in target.headers.items()
    }
    return _with_headers(definition, target, headers)


def seal_header(keyring: Keyring, task_id: Id, url: str, name: str, value: str) -> SealedText:
    """Return the value of a header, sealed with the first key for the server of a URL."""
    return seal_text(keyring, task_id, _place(url, name), value)


def open_header(connection: Connection, task_id: Id, url: str, name: str, value: str) -> str:
    """Return the value of a header as it is sent; raises Sealed."""
    if not isinstance(value, SealedText):
        return value
    return open_text(connection, task_id, _place(url, name), value)


def _present(
    connection: Connection, task_id: Id, url: str, name: str, value: str, stored: str | None
) -> str:
    """Return a header as it is stored if it is the same, else as it is given."""
    if value == stored:
        return stored
    if isinstance(value, SealedText):  # it was read, and has been sealed anew or replaced since
        try:
            open_header(connection, task_id, url, name, value)
        except Sealed:
            raise _changed() from None
        return value
    if stored is None:
        return value
    try:
        same = open_header(connection, task_id, url, name, stored) == value
    except Sealed:  # then it is replaced
        return value
    return stored if same else value


def _changed() -> Conflict:
    return Conflict("The task was changed concurrently; try again.")


def _with_headers(
    definition: TaskDefinition, target: Target, headers: Mapping[str, str]
) -> TaskDefinition:
    changed = target.model_copy(update={"headers": dict(headers)})
    return definition.model_copy(update={"target": changed})


def _place(url: str, name: str) -> str:
    scheme, host, port = origin_of(url)
    return f"header {name.lower()!r} for {scheme}://{host}{'' if port is None else f':{port}'}"
