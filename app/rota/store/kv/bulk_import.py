"""Entries that come from elsewhere, many at once: all of them are written, or none."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import or_, select

from rota.db.command import Command, Transaction
from rota.db.tables import kv
from rota.domain.kv.entries import KvLimits
from rota.domain.kv.operations import Delete, same_entry
from rota.domain.kv.present import Present
from rota.domain.primitives.ids import Id
from rota.store.kv.history.revert import differing, to_operations
from rota.store.kv.history.rows import has_history
from rota.store.kv.transactions import write_entries
from rota.store.task_rows import find_task


@dataclass(frozen=True, slots=True)
class Imported:
    """How many entries were written, left as they were, and removed because they did not come."""

    set: int
    unchanged: int
    deleted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Import(Command[Imported]):
    """Write entries to a table as one revision; `replace`: and remove all others, Rota's own apart.

    Raises NotFound for the task, Conflict if they do not fit.
    """

    task: str
    entries: Mapping[str, Present]
    replace: bool
    by: str
    limits: KvLimits

    def apply(self, tx: Transaction) -> Imported:
        owner = find_task(tx.connection, self.task, lock=True).id
        others = self._others(tx, owner) if self.replace else []
        written = differing(tx.connection, owner, self.entries, same_entry)
        operations = [*map(Delete, others), *to_operations(written, tx.now)]
        if operations:
            write_entries(tx, owner, operations, self.by, self.limits)
        return Imported(len(written), len(self.entries) - len(written), len(others))

    def _others(self, tx: Transaction, owner: Id) -> list[str]:
        live = or_(kv.c.expires_at.is_(None), kv.c.expires_at > tx.now)
        keys = tx.connection.execute(select(kv.c.key).where(kv.c.task_id == owner, live)).scalars()
        return [key for key in keys if key not in self.entries and has_history(key)]
