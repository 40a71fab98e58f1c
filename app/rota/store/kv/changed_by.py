"""What a run has changed in the key-value table of its task: each entry as it was before, and as the run left it."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, Subquery, func, select, union_all

from rota.db.tables import kv, kv_history
from rota.domain.primitives.ids import Id
from rota.domain.runs.model import Run
from rota.store.kv.history.reading import Version, list_versions
from rota.store.kv.history.rows import TABLE, is_mark, of_history


@dataclass(frozen=True, slots=True)
class KvChange:
    """An entry that a run has written; of several writes the last one counts.

    `before` is None if there was nothing, or if it is not known any more (`known` is False).
    """

    key: str
    before: Version | None
    known: bool
    after: Version

    @property
    def size(self) -> int:
        """The bytes of both values."""
        return self.after.entry.size + (0 if self.before is None else self.before.entry.size)


def list_changes(connection: Connection, of: Run, after: str, limit: int) -> Iterator[KvChange]:
    """Yield up to `limit` entries that a run has written, by key, from `after` on, as far as the history has them."""
    written = _written(of.task_id, of.id)
    spans = (
        select(
            written.c.key,
            func.min(written.c.version).label("first"),
            func.max(written.c.version).label("last"),
        )
        .where(written.c.key > after)
        .group_by(written.c.key)
        .order_by(written.c.key)
        .limit(limit)
    )
    for row in connection.execute(spans).all():
        yield _change(connection, of.task, row.key, row.first, row.last)


def _change(connection: Connection, task: str, key: str, first: int, last: int) -> KvChange:
    (left, *_), _ = list_versions(connection, task, key, last + 1, 1)
    earlier, forgotten = list_versions(connection, task, key, first, 1)
    before = next(iter(earlier), None)
    known = before is not None or not forgotten
    is_there = before is not None and not before.deleted
    return KvChange(key, before if is_there else None, known, left)


def _written(owner: Id, run: Id) -> Subquery:
    """Return the keys and versions of what a run has written; Rota's own entries but `_kv_version` are left out."""
    there, kept = (
        select(table.c.key, table.c.version).where(
            table.c.task_id == owner,
            table.c.updated_by.like(f"run:{run}%"),
            of_history(table),
        )
        for table in (kv, kv_history)
    )
    return union_all(there, kept.where(~is_mark, kv_history.c.key != TABLE)).subquery()
