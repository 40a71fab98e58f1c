"""What has changed in a key-value table since an earlier moment, without a look at all that has not."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, select, union

from rota.db.tables import kv, kv_history
from rota.domain.primitives.ids import Id
from rota.store.kv.entries import KvFilter
from rota.store.kv.history.reading import HistoricEntry, entries_at_revision
from rota.store.kv.history.rows import TABLE, of_history

_TOGETHER = 1_000


def entries_changed_since(
    connection: Connection, owner: Id, revision: int
) -> Iterator[HistoricEntry]:
    """Yield, by key, the entries that were written or removed after a revision, as they were then.

    The database passes over the others, so that only the changes are read here.
    """
    after = TABLE
    while found := connection.execute(_changed(owner, revision, after)).scalars().all():
        keys, following = found[:_TOGETHER], found[_TOGETHER:]
        yield from _read(connection, owner, revision, keys, next(iter(following), None))
        after = keys[-1]


def _read(
    connection: Connection, owner: Id, revision: int, keys: Sequence[str], before: str | None
) -> Sequence[HistoricEntry]:
    """Return what these keys held; `before`: the next one that has changed, if there is one."""
    if before is not None:
        # Where most have changed, a range is read sooner than one key after the other.
        span = KvFilter(start=keys[0], end=before)
        some, cut = entries_at_revision(connection, owner, revision, span, "", 2 * len(keys))
        if cut is None:
            wanted = frozenset(keys)
            return [each for each in some if each.key in wanted]
    one_each = KvFilter(keys=keys)
    return entries_at_revision(connection, owner, revision, one_each, "", len(keys) + 1)[0]


def _changed(owner: Id, revision: int, after: str) -> Any:
    """Return the query for the next keys with a later version: of the entry, or in the history, as of a removed one.

    Each of the two ends when it has enough, so that all pages together read each row once.
    """
    there, kept = (
        select(table.c.key)
        .where(table.c.task_id == owner, table.c.version > revision, table.c.key > after)
        .distinct()
        .order_by(table.c.key)
        .limit(_TOGETHER + 1)
        for table in (kv, kv_history)
    )
    found = (select(each.subquery().c.key) for each in (there.where(of_history(kv)), kept))
    return union(*found).order_by("key").limit(_TOGETHER + 1)
