"""Tasks that are locked while runs of theirs end, or write to their tables."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select

from rota.db.tables import task
from rota.db.types import is_one_of
from rota.db.writer import Transaction
from rota.domain.primitives.ids import Id
from rota.store.chains.successors import successors_of


class LockedTask(NamedTuple):
    """What the end of a run has to know of its task."""

    # A row of SQLAlchemy's looks each of these up by its name, which takes ten times as long.
    id: Id
    status: str
    handler: str
    definition: str
    kv_revision: int
    kv_entries: int
    kv_bytes: int
    consecutive_failures: int
    deleted_at: datetime | None


_LOCKED_TASKS = (
    select(*(task.c[name] for name in LockedTask._fields))
    .where(is_one_of(task.c.id, "g_ids"))
    .order_by(task.c.id)
    .with_for_update()
)


def lock_free_tasks(tx: Transaction, ids: Iterable[Id]) -> dict[Id, LockedTask]:
    """The same as `lock_tasks`, but for those of which somebody else has locked them or one that comes after them."""
    wanted = set(ids)
    after = successors_of(tx, wanted)
    given = {"g_ids": list(wanted | after)}
    rows = tx.connection.execute(_LOCKED_TASKS.with_for_update(skip_locked=True), given)
    free = {row.id: row for row in map(LockedTask._make, rows)}
    if after <= free.keys():
        return free
    return {id: row for id, row in free.items() if successors_of(tx, {id}) <= free.keys()}


def lock_tasks(tx: Transaction, ids: Iterable[Id]) -> dict[Id, LockedTask]:
    """Lock tasks, by id so that nobody waits in a circle; return what a finish needs to know of them.

    Those that come after them are locked, too: they hear of the end.
    """
    wanted = set(ids)
    wanted |= successors_of(tx, wanted)
    rows = tx.connection.execute(_LOCKED_TASKS, {"g_ids": list(wanted)})
    return {row.id: row for row in map(LockedTask._make, rows)}
