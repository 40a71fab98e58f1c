"""Rotation: what is in plain, or sealed with an earlier key or in the first format, is sealed with the first key.

In small batches.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    LargeBinary,
    and_,
    bindparam,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    tuple_,
    update,
)

from rota.db.bulk import Bulk
from rota.db.command import Command, Transaction
from rota.db.encryption import FORMAT, Keyring, keyring_of
from rota.db.tables import kv, kv_history, task
from rota.domain.primitives.ids import Id
from rota.errors import Sealed
from rota.store.sealing.sealed_values import open_value, seal_value

#: A version of an entry, present or earlier: its task, its key and its version.
Version = tuple[Id, str, int]

_TABLES = (kv, kv_history)


@dataclass(frozen=True, slots=True)
class Walk:
    """Where a walk over all versions stands: in which of the tables, behind which version."""

    table: int = 0
    behind: Version | None = None


@dataclass(frozen=True, slots=True)
class Reseal(Command[int]):
    """Seal versions with the first key; return how many were not. One that was written meanwhile is left alone.

    So are those of a task that is locked by another transaction: the next walk finds them.
    """

    patient = False

    table: int
    versions: tuple[Version, ...]

    def apply(self, tx: Transaction) -> int:
        keyring = keyring_of(tx.connection)
        if keyring is None or not self.versions:
            return 0
        locked = _lock(tx, {version[0] for version in self.versions})
        mine = [version for version in self.versions if version[0] in locked]
        table = _TABLES[self.table]
        found = select(table).where(_is_among(table, mine), _not_sealed(table, keyring))
        rows = [_resealed(tx, keyring, row) for row in tx.connection.execute(found)]
        changed = [row for row in rows if row is not None]
        return _UPDATES[self.table].execute(tx.connection, changed)


def next_to_reseal(
    connection: Connection, walk: Walk, limit: int
) -> tuple[list[Version], Walk | None]:
    """Look at up to `limit` versions of one table; return those to be sealed anew, and where to continue.

    None: that was the last of them. Without a key there is nothing to do.
    """
    keyring = keyring_of(connection)
    if keyring is None:
        return [], None
    rows = connection.execute(_following(walk, limit, keyring)).all()
    wanted = [_version(row) for row in rows if row.is_wanted]
    if len(rows) == limit:
        return wanted, Walk(walk.table, _version(rows[-1]))
    following = walk.table + 1
    return wanted, Walk(following) if following < len(_TABLES) else None


def _following(walk: Walk, limit: int, keyring: Keyring) -> Any:
    table = _TABLES[walk.table]
    place = (table.c.task_id, table.c.key, table.c.version)
    wanted = select(*place, _not_sealed(table, keyring).label("is_wanted"))
    if walk.behind is not None:
        behind = (literal(each, of.type) for each, of in zip(walk.behind, place, strict=True))
        wanted = wanted.where(tuple_(*place) > tuple_(*behind))
    return wanted.order_by(*place).limit(limit)


def _version(row: Any) -> Version:
    return row.task_id, row.key, row.version


def _is_among(table: Any, versions: Sequence[Version]) -> ColumnElement[bool]:
    return or_(
        false(),
        *(
            and_(table.c.task_id == task_id, table.c.key == key, table.c.version == version)
            for task_id, key, version in versions
        ),
    )


def _not_sealed(table: Any, keyring: Keyring) -> ColumnElement[bool]:
    begins = func.substr(table.c.value, 1, len(FORMAT), type_=LargeBinary)
    as_now = and_(table.c.sealed_with.is_not_distinct_from(keyring.first), begins == FORMAT)
    return and_(table.c.value.is_not(None), not_(as_now))


def _lock(tx: Transaction, ids: set[Id]) -> set[Id]:
    """Lock those of the tasks that are not locked, as every writer to their tables does; return them."""
    wanted = select(task.c.id).where(task.c.id.in_(ids)).order_by(task.c.id)
    return set(tx.connection.execute(wanted.with_for_update(skip_locked=True)).scalars())


def _resealed(tx: Transaction, keyring: Keyring, row: Any) -> dict[str, Any] | None:
    try:
        plain = open_value(tx.connection, row)
    except Sealed:  # the reader of the value gets the error; the other values are not delayed
        return None
    bound_to = {name: getattr(row, name) for name in ("task_id", "key", "version", "content_type")}
    return {
        "g_task_id": row.task_id,
        "g_key": row.key,
        "g_version": row.version,
        "n_value": seal_value(keyring, plain, bound_to),
        "n_sealed_with": keyring.first,
    }


_UPDATES = [
    Bulk(
        update(table)
        .where(
            table.c.task_id == bindparam("g_task_id"),
            table.c.key == bindparam("g_key"),
            table.c.version == bindparam("g_version"),
        )
        .values(value=bindparam("n_value"), sealed_with=bindparam("n_sealed_with"))
    )
    for table in _TABLES
]
