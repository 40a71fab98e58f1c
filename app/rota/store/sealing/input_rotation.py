"""Rotation of secret inputs: what an earlier key has sealed, of tasks and of runs, is sealed with the first one."""

from base64 import b64encode
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from rota.db.command import Command, Transaction
from rota.db.encryption import FORMAT, Keyring, keyring_of
from rota.db.tables import run, task
from rota.domain.primitives.ids import Id
from rota.domain.primitives.texts.sealed import PREFIX
from rota.errors import Sealed
from rota.store.sealing.secret_inputs import open_input, sealed_inputs, sealed_with_first

_TABLES = (task, run)
_LONGEST_ID = 32


@dataclass(frozen=True, slots=True)
class InputWalk:
    """Where a walk over all inputs stands: in which of the tables, behind which row."""

    table: int = 0
    behind: Id | None = None


@dataclass(frozen=True, slots=True)
class ResealInputs(Command[int]):
    """Seal inputs with the first key; return how many. One that was changed meanwhile is left alone.

    So is one that is locked by another transaction: the next walk finds it.
    """

    patient = False

    table: int
    ids: tuple[Id, ...]

    def apply(self, tx: Transaction) -> int:
        keyring = keyring_of(tx.connection)
        if keyring is None or not self.ids:
            return 0
        table = _TABLES[self.table]
        task_id = table.c.id if table is task else table.c.task_id
        wanted = select(table.c.id, task_id.label("task_id"), table.c.input)
        free = wanted.where(table.c.id.in_(self.ids)).order_by(table.c.id)
        found = tx.connection.execute(free.with_for_update(skip_locked=True))
        rows = [_resealed(tx, keyring, row) for row in found]
        changed = [row for row in rows if row is not None]
        return _UPDATES[self.table].execute(tx.connection, changed)


def next_inputs(
    connection: Connection, walk: InputWalk, limit: int
) -> tuple[list[Id], InputWalk | None]:
    """Look at up to `limit` rows; return those not sealed as they would be now, and where to continue, if at all."""
    keyring = keyring_of(connection)
    if keyring is None:
        return [], None
    table = _TABLES[walk.table]
    is_old = _is_old(table, keyring)
    wanted = select(table.c.id, is_old.label("is_old")).order_by(table.c.id).limit(limit)
    if walk.behind is not None:
        wanted = wanted.where(table.c.id > walk.behind)
    rows = connection.execute(wanted).all()
    old = [row.id for row in rows if row.is_old]
    if len(rows) == limit:
        return old, InputWalk(walk.table, rows[-1].id)
    following = walk.table + 1
    return old, InputWalk(following) if following < len(_TABLES) else None


def earlier_keys(connection: Connection) -> set[str]:
    """Return the ids of the keys that inputs are sealed with which the walk would seal anew. Reads all of them."""
    keyring = keyring_of(connection)
    found: set[str] = set()
    if keyring is None:
        return found
    for table in _TABLES:
        begin = func.substr(table.c.input, len(PREFIX) + 1, _LONGEST_ID + 1)
        wanted = select(begin).where(_is_old(table, keyring)).distinct()
        found |= {text.partition(":")[0] for text in connection.execute(wanted).scalars()}
    return found


def _is_old(table: Any, keyring: Keyring) -> ColumnElement[bool]:
    first = f"{PREFIX}{keyring.first}:{b64encode(FORMAT).decode()}"
    is_sealed = func.substr(table.c.input, 1, len(PREFIX)) == PREFIX
    return is_sealed & (func.substr(table.c.input, 1, len(first)) != first)


def _resealed(tx: Transaction, keyring: Keyring, row: Any) -> dict[str, Any] | None:
    try:
        plain = open_input(tx.connection, row.task_id, row.input)
    except Sealed:  # its runs fail and say so; the others are not held up
        return None
    sealed = sealed_with_first(keyring, row.task_id, plain)
    return {"g_id": row.id, "g_input": row.input, "n_input": sealed}


_UPDATES = [sealed_inputs(table) for table in _TABLES]
