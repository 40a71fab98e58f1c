"""The key-value table of a locked task within a commit: its counters, and what is written to it.

The task's row is locked by every writer to its table, so that writers come one after the other.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy import ColumnElement, bindparam, select, update

from rota.db.bulk import Bulk
from rota.db.command import StaleError, Transaction
from rota.db.tables import task
from rota.db.types import is_one_of
from rota.domain.effects import KvWritten
from rota.domain.kv.entries import KvLimits
from rota.domain.kv.schemas import KvSchema
from rota.domain.primitives.ids import Id
from rota.store.definitions import read_definition
from rota.store.kv.planned_write import Write, growth
from rota.store.kv.schema_check import schema_of
from rota.store.kv.writes import write
from rota.store.task_rows import missing_task


class TableRow(Protocol):
    """The columns of `task` that describe its table."""

    @property
    def id(self) -> Id: ...

    @property
    def definition(self) -> str: ...

    @property
    def kv_revision(self) -> int: ...

    @property
    def kv_entries(self) -> int: ...

    @property
    def kv_bytes(self) -> int: ...


@dataclass(slots=True)
class Table:
    """The table of a locked task, and what a commit makes of it: its counters and its writes."""

    id: Id
    definition: str
    kv_revision: int
    kv_entries: int
    kv_bytes: int
    writes: list[Write] = field(default_factory=list)

    @classmethod
    def of(cls, row: TableRow) -> "Table":
        return cls(row.id, row.definition, row.kv_revision, row.kv_entries, row.kv_bytes)

    @property
    def history(self) -> int:
        """How many versions of a key are kept."""
        return read_definition(self.definition).kv_history

    @property
    def schema(self) -> KvSchema | None:
        return schema_of(self.definition)

    def overfull(self, writes: Sequence[Write], limits: KvLimits) -> str | None:
        """Return why the table cannot take `writes`, or None; what makes it smaller is always taken."""
        more, larger = growth(writes)
        entries, size = self.kv_entries + more, self.kv_bytes + larger
        if more > 0 and entries > limits.entries:
            return f"the task would have {entries} entries; the limit is {limits.entries}"
        if larger > 0 and size > limits.total_bytes:
            return f"its entries would have {size} bytes; the limit is {limits.total_bytes}"
        return None

    def take(self, writes: Sequence[Write]) -> None:
        """Add writes, as one revision of the table."""
        if not writes:
            return
        self.kv_revision += 1
        for each in writes:
            each.version = self.kv_revision
        self._grow(*growth(writes))
        self.writes.extend(writes)

    def rebase(self, before: TableRow, row: TableRow) -> None:
        """Put what was taken on top of the task's row as this commit has changed it since (`before`: as it was)."""
        revisions = row.kv_revision - before.kv_revision
        self.definition = row.definition
        self.kv_revision += revisions
        self._grow(row.kv_entries - before.kv_entries, row.kv_bytes - before.kv_bytes)
        for each in self.writes:
            each.version += revisions

    def _grow(self, entries: int, size: int) -> None:
        self.kv_entries += entries
        self.kv_bytes += size


def lock_named_tables(tx: Transaction, names: Collection[str]) -> dict[str, Table]:
    """Lock the named tasks; return their tables by name. Raises NotFound."""
    rows = tx.connection.execute(_NAMED, {"g_names": list(names)})
    tables = {row.name: Table.of(row) for row in rows}
    for name in names:
        if name not in tables:
            raise missing_task(name)
    return tables


def lock_tables(
    tx: Transaction, which: ColumnElement[bool], *, skip_locked: bool = False
) -> dict[Id, Table]:
    """Lock tasks; return their tables by id. `skip_locked` leaves out those that others have locked."""
    return {row.id: Table.of(row) for row in _locked(tx, which, skip_locked=skip_locked)}


def save_tables(tx: Transaction, tables: Iterable[Table]) -> None:
    """Write what the tables have taken, and update the tasks' counters. Raises StaleError if a task is gone."""
    changed = [table for table in tables if table.writes]
    rows = [{"g_id": table.id} | counters_of(table) for table in changed]
    if _UPDATE_TASK.execute(tx.connection, rows) != len(rows):
        raise StaleError("a task is gone")
    write_tables(tx, changed)
    tx.effects.extend(KvWritten(table.id) for table in changed)


def write_tables(tx: Transaction, tables: Collection[Table]) -> None:
    """Write what the tables have taken; the counters in the tasks' rows are left to the caller."""
    writes = [each for table in tables for each in table.writes]
    write(tx, writes, {table.id: table.history for table in tables})


def counters_of(row: TableRow) -> dict[str, int]:
    """Return the parameters that update the counters of a task's row."""
    return {
        "n_kv_revision": row.kv_revision,
        "n_kv_entries": row.kv_entries,
        "n_kv_bytes": row.kv_bytes,
    }


def _locked(
    tx: Transaction, which: ColumnElement[bool], *, skip_locked: bool = False
) -> Iterable[Any]:
    wanted = _LOCKED.with_for_update(skip_locked=True) if skip_locked else _LOCKED
    return tx.connection.execute(wanted.where(which))


_COUNTERS = ("kv_revision", "kv_entries", "kv_bytes")
_TASKS = select(task.c.id, task.c.name, task.c.definition, *(task.c[each] for each in _COUNTERS))
# By id, so that no two writers deadlock.
_LOCKED = _TASKS.order_by(task.c.id).with_for_update()
_NAMED = _LOCKED.where(is_one_of(task.c.name, "g_names"), task.c.deleted_at.is_(None))
_UPDATE_TASK = Bulk(
    update(task)
    .where(task.c.id == bindparam("g_id"))
    .values({each: bindparam(f"n_{each}") for each in _COUNTERS}),
    apart=True,
)
