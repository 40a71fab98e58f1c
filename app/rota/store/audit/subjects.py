"""What a command changes, as it is read before and after: tasks, and rows that have a name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, Self

from sqlalchemy import ColumnElement, Connection, Table, select, true

from rota.db.command import Transaction
from rota.db.tables import api_key, calendar, handler, hold, queue, secret, task
from rota.domain.audit.actions import Kind
from rota.domain.audit.changes import State
from rota.domain.primitives.json import json_text
from rota.domain.primitives.times.instants import format_instant
from rota.store.audit.definitions import definition_of

#: The states of subjects by their names; one that does not exist has none.
States = dict[str, State]
#: Of more tasks than this that are changed at once only the status is compared, and that they changed.
MOST_DEFINITIONS = 100
# Names in one query.
_TOGETHER = 500


class Subjects(Protocol):
    """What a command changes; read in the transaction of the command, before and after it."""

    @property
    def kind(self) -> Kind: ...

    @property
    def each(self) -> Sequence[str]:
        """The names of fixed ones."""

    def fixed(self, connection: Connection) -> Self:
        """Return these subjects by their names, so that they are the same after the change."""

    @classmethod
    def read(cls, tx: Transaction, all_of: Sequence[Self], *, lock: bool) -> list[States]:
        """Return the states of several subjects; `lock` prevents changes by other transactions (PostgreSQL)."""


@dataclass(frozen=True, slots=True)
class Tasks:
    """Tasks by their names, or by a query for the names. Without `definitions` only their lifecycle is compared."""

    names: Sequence[str] | Callable[[Connection], Sequence[str]]
    definitions: bool = True
    kind: Kind = Kind.TASK

    def fixed(self, connection: Connection) -> "Tasks":
        names = self.names(connection) if callable(self.names) else self.names
        return Tasks(tuple(names), self.definitions and len(names) <= MOST_DEFINITIONS)

    @property
    def each(self) -> Sequence[str]:
        return () if callable(self.names) else self.names

    @classmethod
    def read(cls, tx: Transaction, all_of: Sequence["Tasks"], *, lock: bool) -> list[States]:
        found: States = {}
        for definitions in (True, False):
            read = (one.each for one in all_of if one.definitions == definitions)
            names = set().union(*read)
            found |= _read_tasks(tx, sorted(names), definitions=definitions, lock=lock)
        return [{name: found[name] for name in one.each if name in found} for one in all_of]


_LIFECYCLE = (task.c.id, task.c.name, task.c.status, task.c.status_reason, task.c.generation)


def _read_tasks(tx: Transaction, names: Sequence[str], *, definitions: bool, lock: bool) -> States:
    more = (task.c.definition, task.c.input, task.c.declared, task.c.moved_to_at)
    columns = _LIFECYCLE + (more if definitions else ())
    found: States = {}
    for start in range(0, len(names), _TOGETHER):
        some = names[start : start + _TOGETHER]
        wanted = select(*columns).where(task.c.name.in_(some), task.c.deleted_at.is_(None))
        if lock:
            wanted = wanted.order_by(task.c.id).with_for_update()
        for row in tx.connection.execute(wanted).mappings():
            found[row["name"]] = _task_state(tx.connection, row)
    return found


def _task_state(connection: Connection, row: Mapping[Any, Any]) -> State:
    fields = definition_of(connection, row) if "definition" in row else {}
    lifecycle = ("status", "status_reason", "generation", "declared", "moved_to_at")
    return {**fields, **{name: shown_column(row[name]) for name in lifecycle if name in row}}


_KEY = (
    *("version", "name", "scopes", "tasks", "queues", "rate", "expires_at"),
    *("max_tasks", "max_unfinished_runs", "max_kv_bytes", "previous_until", "revoked_at"),
)
_HOLD = ("selector", "prefixes", "starts_at", "ends_at", "fire_times", "reason")
#: Table, columns that are compared, and the column that has the name.
_ROWS: dict[Kind, tuple[Table, tuple[str, ...], str]] = {
    Kind.QUEUE: (queue, ("concurrency", "paused"), "name"),
    Kind.CALENDAR: (calendar, ("version", "kind", "source", "description"), "name"),
    Kind.HANDLER: (handler, ("description", "input_schema", "timeout"), "name"),
    Kind.SECRET: (secret, ("version", "origins", "tasks", "description", "previous_until"), "name"),
    Kind.HOLD: (hold, _HOLD, "name"),
    Kind.KEY: (api_key, _KEY, "id"),
}
#: Of several rows of a name, the one that has it now.
_PRESENT: dict[Kind, ColumnElement[bool]] = {Kind.HOLD: hold.c.closed_at.is_(None)}
# Columns that are JSON.
_JSON = frozenset({"input_schema", "origins", "tasks", "scopes", "queues", "selector", "prefixes"})


@dataclass(frozen=True, slots=True)
class Named:
    """The row of a queue, a hold, a handler, a secret or a key; of secrets no value, but the version."""

    kind: Kind
    name: str

    @property
    def each(self) -> Sequence[str]:
        return (self.name,)

    def fixed(self, _connection: Connection) -> "Named":
        return self

    @classmethod
    def read(cls, tx: Transaction, all_of: Sequence["Named"], *, lock: bool) -> list[States]:
        return [each.read_one(tx, lock=lock) for each in all_of]

    def read_one(self, tx: Transaction, *, lock: bool) -> States:
        """Return its state by its name; empty if there is none."""
        table, columns, key = _ROWS[self.kind]
        this = (table.c[key] == self.name, _PRESENT.get(self.kind, true()))
        wanted = select(*(table.c[name] for name in columns)).where(*this)
        if lock:
            wanted = wanted.with_for_update()
        row = tx.connection.execute(wanted).mappings().one_or_none()
        if row is None:
            return {}
        return {self.name: {name: shown_column(row[name], name in _JSON) for name in columns}}


def shown_column(value: Any, is_json: bool = False) -> Any:  # noqa: FBT001, FBT002  # of a column
    """Return the value of a column as states have it."""
    if isinstance(value, datetime):
        return format_instant(value)
    return json_text.loads(value) if is_json and value is not None else value
