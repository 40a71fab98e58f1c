"""Inputs of tasks with `secret_input`: sealed in the rows of the task and of its runs, opened for who carries them out.

They are bound to their task, so that a run's row takes over that of its task as it is.
"""

from base64 import b64decode, b64encode
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from rota.db.encryption import Keyring, keyring_of, missing_key
from rota.domain.primitives import json_text
from rota.domain.primitives.ids import Id
from rota.domain.primitives.sealed import PREFIX, SealedText, is_sealed
from rota.domain.tasks.definition import Task, TaskDefinition
from rota.errors import Fault, Invalid, Sealed

_PLACE = "input"


def stored_input(connection: Connection, task_id: Id, definition: TaskDefinition) -> str:
    """Return the text of a task's input as its row has it. Raises Invalid if it is secret and there is no key."""
    if isinstance(definition.input, SealedText):
        return str(definition.input)
    return seal_input(connection, task_id, definition, json_text.dumps(definition.input))


def seal_input(connection: Connection, task_id: Id, definition: TaskDefinition, text: str) -> str:
    """Return JSON text as a run or a task of this definition stores it. Raises Invalid as `stored_input` does."""
    if not definition.secret_input or is_sealed(text):
        return text
    keyring = keyring_of(connection)
    if keyring is None:
        detail = "inputs are kept secret with ROTA_ENCRYPTION_KEYS, which is not set"
        raise Invalid(f"/secret_input: {detail}.", Fault("/secret_input", detail))
    return sealed_with_first(keyring, task_id, text)


def sealed_with_first(keyring: Keyring, task_id: Id, text: str) -> str:
    """Return JSON text sealed with the first key."""
    sealed = b64encode(keyring.seal(task_id, _PLACE, text.encode())).decode()
    return f"{PREFIX}{keyring.first}:{sealed}"


def open_input(connection: Connection, task_id: Id, text: str) -> str:
    """Return the JSON text of a stored input; raises Sealed."""
    if not is_sealed(text):
        return text
    key_id, _, sealed = text.removeprefix(PREFIX).partition(":")
    keyring = keyring_of(connection)
    if keyring is None:
        raise missing_key(key_id)
    return keyring.open(key_id, task_id, _PLACE, b64decode(sealed)).decode()


def with_present_input(
    connection: Connection, definition: TaskDefinition, existing: Task
) -> TaskDefinition:
    """Return a definition with the input that is stored, if it is secret and none or the same was given."""
    present = existing.definition.input
    if not (definition.secret_input and isinstance(present, SealedText)):
        return definition
    same = definition.input is None or _is(connection, existing.id, present, definition.input)
    return definition.model_copy(update={"input": present}) if same else definition


def _is(connection: Connection, task_id: Id, present: SealedText, given: Any) -> bool:
    try:
        plain = json_text.loads(open_input(connection, task_id, present))
    except Sealed:  # then it is replaced
        return False
    return json_text.equal(plain, given)


def opened_runs(connection: Connection, claimed: list[Any]) -> list[Any]:
    """Return claimed runs with their inputs opened; one that does not open fails when it is carried out."""
    return [_opened(connection, each) if is_sealed(each.input) else each for each in claimed]


def _opened(connection: Connection, claimed: Any) -> Any:
    try:
        return replace(claimed, input=open_input(connection, claimed.task_id, claimed.input))
    except Sealed:
        return claimed
