"""Entries of key-value tables, as the audit log compares them: of the values only digests."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, select

from rota.db.command import Transaction
from rota.db.encryption import keyring_of
from rota.db.tables import kv, task
from rota.db.types import is_one_of
from rota.domain.audit.actions import Kind
from rota.domain.audit.changes import MOST_FIELDS, Hidden
from rota.domain.primitives.times.instants import format_instant
from rota.errors import Sealed
from rota.store.audit.subjects import States
from rota.store.sealing.sealed_values import open_value
from rota.store.task_locks import lock_tasks
from rota.store.task_names import starts_with

_COLUMNS = (kv.c.task_id, kv.c.key, kv.c.version, kv.c.size, kv.c.content_type, kv.c.expires_at)


@dataclass(frozen=True, slots=True)
class Entries:
    """Some entries of the table of a task: those of these keys, and the first of those below a prefix."""

    task: str
    keys: Sequence[str] = ()
    prefix: str | None = None
    kind: Kind = Kind.KV

    def fixed(self, connection: Connection) -> "Entries":
        keys = tuple(dict.fromkeys(self.keys))[: MOST_FIELDS + 1]
        if self.prefix is not None and len(keys) <= MOST_FIELDS:
            keys += tuple(_keys_below(connection, self.task, self.prefix))
        return Entries(self.task, keys)

    @property
    def each(self) -> Sequence[str]:
        return (self.task,)

    @classmethod
    def read(cls, tx: Transaction, all_of: Sequence["Entries"], *, lock: bool) -> list[States]:
        names = {each.task for each in all_of}
        if lock and not tx.is_sqlite:
            lock_tasks(tx.connection, task.c.name.in_(sorted(names)), task.c.deleted_at.is_(None))
        keys = {key for each in all_of for key in each.keys}
        found = _read(tx.connection, sorted(names), sorted(keys))
        return [
            {each.task: {key: entry for key, entry in found[each.task].items() if key in each.keys}}
            if each.task in found
            else {}
            for each in all_of
        ]


def _keys_below(connection: Connection, name: str, prefix: str) -> Sequence[str]:
    below = () if not prefix else starts_with(kv.c.key, prefix)
    wanted = (
        select(kv.c.key)
        .join(task, task.c.id == kv.c.task_id)
        .where(task.c.name == name, task.c.deleted_at.is_(None), *below)
    )
    return connection.execute(wanted.order_by(kv.c.key).limit(MOST_FIELDS + 1)).scalars().all()


_ENTRIES = (
    select(task.c.name, *_COLUMNS)
    .outerjoin(kv, and_(kv.c.task_id == task.c.id, is_one_of(kv.c.key, "g_keys")))
    .where(is_one_of(task.c.name, "g_names"), task.c.deleted_at.is_(None))
)
_WITH_VALUES = _ENTRIES.add_columns(kv.c.value, kv.c.sealed_with)


def _read(
    connection: Connection, names: Sequence[str], keys: Sequence[str]
) -> dict[str, dict[str, Any]]:
    # Without a key there are no digests: the version shows that a value is another one.
    has_value = keyring_of(connection) is not None
    wanted = _WITH_VALUES if has_value else _ENTRIES
    found: dict[str, dict[str, Any]] = {}
    for row in connection.execute(wanted, {"g_names": names, "g_keys": keys}):
        table = found.setdefault(row.name, {})
        if row.key is not None:
            table[row.key] = _entry(connection, row, has_value=has_value)
    return found


def _entry(connection: Connection, row: Any, *, has_value: bool) -> dict[str, Any]:
    plain = None
    if has_value:
        try:
            plain = open_value(connection, row)
        except Sealed:
            plain = None
    return {
        "version": row.version,
        "bytes": row.size,
        "content_type": row.content_type,
        "expires_at": None if row.expires_at is None else format_instant(row.expires_at),
        "value": Hidden(f"{row.task_id} value of {row.key}", plain),
    }
