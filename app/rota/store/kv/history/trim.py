"""The history of entries that were removed long ago goes: keys come and go, and it would grow without end."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, or_, select

from rota.db.bulk import Bulk
from rota.db.command import Command, Transaction
from rota.db.tables import kv, kv_history, task
from rota.db.types import is_one_of
from rota.domain.primitives.ids import Id
from rota.store.definitions import read_definition
from rota.store.kv.history.rows import FORGOTTEN, TABLE, mark_tables, table_mark

#: The key that was checked last.
Position = tuple[Id, str]


@dataclass(frozen=True, slots=True)
class Removal:
    """The last that is known of an entry: it was removed, at this version and time."""

    task_id: Id
    key: str
    version: int
    at: datetime


@dataclass(frozen=True, slots=True)
class ForgetRemoved(Command[int]):
    """Forget entries up to their removals, and note how far back each table is known from then on; return how many."""

    patient = False

    removals: tuple[Removal, ...]

    def apply(self, tx: Transaction) -> int:
        ids = {each.task_id for each in self.removals}
        # Tables that are locked by another transaction wait for the next walk.
        wanted = select(task.c.id).where(task.c.id.in_(ids)).order_by(task.c.id)
        free = wanted.with_for_update(skip_locked=True)
        there = set(tx.connection.execute(free).scalars())
        gone = [each for each in self.removals if each.task_id in there]
        _DELETE.execute(tx.connection, [_place(each) for each in gone])
        latest = {each.task_id: each for each in sorted(gone, key=lambda each: each.version)}
        mark_tables(tx, [table_mark(id, each.version, each.at) for id, each in latest.items()])
        _DELETE_MARKS.execute(tx.connection, [_place(each) for each in latest.values()])
        return len(gone)


def long_removed(
    connection: Connection, now: datetime, after: Position | None, limit: int
) -> tuple[list[Removal], Position | None]:
    """Look at up to `limit` rows of the history, by task and key, from a position.

    Return the removals that are older than the age up to which their tasks keep runs, and the next position; it is
    None at the end of the walk, which then starts again.
    """
    rows = connection.execute(_rows(after, limit)).all()
    by_key = [list(group) for _, group in groupby(rows, key=lambda row: (row.task_id, row.key))]
    if len(rows) == limit and len(by_key) > 1:
        by_key.pop()  # the rest of it comes with the next look
    position = (by_key[-1][-1].task_id, by_key[-1][-1].key) if len(rows) == limit else None
    removed = [rows[-1] for rows in by_key if _is_removal(rows[-1])]
    return [*_old(connection, removed, now)], position


def _rows(after: Position | None, limit: int) -> Any:
    columns = (
        kv_history.c.task_id,
        kv_history.c.key,
        kv_history.c.version,
        kv_history.c.updated_at,
        kv_history.c.content_type,
        kv_history.c.value.is_(None).label("deleted"),
    )
    in_order = select(*columns).order_by(
        kv_history.c.task_id, kv_history.c.key, kv_history.c.version
    )
    if after is not None:
        same = and_(kv_history.c.task_id == after[0], kv_history.c.key > after[1])
        later = or_(kv_history.c.task_id > after[0], same)
        in_order = in_order.where(kv_history.c.task_id >= after[0], later)
    return in_order.limit(limit)


def _is_removal(row: Any) -> bool:
    return bool(row.deleted) and row.content_type != FORGOTTEN


def _old(connection: Connection, removed: Sequence[Any], now: datetime) -> Iterable[Removal]:
    ids = list({row.task_id for row in removed})
    ages = {
        row.id: read_definition(row.definition).retention.age
        for row in connection.execute(_DEFINITIONS, {"g_ids": ids})
    }
    given = {"g_tasks": ids, "g_keys": list({row.key for row in removed})}
    present = {(row.task_id, row.key) for row in connection.execute(_PRESENT, given)}
    for row in removed:
        if (row.task_id, row.key) not in present and row.updated_at < now - ages[row.task_id]:
            yield Removal(row.task_id, row.key, row.version, row.updated_at)


def _place(each: Removal) -> dict[str, Any]:
    return {"g_task_id": each.task_id, "g_key": each.key, "g_version": each.version}


_DEFINITIONS = select(task.c.id, task.c.definition).where(is_one_of(task.c.id, "g_ids"))
_PRESENT = select(kv.c.task_id, kv.c.key).where(
    is_one_of(kv.c.task_id, "g_tasks"), is_one_of(kv.c.key, "g_keys")
)
_OF_TASK = kv_history.c.task_id == bindparam("g_task_id")
_DELETE = Bulk(
    delete(kv_history).where(
        _OF_TASK,
        kv_history.c.key == bindparam("g_key"),
        kv_history.c.version <= bindparam("g_version"),
    )
)
_DELETE_MARKS = Bulk(
    delete(kv_history).where(
        _OF_TASK, kv_history.c.key == TABLE, kv_history.c.version < bindparam("g_version")
    )
)
