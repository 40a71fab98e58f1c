"""Transactions on the key-value table of one task, by clients; and the end of what has expired."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from sqlalchemy import select

from rota.db.command import Command, Transaction
from rota.db.tables import kv, task
from rota.domain.json_schema.compiled import Misfit
from rota.domain.kv.entries import DEFAULT_LIMITS, KvEntry, KvLimits, read_author
from rota.domain.kv.operation_traits import computes_value
from rota.domain.kv.operations import Delete, Operation
from rota.domain.kv.present import Present
from rota.domain.kv.schemas import DoesNotFit
from rota.domain.primitives.ids import Id
from rota.domain.primitives.preconditions import Precondition
from rota.errors import Conflict, Fault, NotFound, PreconditionFailed
from rota.store.kv.apply import Impossible, Misfits, Overfull, apply
from rota.store.kv.pending_entries import PendingEntries
from rota.store.kv.planned_write import by_task, is_own
from rota.store.kv.table import Table, lock_named_tables, lock_tables, save_tables
from rota.store.task_names import starts_with


@dataclass(frozen=True, slots=True)
class Transacted:
    """The task; those of the entries named by a transaction that are there after it; whether its first one was not."""

    task_id: Id
    entries: list[KvEntry]
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Transact(Command[Transacted]):
    """Execute operations on the entries of one task, all or none.

    `expected` is a precondition on the entry of the first operation, `must_exist` that it is there. Raises NotFound,
    PreconditionFailed, Conflict with a pointer at the operation that failed, or Invalid if a value does not fit.
    """

    batched = True

    task: str
    operations: tuple[Operation, ...]
    by: str
    expected: Precondition | None = None
    must_exist: bool = False
    limits: KvLimits = DEFAULT_LIMITS

    @classmethod
    def apply_all(cls, tx: Transaction, commands: Sequence["Transact"]) -> list[Transacted]:
        tables = lock_named_tables(tx, {command.task for command in commands})
        touched = [(tables[each.task].id, made) for each in commands for made in each.operations]
        entries = PendingEntries(tx, touched)
        made = [_transact(tables[each.task], each, entries) for each in commands]
        save_tables(tx, tables.values())
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletePrefix(Command[int]):
    """Remove every entry whose key starts with `prefix`, Rota's own apart; return how many. Raises NotFound."""

    task: str
    prefix: str
    by: str

    def apply(self, tx: Transaction) -> int:
        [table] = lock_named_tables(tx, {self.task}).values()
        matching = select(kv.c.key).where(
            kv.c.task_id == table.id, *starts_with(kv.c.key, self.prefix)
        )
        keys = [key for key in tx.connection.execute(matching).scalars() if not is_own(key)]
        deletes = [Delete(key) for key in keys]
        entries = PendingEntries(tx, [(table.id, each) for each in deletes])
        live = [key for key in keys if entries.live((table.id, key)) is not None]
        _execute(table, entries, deletes, self.by, DEFAULT_LIMITS)
        save_tables(tx, [table])
        return len(live)


@dataclass(frozen=True, slots=True)
class RemoveExpired(Command[int]):
    """Remove up to `limit` expired entries, those of a table as one revision of it; return how many.

    Entries of a table that is locked by another transaction wait for the next time.
    """

    patient = False

    limit: int

    def apply(self, tx: Transaction) -> int:
        expired = select(kv.c.task_id, kv.c.key).where(kv.c.expires_at <= tx.now)
        found = tx.connection.execute(expired.order_by(kv.c.expires_at).limit(self.limit)).all()
        these = task.c.id.in_([row.task_id for row in found])
        tables = lock_tables(tx, these, skip_locked=True)
        # Read again now that the tasks are locked: an entry may have been written meanwhile.
        free = [(row.task_id, row.key) for row in found if row.task_id in tables]
        entries = PendingEntries(tx, [(id, Delete(key)) for id, key in free])
        removed = [entries.remove_expired(place) for place in free]
        for id, writes in by_task(each for each in removed if each is not None).items():
            tables[id].take(writes)
        save_tables(tx, tables.values())
        return len(free)


def write_entries(
    tx: Transaction, task_id: Id, operations: Sequence[Operation], by: str, limits: KvLimits
) -> None:
    """Execute operations on the table of a task, as one revision. Raises Conflict and Invalid as `Transact` does."""
    table = lock_tables(tx, task.c.id == task_id)[task_id]
    entries = PendingEntries(tx, [(task_id, each) for each in operations])
    _execute(table, entries, operations, by, limits)
    save_tables(tx, [table])


def _transact(table: Table, command: Transact, entries: PendingEntries) -> Transacted:
    first = command.operations[0].key
    present = entries.live((table.id, first))
    _check_expected(command.expected, table.id, present, first)
    if command.must_exist and present is None:
        raise NotFound(f"Task {command.task!r} has no entry {first!r}.")
    _execute(table, entries, command.operations, command.by, command.limits)
    keys = dict.fromkeys(operation.key for operation in command.operations)
    return Transacted(table.id, [*_shown(table.id, keys, entries)], created=present is None)


def _execute(
    table: Table,
    entries: PendingEntries,
    operations: Sequence[Operation],
    by: str,
    limits: KvLimits,
) -> None:
    made = apply(table, entries, operations, by, limits)
    match made:
        case list():
            table.take(made)
        case Impossible():
            raise _failed(operations[made.index], made)
        case Overfull():
            raise Conflict(f"It does not fit: {made.detail}.", slug="kv-full")
        case Misfits():
            raise _does_not_fit(operations[made.index], made)
        case _:
            assert_never(made)


def _failed(operation: Operation, made: Impossible) -> Conflict:
    return Conflict(
        f"Operation {made.index} ({operation.op}) on {made.key!r} is not possible: {made.detail}. "
        "Nothing was written.",
        Fault(f"/operations/{made.index}", made.detail),
        slug="operation-failed",
        present={"key": made.key, "version": made.version},
    )


def _does_not_fit(operation: Operation, made: Misfits) -> DoesNotFit:
    pointer = f"/operations/{made.index}"
    if not computes_value(operation):
        return DoesNotFit(made.key, f"{pointer}/value", made.found)
    # The value is made by the operation: the request has no place where the fault is.
    return DoesNotFit(made.key, pointer, [_with_place(misfit) for misfit in made.found])


def _with_place(misfit: Misfit) -> Misfit:
    at = f"at {misfit.pointer} " if misfit.pointer else ""
    return replace(misfit, pointer="", detail=f"{at}{misfit.detail}")


def _shown(task_id: Id, keys: Iterable[str], entries: PendingEntries) -> Iterator[KvEntry]:
    for key in keys:
        present = entries.live((task_id, key))
        if present is not None:
            yield to_entry(key, present)


def to_entry(key: str, present: Present) -> KvEntry:
    """Return a stored entry as it is shown."""
    assert present.version is not None
    assert present.updated_at is not None
    author, attempt = read_author(present.updated_by)
    return KvEntry(
        key=key,
        value=present.value,
        size=len(present.value),
        content_type=present.content_type,
        version=present.version,
        updated_at=present.updated_at,
        updated_by=author,
        attempt=attempt,
        expires_at=present.expires_at,
    )


def _check_expected(
    expected: Precondition | None, owner: Id, present: Present | None, key: str
) -> None:
    version = None if present is None else present.version
    tag = None if version is None else (owner, version)
    if expected is not None and not expected.is_met_by(tag):
        there = "it is not there" if version is None else f"it has version {version}"
        raise PreconditionFailed(
            f"Entry {key!r} is not as you expect: {there}.", present={"version": version}
        )
