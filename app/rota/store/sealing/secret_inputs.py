"""Inputs of tasks with `secret_input`: sealed in the rows of the task and of its runs, opened for who carries them out.

They are bound to their task, so that a run's row takes over that of its task as it is.
"""

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from rota.db.bulk import Bulk
from rota.db.command import Transaction
from rota.db.encryption import Keyring, keyring_of, not_sealed, open_text, seal_text
from rota.db.tables import run
from rota.domain.primitives.ids import Id
from rota.domain.primitives.json import json_text
from rota.domain.primitives.texts.sealed import NOT_SEALED, SealedText, is_sealed
from rota.domain.tasks.definition import TaskDefinition
from rota.domain.tasks.task import Task
from rota.errors import Fault, Invalid, Sealed
from rota.store.sealing.secret_headers import open_headers

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
    return seal_text(keyring, task_id, _PLACE, text)


def open_input(connection: Connection, task_id: Id, text: str) -> str:
    """Return the JSON text of a stored input; raises Sealed."""
    if not is_sealed(text):
        return text
    return open_text(connection, task_id, _PLACE, text)


def open_input_of(
    connection: Connection, task_id: Id, definition: TaskDefinition, text: str
) -> str:
    """Return the JSON text of the input that a row of a task has; raises Sealed, also if it is secret and in plain."""
    if definition.secret_input and not is_sealed(text):
        raise not_sealed(_PLACE)
    return open_input(connection, task_id, text)


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
    if not is_sealed(present):
        return False
    try:
        plain = json_text.loads(open_input(connection, task_id, present))
    except Sealed:  # then it is replaced
        return False
    return json_text.equal(plain, given)


def opened_runs(connection: Connection, claimed: list[Any]) -> list[Any]:
    """Return claimed runs with inputs and headers opened. A run with one that does not open fails when executed."""
    return [_with_headers(connection, _with_input(connection, each)) for each in claimed]


def seal_waiting(tx: Transaction, task_id: Id) -> None:
    """Seal the inputs of the unfinished runs of a task that has a secret input from now on."""
    keyring = keyring_of(tx.connection)
    assert keyring is not None  # or the registration would have been refused
    unfinished = select(run.c.id, run.c.input).where(
        run.c.task_id == task_id, run.c.finished_at.is_(None)
    )
    rows = [
        {"g_id": id, "g_input": text, "n_input": sealed_with_first(keyring, task_id, text)}
        for id, text in tx.connection.execute(unfinished).all()
        if not is_sealed(text)
    ]
    SEAL_RUNS.execute(tx.connection, rows)


def _with_input(connection: Connection, claimed: Any) -> Any:
    if not is_sealed(claimed.input):
        return replace(claimed, input=NOT_SEALED) if claimed.definition.secret_input else claimed
    try:
        text = open_input(connection, claimed.task_id, claimed.input)
        return replace(claimed, input=text, secret_input=True)
    except Sealed:
        return claimed


def _with_headers(connection: Connection, claimed: Any) -> Any:
    try:
        definition = open_headers(connection, claimed.task_id, claimed.definition)
    except Sealed:
        return claimed
    return claimed if definition is claimed.definition else replace(claimed, definition=definition)


def sealed_inputs(table: Any) -> Bulk:
    """Return the update that puts sealed inputs into rows of tasks or runs whose inputs are as they were read."""
    same = (table.c.id == bindparam("g_id"), table.c.input == bindparam("g_input"))
    return Bulk(update(table).where(*same).values(input=bindparam("n_input")))


SEAL_RUNS = sealed_inputs(run)
