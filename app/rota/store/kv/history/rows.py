"""What is kept of entries that are written again or removed: their last versions, and how far back they reach.

A row of `kv_history` is one of three:

- an earlier version of an entry, copied when it was overwritten or removed;
- a removal: no value;
- a mark: no value and no content type either. Of its key nothing is known up to its version, since what there was has
  been trimmed; with an empty key, nothing of the whole table, since it was written while no history was kept.

So a reader can distinguish "there was no such entry" from "the history does not reach back".
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from rota.db.bulk import Bulk
from rota.db.command import Transaction
from rota.db.tables import kv, kv_history
from rota.domain.kv.present import JSON_TYPE
from rota.domain.primitives.ids import Id
from rota.domain.primitives.texts.names import VERSION_KEY

if TYPE_CHECKING:
    from rota.store.kv.planned_write import Write

#: The content type of a mark, and the key of one that is about the whole table.
FORGOTTEN = ""
TABLE = ""
#: Rows of a task that keeps no history any more, removed with each of its writes.
_LEFTOVERS = 200

is_mark = and_(kv_history.c.value.is_(None), kv_history.c.content_type == FORGOTTEN)


def has_history(key: str) -> bool:
    """Return whether an entry is part of what a table was: of Rota's own, only the version that its shape has."""
    return not key.startswith("_") or key == VERSION_KEY


def of_history(table: Any) -> ColumnElement[bool]:
    """Return the condition that the entry of a row is part of what a table was, as `has_history` says."""
    return or_(func.substr(table.c.key, 1, 1) != "_", table.c.key == VERSION_KEY)


def keep(tx: Transaction, writes: Sequence["Write"], history: Mapping[Id, int]) -> None:
    """Keep what the writes, one of each key, are about to replace; `history`: how many versions each task keeps."""
    kept = [each for each in writes if history[each.task_id]]
    if not kept:
        return
    _COPY.execute(tx.connection, [_place(each) for each in kept])
    _INSERT.execute(tx.connection, [_removal(tx, each) for each in kept if not each.after])
    # The present one, or its removal, is the last of the versions that are kept.
    trimmed = [_place(each) | {"g_kept": history[each.task_id] - bool(each.after)} for each in kept]
    _MARK.execute(tx.connection, trimmed)
    _TRIM.execute(tx.connection, trimmed)


def forget(tx: Transaction, writes: Iterable["Write"], history: Mapping[Id, int]) -> None:
    """Record that what the writes replace is not kept, for tasks without a history; remove some of an earlier one."""
    lost = [each for each in writes if not history[each.task_id]]
    if not lost:
        return
    _DELETE_KEY.execute(tx.connection, [_place(each) for each in lost])
    upto: dict[Id, int] = {}
    for each in lost:
        upto[each.task_id] = max(each.version, upto.get(each.task_id, 0))
    mark_tables(tx, [table_mark(id, version, tx.now) for id, version in upto.items()])
    _DELETE_LEFTOVERS.execute(
        tx.connection, [{"g_task_id": id, "g_before": version} for id, version in upto.items()]
    )


def mark_tables(tx: Transaction, marks: Sequence[Mapping[str, Any]]) -> None:
    """Insert marks about whole tables; one that is there already stays."""
    (_SQLITE_MARKS if tx.is_sqlite else _POSTGRES_MARKS).execute(tx.connection, marks)


def table_mark(task_id: Id, version: int, at: Any) -> dict[str, Any]:
    """Return the row that says: nothing is known of this table up to `version`, written at `at`."""
    return _row(task_id, TABLE, version) | {
        "content_type": FORGOTTEN,
        "updated_at": at,
        "updated_by": "rota",
    }


def remove_history(tx: Transaction, task_id: Id, limit: int) -> int:
    """Remove up to `limit` earlier versions of a task's entries; return how many."""
    of_task = select(kv_history.c.key, kv_history.c.version).where(kv_history.c.task_id == task_id)
    found = tx.connection.execute(of_task.limit(limit)).all()
    rows = [{"g_task_id": task_id, "g_key": row.key, "g_version": row.version} for row in found]
    return _DELETE_VERSION.execute(tx.connection, rows)


def _place(each: "Write") -> dict[str, Any]:
    return {"g_task_id": each.task_id, "g_key": each.key}


def _removal(tx: Transaction, each: "Write") -> dict[str, Any]:
    return _row(each.task_id, each.key, each.version) | {
        "content_type": JSON_TYPE,
        "updated_at": tx.now,
        "updated_by": each.by,
    }


def _row(task_id: Id, key: str, version: int) -> dict[str, Any]:
    return {
        "task_id": task_id,
        "key": key,
        "version": version,
        "value": None,
        "size": 0,
        "expires_at": None,
        "sealed_with": None,
    }


_NAMES = [column.name for column in kv_history.columns]
_OF_TASK = kv_history.c.task_id == bindparam("g_task_id")
_OF_KEY = (_OF_TASK, kv_history.c.key == bindparam("g_key"))
_COPY = Bulk(
    insert(kv_history).from_select(
        _NAMES,
        select(*(kv.c[name] for name in _NAMES)).where(
            kv.c.task_id == bindparam("g_task_id"), kv.c.key == bindparam("g_key")
        ),
    )
)
_INSERT = Bulk(insert(kv_history), _NAMES)
_SQLITE_MARKS = Bulk(sqlite.insert(kv_history).on_conflict_do_nothing(), _NAMES)
_POSTGRES_MARKS = Bulk(postgresql.insert(kv_history).on_conflict_do_nothing(), _NAMES)
#: The first of the rows of a key, newest first, that is one too many.
_SURPLUS = (
    select(kv_history.c.version)
    .where(*_OF_KEY)
    .order_by(kv_history.c.version.desc())
    .limit(1)
    .offset(bindparam("g_kept"))
    .scalar_subquery()
)
_MARK = Bulk(
    update(kv_history)
    .where(*_OF_KEY, kv_history.c.version == _SURPLUS)
    .values(value=None, content_type=FORGOTTEN, size=0, expires_at=None, sealed_with=None)
)
_TRIM = Bulk(delete(kv_history).where(*_OF_KEY, kv_history.c.version < _SURPLUS))
_DELETE_KEY = Bulk(delete(kv_history).where(*_OF_KEY))
_DELETE_VERSION = Bulk(
    delete(kv_history).where(*_OF_KEY, kv_history.c.version == bindparam("g_version"))
)
_DELETE_LEFTOVERS = Bulk(
    delete(kv_history).where(
        _OF_TASK,
        tuple_(kv_history.c.key, kv_history.c.version).in_(
            select(kv_history.c.key, kv_history.c.version)
            .where(_OF_TASK, kv_history.c.version < bindparam("g_before"))
            .limit(_LEFTOVERS)
        ),
    )
)
