"""Entries that are handed out with a lease: as much of a task's table as fits, of one moment."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, select

from rota.db.tables import task
from rota.domain.kv.entries import KvEntry
from rota.domain.primitives.ids import Id
from rota.errors import NotFound
from rota.store.kv.entries import KvFilter, list_entries, list_sizes

#: How many entries of a task are handed out at most, and how many bytes their values have.
MOST_ENTRIES = 1_000
MOST_BYTES = 262_144

_REVISION = select(task.c.kv_revision).where(task.c.id == bindparam("g_task", type_=task.c.id.type))


@dataclass(frozen=True, slots=True)
class HandedOut:
    """Entries of a task, and its revision; `truncated`: there are more, which did not fit."""

    entries: Sequence[KvEntry]
    revision: int
    truncated: bool


def hand_out(
    connection: Connection, owner: tuple[Id, str], keys: Sequence[str] | None, now: datetime
) -> HandedOut:
    """Return entries of a task (its id and name), by key: those of `keys`, or (None) all; raises NotFound."""
    task_id, name = owner
    revision = connection.execute(_REVISION, {"g_task": task_id}).scalar_one_or_none()
    if revision is None:
        raise NotFound(f"There is no task {name!r}.")
    if keys is not None and not keys:
        return HandedOut((), revision, truncated=False)
    wanted = KvFilter(keys=keys or ())
    sizes = list_sizes(connection, name, wanted, now, after="", limit=MOST_ENTRIES + 1)
    fitting = _fitting(sizes)
    entries = list_entries(connection, name, wanted, now, limit=fitting) if fitting else ()
    return HandedOut(entries, revision, truncated=fitting < len(sizes))


def _fitting(sizes: Sequence[int]) -> int:
    """Return how many of the entries, the first ones, fit."""
    total = 0
    for number, size in enumerate(sizes[:MOST_ENTRIES]):
        total += size
        if total > MOST_BYTES:
            return number
    return min(len(sizes), MOST_ENTRIES)
