"""Tasks whose key-value tables are written to: locked, so that writers come one after the other, and their counters."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, bindparam, select, update

from rota.db.bulk import Bulk
from rota.db.tables import task
from rota.db.writer import StaleError, Transaction
from rota.domain.effects import KvWritten
from rota.domain.kv.schemas import KvSchema
from rota.domain.primitives.ids import Id
from rota.store.kv.planned_write import Write, growth
from rota.store.kv.schema_check import schema_of
from rota.store.kv.writes import write
from rota.store.task_rows import missing_task, read_definition


@dataclass(slots=True)
class Counters:
    """What a task's row tells of its table, and what the writes of a group make of it."""

    kv_revision: int
    kv_entries: int
    kv_bytes: int

    @classmethod
    def of(cls, row: Any) -> "Counters":
        return Counters(row.kv_revision, row.kv_entries, row.kv_bytes)

    def take(self, writes: Sequence[Write]) -> None:
        """Count writes that are to have one revision of their own, and give it to them."""
        if not writes:
            return
        self.kv_revision += 1
        for each in writes:
            each.version = self.kv_revision
        entries, size = growth(writes)
        self.kv_entries += entries
        self.kv_bytes += size


@dataclass(slots=True, kw_only=True)
class Owner(Counters):
    """A locked task, and what a group of commands makes of its table."""

    id: Id
    name: str
    history: int
    schema: KvSchema | None
    writes: list[Write] = field(default_factory=list)

    def take(self, writes: Sequence[Write]) -> None:
        """Take writes that are to have one revision of their own."""
        Counters.take(self, writes)
        self.writes.extend(writes)


def owners_of(tx: Transaction, names: Collection[str]) -> dict[str, Owner]:
    """Lock the named tasks; raises NotFound."""
    found = lock_owners(tx, task.c.name.in_(names) & task.c.deleted_at.is_(None))
    owners = {owner.name: owner for owner in found}
    for name in names:
        if name not in owners:
            raise missing_task(name)
    return owners


def lock_owners(
    tx: Transaction, which: ColumnElement[bool], *, skip_locked: bool = False
) -> list[Owner]:
    """Lock tasks, by id so that nobody waits in a circle; `skip_locked` leaves out those that others have locked."""
    wanted = _TASKS.with_for_update(skip_locked=True) if skip_locked else _TASKS
    rows = tx.connection.execute(wanted.where(which))
    return [
        Owner(
            id=row.id,
            name=row.name,
            kv_revision=row.kv_revision,
            kv_entries=row.kv_entries,
            kv_bytes=row.kv_bytes,
            history=read_definition(row.definition).kv_history,
            schema=schema_of(row.definition),
        )
        for row in rows
    ]


def save_owners(tx: Transaction, owners: Iterable[Owner]) -> None:
    """Write what was taken, and count it in the tasks' rows; raises StaleError if a task is gone."""
    changed = {owner.id: owner for owner in owners if owner.writes}
    writes = [each for owner in changed.values() for each in owner.writes]
    save_tables(tx, changed, writes, {id: owner.history for id, owner in changed.items()})


def save_tables(
    tx: Transaction,
    changed: Mapping[Id, Counters],
    writes: Sequence[Write],
    history: Mapping[Id, int],
) -> None:
    """Write to the tables of locked tasks, and count it in their rows; raises StaleError if a task is gone."""
    rows = [
        {
            "g_id": id,
            "n_kv_revision": counters.kv_revision,
            "n_kv_entries": counters.kv_entries,
            "n_kv_bytes": counters.kv_bytes,
        }
        for id, counters in changed.items()
    ]
    if _UPDATE_TASK.execute(tx.connection, rows) != len(rows):
        raise StaleError("a task is gone")
    write(tx, writes, history)
    tx.effects.extend(KvWritten(id) for id in changed)


_TASKS = (
    select(
        task.c.id,
        task.c.name,
        task.c.definition,
        task.c.kv_revision,
        task.c.kv_entries,
        task.c.kv_bytes,
    )
    .order_by(task.c.id)
    .with_for_update()
)
_UPDATE_TASK = Bulk(
    update(task)
    .where(task.c.id == bindparam("g_id"))
    .values(
        kv_revision=bindparam("n_kv_revision"),
        kv_entries=bindparam("n_kv_entries"),
        kv_bytes=bindparam("n_kv_bytes"),
    ),
    apart=True,
)
