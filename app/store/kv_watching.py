"""What has changed in a key-value table since a position: the entries themselves and their history are the log.

Whoever writes to a table holds its task's row until the commit, so that revisions become visible in their order, on
PostgreSQL too, and none is seen late. Of an entry that was written more often than the task keeps versions, the earlier
ones are gone; its present value, or that it was removed, is always told. Only a task that keeps no history
(`kv_history: 0`) does not know what was removed: then the keys that are there come along, to be compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    func,
    literal,
    or_,
    select,
    true,
    union_all,
)

from app.db.tables import kv, kv_history, task
from app.db.types import is_one_of
from app.domain.kv import KvEntry
from app.domain.watching import Position, Watched
from app.store.kv_writing import is_own
from app.store.tasks import missing_task, read_definition, starts_with

#: How many changes are read at a time: what a watcher holds in memory is bounded.
AT_A_TIME = 50


@dataclass(frozen=True, slots=True)
class WatchedTable:
    """A table as it is when somebody begins to watch it; `keys` where removals leave no trace."""

    task_id: UUID
    revision: int
    keys: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class KvEvent:
    """An entry that was written, or removed; `skipped`: versions of it since the position are not kept any more."""

    entry: KvEntry
    removed: bool
    skipped: bool


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes since a position, in order. `more`: there may be further ones up to `revision`."""

    events: list[KvEvent]
    revision: int
    more: bool
    keys: frozenset[str] | None


def find_table(connection: Connection, name: str, watched: Watched) -> WatchedTable:
    """Return the table of the task called `name`; raises NotFound."""
    wanted = _TASK.where(task.c.name == name, task.c.deleted_at.is_(None))
    row = connection.execute(wanted).one_or_none()
    if row is None:
        raise missing_task(name)
    return WatchedTable(row.id, row.kv_revision, _keys(connection, row, watched))


def changes_since(
    connection: Connection, after: Position, watched: Watched, limit: int = AT_A_TIME
) -> Changes | None:
    """Return what has changed since a position; None if the task is gone."""
    wanted = _TASK.where(task.c.id == after.task_id, task.c.deleted_at.is_(None))
    row = connection.execute(wanted).one_or_none()
    if row is None:
        return None
    keys = _keys(connection, row, watched)
    if (row.kv_revision, None) == (after.revision, after.key):
        return Changes([], row.kv_revision, more=False, keys=keys)
    found = connection.execute(_log(after, watched).limit(limit)).all()
    cut = _cut(connection, row, found)
    events = [_event(each, cut) for each in found]
    return Changes(events, row.kv_revision, more=len(found) == limit, keys=keys)


def present_since(
    connection: Connection, after: Position, watched: Watched, now: datetime, until: int, limit: int
) -> list[KvEvent]:
    """Return up to `limit` live entries that were written after a position, up to the revision `until`, in order."""
    live = or_(kv.c.expires_at.is_(None), kv.c.expires_at > now)
    wanted = select(kv).where(*_since(kv.c, after, watched), kv.c.version <= until, live)
    rows = connection.execute(wanted.order_by(kv.c.version, kv.c.key).limit(limit))
    return [KvEvent(_entry(row), removed=False, skipped=False) for row in rows]


def marks(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, Any]:
    """Return what tells of each task whether its table has changed, or the task is gone; nothing of one purged."""
    columns = (task.c.id, task.c.kv_revision, task.c.deleted_at)
    found = connection.execute(select(*columns).where(is_one_of(task.c.id, "g_ids")), {"g_ids": ids})
    return {row.id: (row.kv_revision, row.deleted_at) for row in found}


_TASK = select(task.c.id, task.c.kv_revision, task.c.definition)


def _log(after: Position, watched: Watched) -> Select[Any]:
    columns = [column.name for column in kv.columns]
    present = select(*kv.columns, literal(value=False).label("removed"))
    earlier = select(*(kv_history.c[name] for name in columns), kv_history.c.value.is_(None))
    both = union_all(
        present.where(*_since(kv.c, after, watched)),
        earlier.where(*_since(kv_history.c, after, watched)),
    ).subquery()
    return select(both).order_by(both.c.version, both.c.key)


def _since(columns: Any, after: Position, watched: Watched) -> Sequence[ColumnElement[bool]]:
    later: ColumnElement[bool] = columns.version > after.revision
    if after.key is not None:
        rest = and_(columns.version == after.revision, columns.key > after.key)
        later = and_(columns.version >= after.revision, or_(later, rest))
    return columns.task_id == after.task_id, later, _matching(columns.key, watched)


def _matching(key: ColumnElement[str], watched: Watched) -> ColumnElement[bool]:
    if not watched.keys and not watched.prefixes:
        return true()
    begins = (and_(*starts_with(key, prefix)) for prefix in watched.prefixes)
    return or_(key.in_(watched.keys), *begins) if watched.keys else or_(*begins)


def _keys(connection: Connection, row: Any, watched: Watched) -> frozenset[str] | None:
    if read_definition(row.definition).kv_history:
        return None
    wanted = select(kv.c.key).where(kv.c.task_id == row.id, _matching(kv.c.key, watched))
    return frozenset(connection.execute(wanted).scalars())


def _cut(connection: Connection, row: Any, found: Sequence[Any]) -> set[tuple[str, int]]:
    """Return the (key, version) before which versions may have been dropped: the oldest of a key with all it can have.

    A key that has been written since the position exactly as often as it may have versions counts as one; so does one
    of a task that keeps but the present one, for which it says nothing.
    """
    kept = read_definition(row.definition).kv_history
    keys = {each.key for each in found if not is_own(each.key)}
    if kept <= 1 or not keys:
        return set()
    oldest = (
        select(kv_history.c.key, func.min(kv_history.c.version), func.count())
        .where(kv_history.c.task_id == row.id, is_one_of(kv_history.c.key, "g_keys"))
        .group_by(kv_history.c.key)
    )
    counted = connection.execute(oldest, {"g_keys": list(keys)})
    # The present one is one of those that are kept.
    return {(key, version) for key, version, number in counted if number >= kept - 1}


def _event(row: Any, cut: set[tuple[str, int]]) -> KvEvent:
    return KvEvent(_entry(row), bool(row.removed), (row.key, row.version) in cut)


def _entry(row: Any) -> KvEntry:
    return KvEntry(
        key=row.key,
        value=row.value or b"",
        size=row.size,
        content_type=row.content_type,
        version=row.version,
        updated_at=row.updated_at,
        updated_by=row.updated_by,
        expires_at=row.expires_at,
    )
