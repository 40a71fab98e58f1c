"""What has changed in a key-value table since a position: the entries themselves and their history are the log.

Every writer to a table locks its task's row until the commit. So revisions become visible in their order, also on
PostgreSQL, and none becomes visible late. If an entry was written more often than the task keeps versions, the earlier
versions are gone; its present value, or its removal, is always reported. Only a task without a history
(`kv_history: 0`) does not know what was removed: then the present keys are returned, to be compared.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    literal,
    or_,
    select,
    true,
    union_all,
)

from rota.db.tables import kv, kv_history, task
from rota.db.types import is_one_of
from rota.domain.kv.entries import KvEntry
from rota.domain.primitives.ids import Id
from rota.domain.stream_positions import KvPosition, Watched
from rota.store.definitions import read_definition
from rota.store.kv.entries import to_listed_entry
from rota.store.kv.history.moments import known_from
from rota.store.kv.history.rows import is_mark
from rota.store.task_names import starts_with
from rota.store.task_rows import missing_task

#: How many changes are read at a time: what a watcher holds in memory is bounded.
AT_A_TIME = 50


@dataclass(frozen=True, slots=True)
class WatchedTable:
    """A table at the time a client begins to watch it.

    Changes up to the revision `forgotten` are not known. `keys` are the present keys, if removals leave no trace.
    """

    task_id: Id
    revision: int
    forgotten: int
    keys: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class KvEvent:
    """An entry that was written, or removed; `skipped`: versions of it since the position are not kept any more."""

    entry: KvEntry
    removed: bool
    skipped: bool


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes since a position, in order. `more`: there may be further ones up to `revision`.

    `forgotten` and `keys` are those of the table as it is now; with nothing changed, nothing was forgotten since.
    """

    events: list[KvEvent]
    revision: int
    more: bool
    forgotten: int
    keys: frozenset[str] | None


def find_table(connection: Connection, name: str, watched: Watched) -> WatchedTable:
    """Return the table of the task called `name`; raises NotFound."""
    wanted = _TASK.where(task.c.name == name, task.c.deleted_at.is_(None))
    row = connection.execute(wanted).one_or_none()
    if row is None:
        raise missing_task(name)
    forgotten, keys = known_from(connection, row.id), _keys(connection, row, watched)
    return WatchedTable(row.id, row.kv_revision, forgotten, keys)


def changes_since(connection: Connection, after: KvPosition, watched: Watched) -> Changes | None:
    """Return what has changed since a position, up to AT_A_TIME changes; None if the task is gone."""
    wanted = _TASK.where(task.c.id == after.task_id, task.c.deleted_at.is_(None))
    row = connection.execute(wanted).one_or_none()
    if row is None:
        return None
    keys = _keys(connection, row, watched)
    if (row.kv_revision, None) == (after.revision, after.key):
        return Changes([], row.kv_revision, more=False, forgotten=0, keys=keys)
    found = connection.execute(_log(after, watched).limit(AT_A_TIME)).all()
    gaps = _gaps(connection, after, {each.key for each in found})
    events = list(_events(connection, found, gaps))
    return Changes(
        events,
        row.kv_revision,
        more=len(found) == AT_A_TIME,
        forgotten=known_from(connection, row.id),
        keys=keys,
    )


def present_since(
    connection: Connection, after: KvPosition, watched: Watched, now: datetime, until: int
) -> list[KvEvent]:
    """Return some live entries that were written after a position, up to the revision `until`, in order."""
    live = or_(kv.c.expires_at.is_(None), kv.c.expires_at > now)
    wanted = select(kv).where(*_since(kv.c, after, watched), kv.c.version <= until, live)
    rows = connection.execute(wanted.order_by(kv.c.version, kv.c.key).limit(AT_A_TIME))
    return [KvEvent(to_listed_entry(connection, row), removed=False, skipped=False) for row in rows]


def marks(connection: Connection, ids: Sequence[Id]) -> dict[Id, Any]:
    """Return the revision and the time of deletion of each task that is not purged; they differ after a change."""
    columns = (task.c.id, task.c.kv_revision, task.c.deleted_at)
    found = connection.execute(
        select(*columns).where(is_one_of(task.c.id, "g_ids")), {"g_ids": ids}
    )
    return {row.id: (row.kv_revision, row.deleted_at) for row in found}


_TASK = select(task.c.id, task.c.kv_revision, task.c.definition)


def _log(after: KvPosition, watched: Watched) -> Select[Any]:
    names = [column.name for column in kv.columns]
    present = select(*kv.columns, literal(value=False).label("removed"))
    earlier = select(*(kv_history.c[name] for name in names), kv_history.c.value.is_(None))
    both = union_all(
        present.where(*_since(kv.c, after, watched)),
        earlier.where(*_since(kv_history.c, after, watched), ~is_mark),
    ).subquery()
    return select(both).order_by(both.c.version, both.c.key)


def _since(columns: Any, after: KvPosition, watched: Watched) -> Sequence[ColumnElement[bool]]:
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


def _gaps(connection: Connection, after: KvPosition, keys: Collection[str]) -> set[str]:
    """Return those of the keys of which versions behind a position are not kept any more."""
    marked = (
        select(kv_history.c.key)
        .where(
            is_mark, is_one_of(kv_history.c.key, "g_keys"), *_since(kv_history.c, after, Watched())
        )
        .distinct()
    )
    return set(connection.execute(marked, {"g_keys": list(keys)}).scalars()) if keys else set()


def _events(connection: Connection, rows: Sequence[Any], gaps: set[str]) -> Iterator[KvEvent]:
    for row in rows:
        yield KvEvent(
            to_listed_entry(connection, row), removed=bool(row.removed), skipped=row.key in gaps
        )
        gaps.discard(row.key)  # the first one says so
