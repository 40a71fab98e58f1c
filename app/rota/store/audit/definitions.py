"""The definition of a task as the audit log compares it: secret headers and secret inputs are hidden."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from rota.domain.audit.changes import Hidden, State
from rota.domain.http_target.secret_headers import is_secret, read_sealed
from rota.domain.primitives.ids import Id
from rota.domain.primitives.json import json_text
from rota.domain.primitives.texts.sealed import is_sealed
from rota.errors import Invalid, Sealed
from rota.store.sealing.secret_headers import open_header
from rota.store.sealing.secret_inputs import open_input


def definition_of(connection: Connection, row: Mapping[Any, Any]) -> State:
    """Return the fields of a definition that differ from their defaults, and the input, from a row of `task`.

    What cannot be read, since the row was changed outside Rota, is hidden.
    """
    try:
        fields = json_text.loads(row["definition"])
    except Invalid:
        return {"definition": Hidden("definition", row["definition"].encode())}
    target = fields.get("target")
    if isinstance(target, dict) and isinstance(target.get("headers"), dict):
        fields["target"] = _with_hidden_headers(connection, row["id"], target)
    is_secret_input = bool(fields.get("secret_input"))
    return {**fields, "input": _input(connection, row["id"], row["input"], is_secret_input)}


def _with_hidden_headers(connection: Connection, task_id: Id, target: dict[str, Any]) -> Any:
    url = str(target.get("url", ""))
    headers = {
        name: _header(connection, task_id, url, name, value)
        for name, value in target["headers"].items()
    }
    return target | {"headers": headers}


def _header(connection: Connection, task_id: Id, url: str, name: str, value: Any) -> Any:
    sealed, place = read_sealed(value), f"{task_id} header {name.lower()}"
    if sealed is None:
        return Hidden(place, str(value).encode()) if is_secret(name, str(value)) else value
    try:
        return Hidden(place, open_header(connection, task_id, url, name, sealed).encode())
    except (Sealed, ValueError):
        return Hidden(place, None)


def _input(connection: Connection, task_id: Id, text: str, is_secret_input: bool) -> Any:  # noqa: FBT001
    if is_secret_input or is_sealed(text):
        try:
            return Hidden(f"{task_id} input", open_input(connection, task_id, text).encode())
        except Sealed:
            return Hidden(f"{task_id} input", None)
    try:
        return json_text.loads(text)
    except Invalid:
        return Hidden(f"{task_id} input", text.encode())
