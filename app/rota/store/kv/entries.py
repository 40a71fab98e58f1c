"""Reading the key-value tables of tasks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, Connection, Select, and_, bindparam, func, null, or_, select

from rota.db.tables import kv, task
from rota.domain.kv.entries import KvEntry, KvSnapshot, read_author
from rota.domain.kv.present import JSON_TYPE
from rota.domain.kv.run_writes import OtherTable
from rota.domain.primitives.ids import Id
from rota.domain.primitives.texts.names import is_name
from rota.errors import LeaseLost, NotFound, Sealed
from rota.store.definitions import read_definition
from rota.store.sealing.sealed_values import open_value
from rota.store.task_names import starts_with
from rota.store.task_rows import missing_task, task_id


@dataclass(frozen=True, slots=True, kw_only=True)
class KvFilter:
    """Which entries to read: with these `keys`, this `prefix`, from `start` on, before `end`; all if they are empty."""

    prefix: str = ""
    keys: Sequence[str] = ()
    start: str = ""
    end: str = ""


def find_entry(
    connection: Connection, task_name: str, key: str, now: datetime
) -> tuple[Id, KvEntry]:
    """Return the task's id and a live entry of it; raises NotFound for either."""
    given = {"g_name": task_name, "g_key": key, "g_now": now}
    row = connection.execute(_ENTRY, given).one_or_none()
    if row is None:
        raise missing_task(task_name)
    if row.key is None:
        raise NotFound(f"Task {task_name!r} has no entry {key!r}.")
    return row.owner, to_entry(connection, row)


def list_entries(
    connection: Connection,
    task_name: str,
    wanted: KvFilter,
    now: datetime,
    *,
    after: str = "",
    limit: int,
    with_values: bool = True,
) -> list[KvEntry]:
    """Return up to `limit` live entries, by key, from `after` on; raises NotFound for the task.

    Without values, each has its size and an empty value; so has one whose value does not open, which says so.
    """
    columns = _WHOLE if with_values else _WITHOUT_VALUE
    owner = task_id(connection, task_name)
    listing = _filtered(select(*columns), owner, wanted, now).where(kv.c.key > after)
    rows = connection.execute(listing.order_by(kv.c.key).limit(limit))
    return [to_listed_entry(connection, row) for row in rows]


def to_listed_entry(connection: Connection, row: Any) -> KvEntry:
    """Return an entry of a list: one that does not open keeps none of the others back."""
    try:
        return to_entry(connection, row)
    except Sealed:
        return replace(to_entry(connection, row, with_value=False), sealed=True)


def list_sizes(
    connection: Connection,
    task_name: str,
    wanted: KvFilter,
    now: datetime,
    *,
    after: str,
    limit: int,
) -> list[int]:
    """Return the bytes of the values of the entries that `list_entries` returns."""
    owner = task_id(connection, task_name)
    listing = _filtered(select(kv.c.size), owner, wanted, now).where(kv.c.key > after)
    return list(connection.execute(listing.order_by(kv.c.key).limit(limit)).scalars())


def count_entries(
    connection: Connection, task_name: str, wanted: KvFilter, now: datetime
) -> tuple[int, int]:
    """Return how many live entries there are, and how many bytes their values have; raises NotFound for the task."""
    sums = select(func.count(), func.coalesce(func.sum(kv.c.size), 0)).select_from(kv)
    counted = _filtered(sums, task_id(connection, task_name), wanted, now)
    number, size = connection.execute(counted).one()
    return number, size


def _filtered(base: Select[Any], owner: Id, wanted: KvFilter, now: datetime) -> Select[Any]:
    listing = base.where(kv.c.task_id == owner, _is_live(now))
    if wanted.keys:
        listing = listing.where(kv.c.key.in_(wanted.keys))
    if wanted.prefix:
        listing = listing.where(*starts_with(kv.c.key, wanted.prefix))
    if wanted.start:
        listing = listing.where(kv.c.key >= wanted.start)
    if wanted.end:
        listing = listing.where(kv.c.key < wanted.end)
    return listing


def snapshot(connection: Connection, owner: Id, now: datetime) -> KvSnapshot:
    """Return all live entries of a task and the revision that they have, of one moment.

    Raises LeaseLost if the task is gone.
    """
    given = {"g_task": owner, "g_now": now}
    revision = connection.execute(_REVISION, given).scalar_one_or_none()
    if revision is None:
        raise LeaseLost("The task of this attempt was deleted.")
    rows = connection.execute(_LIVE, given).all()
    entries = {row.key: open_value(connection, row) for row in rows}
    types = {row.key: row.content_type for row in rows if row.content_type != JSON_TYPE}
    versions = {row.key: row.version for row in rows}
    return KvSnapshot(entries, revision, types, versions)


def other_table(connection: Connection, name: str, reader: str, now: datetime) -> OtherTable:
    """Return the table of the task `name` for a run of the task `reader`; raises NotFound."""
    found = connection.execute(_OWNER, {"g_name": name}).one_or_none() if is_name(name) else None
    if found is None:
        raise missing_task(name)
    granted = reader in read_definition(found.definition).kv_grants
    return OtherTable(found.id, snapshot(connection, found.id, now), granted)


# Built once: it is part of every attempt that reads its kv.
_REVISION = select(task.c.kv_revision).where(task.c.id == bindparam("g_task", type_=task.c.id.type))
_OWNER = select(task.c.id, task.c.definition).where(
    task.c.name == bindparam("g_name"), task.c.deleted_at.is_(None)
)
_LIVE = select(
    kv.c.task_id, kv.c.key, kv.c.value, kv.c.content_type, kv.c.version, kv.c.sealed_with
).where(
    kv.c.task_id == bindparam("g_task", type_=kv.c.task_id.type),
    or_(
        kv.c.expires_at.is_(None),
        kv.c.expires_at > bindparam("g_now", type_=kv.c.expires_at.type),
    ),
)
_WHOLE = tuple(kv.columns)
_WITHOUT_VALUE = tuple(
    null().label("value") if column is kv.c.value else column for column in kv.columns
)


def _is_live(now: datetime | BindParameter[datetime]) -> Any:
    return or_(kv.c.expires_at.is_(None), kv.c.expires_at > now)


# Built once: it is read by every GET of an entry, whether there is a task, an entry, or neither.
_ENTRY = (
    select(task.c.id.label("owner"), *kv.columns)
    .outerjoin_from(
        task,
        kv,
        and_(
            kv.c.task_id == task.c.id,
            kv.c.key == bindparam("g_key"),
            _is_live(bindparam("g_now", type_=kv.c.expires_at.type)),
        ),
    )
    .where(task.c.name == bindparam("g_name"), task.c.deleted_at.is_(None))
)


def to_entry(connection: Connection, row: Any, *, with_value: bool = True) -> KvEntry:
    """Return the entry of a row of `kv`, or of `kv_history`; raises Sealed, unless its value is left out."""
    author, attempt = read_author(row.updated_by)
    return KvEntry(
        key=row.key,
        value=(open_value(connection, row) or b"") if with_value else b"",
        size=row.size,
        content_type=row.content_type,
        version=row.version,
        updated_at=row.updated_at,
        updated_by=author,
        attempt=attempt,
        expires_at=row.expires_at,
    )
