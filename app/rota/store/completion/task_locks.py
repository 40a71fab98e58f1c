"""Tasks that are locked while runs of theirs end, or write to their tables: together with their successors."""

from collections.abc import Iterable

from rota.db.command import Transaction
from rota.db.tables import task
from rota.db.types import is_one_of
from rota.domain.primitives.ids import Id
from rota.store.chains.successors import successors_of
from rota.store.task_locks import LOCKED_TASKS, LockedTask

_BY_ID = LOCKED_TASKS.where(is_one_of(task.c.id, "g_ids"))
_FREE_BY_ID = _BY_ID.with_for_update(skip_locked=True)


def lock_with_successors(tx: Transaction, ids: Iterable[Id]) -> dict[Id, LockedTask]:
    """Lock tasks and their successors, which are notified of ended runs; return them, by id."""
    wanted = set(ids)
    wanted |= successors_of(tx, wanted)
    rows = tx.connection.execute(_BY_ID, {"g_ids": list(wanted)})
    return {row.id: row for row in map(LockedTask._make, rows)}


def lock_free_with_successors(tx: Transaction, ids: Iterable[Id]) -> dict[Id, LockedTask]:
    """Do the same, but leave out tasks that are locked by another replica, or have such a successor."""
    wanted = set(ids)
    after = successors_of(tx, wanted)
    rows = tx.connection.execute(_FREE_BY_ID, {"g_ids": list(wanted | after)})
    free = {row.id: row for row in map(LockedTask._make, rows)}
    if after <= free.keys():
        return free
    return {id: row for id, row in free.items() if successors_of(tx, {id}) <= free.keys()}
