"""Transactions on the key-value table of one task, by clients; and the end of what has expired."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, select, update

from app.db.bulk import Bulk
from app.db.tables import kv, task
from app.db.writer import Command, StaleError, Transaction
from app.domain.effects import KvWritten
from app.domain.kv import DEFAULT_LIMITS, KvEntry, KvLimits
from app.domain.operations import Delete, Operation, OperationFailed, Present
from app.errors import Conflict, Fault, NotFound, PreconditionFailed
from app.store.kv_writing import Entries, Write, is_own, one_each, overfull, values_needed, write
from app.store.tasks import missing_task, read_definition, starts_with


@dataclass(frozen=True, slots=True)
class Expected:
    """A precondition on an entry: `version` it must have, or (None) that it must not be there."""

    task_id: UUID | None
    version: int | None


@dataclass(frozen=True, slots=True)
class Transacted:
    """The task; those of the entries named by a transaction that are there after it; whether its first one was not."""

    task_id: UUID
    entries: list[KvEntry]
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Transact(Command[Transacted]):
    """Carry out operations on the entries of one task, all or none.

    `expected` is a precondition on the entry of the first operation, `must_exist` that it is there. Raises NotFound,
    PreconditionFailed, or Conflict with a pointer at the operation that failed.
    """

    batched = True

    task: str
    operations: tuple[Operation, ...]
    by: str
    expected: Expected | None = None
    must_exist: bool = False
    limits: KvLimits = DEFAULT_LIMITS

    @classmethod
    def apply_all(cls, tx: Transaction, commands: Sequence["Transact"]) -> list[Transacted]:
        owners = _owners_of(tx, {command.task for command in commands})
        touched = [
            (owners[command.task].id, operation)
            for command in commands
            for operation in command.operations
        ]
        entries = Entries(
            tx,
            {(id, operation.key) for id, operation in touched},
            with_values=values_needed(operation for _, operation in touched),
        )
        made = [_transact(owners[each.task], each, entries) for each in commands]
        _save(tx, owners.values())
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletePrefix(Command[int]):
    """Remove every entry whose key starts with `prefix`, Rota's own apart; return how many. Raises NotFound."""

    task: str
    prefix: str
    by: str

    def apply(self, tx: Transaction) -> int:
        [owner] = _owners_of(tx, {self.task}).values()
        matching = select(kv.c.key).where(
            kv.c.task_id == owner.id, *starts_with(kv.c.key, self.prefix)
        )
        keys = [key for key in tx.connection.execute(matching).scalars() if not is_own(key)]
        entries = Entries(tx, [(owner.id, key) for key in keys], with_values=False)
        live = [key for key in keys if entries.live((owner.id, key)) is not None]
        _carry_out(owner, [Delete(key) for key in keys], self.by, entries, DEFAULT_LIMITS)
        _save(tx, [owner])
        return len(live)


@dataclass(frozen=True, slots=True)
class RemoveExpired(Command[int]):
    """Remove up to `limit` expired entries, as a client would; return how many."""

    limit: int

    def apply(self, tx: Transaction) -> int:
        expired = select(kv.c.task_id, kv.c.key).where(kv.c.expires_at <= tx.now)
        found = tx.connection.execute(expired.order_by(kv.c.expires_at).limit(self.limit)).all()
        owners = {
            owner.id: owner for owner in _lock(tx, task.c.id.in_([row.task_id for row in found]))
        }
        # Read again now that the tasks are locked: somebody may have written to an entry meanwhile.
        entries = Entries(tx, [(row.task_id, row.key) for row in found], with_values=False)
        for row in found:
            removed = entries.remove_expired((row.task_id, row.key))
            owners[row.task_id].take([] if removed is None else [removed])
        _save(tx, owners.values())
        return len(found)


def seed(
    tx: Transaction, task_id: UUID, operations: Sequence[Operation], by: str, limits: KvLimits
) -> None:
    """Carry out operations of a registration on its task's table. Raises Conflict as `Transact` does."""
    [owner] = _lock(tx, task.c.id == task_id)
    entries = Entries(tx, {(task_id, operation.key) for operation in operations})
    _carry_out(owner, operations, by, entries, limits)
    _save(tx, [owner])


@dataclass(slots=True)
class _Owner:
    """A locked task, and what a group of commands makes of its table."""

    id: UUID
    name: str
    kv_revision: int
    kv_entries: int
    kv_bytes: int
    history: int
    writes: list[Write] = field(default_factory=list)

    def take(self, writes: Sequence[Write]) -> None:
        """Take writes that are to have one revision of their own."""
        if not writes:
            return
        self.kv_revision += 1
        for each in writes:
            each.version = self.kv_revision
            self.kv_entries += each.entries
            self.kv_bytes += each.bytes
        self.writes.extend(writes)


def _owners_of(tx: Transaction, names: Collection[str]) -> dict[str, _Owner]:
    found = _lock(tx, task.c.name.in_(names) & task.c.deleted_at.is_(None))
    owners = {owner.name: owner for owner in found}
    for name in names:
        if name not in owners:
            raise missing_task(name)
    return owners


def _lock(tx: Transaction, which: ColumnElement[bool]) -> list[_Owner]:
    rows = tx.connection.execute(_TASKS.where(which))
    return [
        _Owner(
            row.id,
            row.name,
            row.kv_revision,
            row.kv_entries,
            row.kv_bytes,
            read_definition(row.definition).kv_history,
        )
        for row in rows
    ]


def _transact(owner: _Owner, command: Transact, entries: Entries) -> Transacted:
    first = command.operations[0].key
    present = entries.live((owner.id, first))
    _check_expected(command.expected, owner.id, present, first)
    if command.must_exist and present is None:
        raise NotFound(f"Task {owner.name!r} has no entry {first!r}.")
    _carry_out(owner, command.operations, command.by, entries, command.limits)
    keys = dict.fromkeys(operation.key for operation in command.operations)
    return Transacted(owner.id, [*_shown(owner.id, keys, entries)], created=present is None)


def _carry_out(
    owner: _Owner, operations: Sequence[Operation], by: str, entries: Entries, limits: KvLimits
) -> None:
    version = owner.kv_revision + 1
    writes: list[Write] = []
    for index, operation in enumerate(operations):
        try:
            made = entries.carry_out(owner.id, operation, by, limits.value_bytes, version)
        except OperationFailed as error:
            raise _failed(
                index, operation, error.detail, entries.live((owner.id, operation.key))
            ) from None
        if made is not None:
            writes.append(made)
    full = overfull(owner, writes, limits)
    if full is not None:
        raise Conflict(f"It does not fit: {full}.", slug="kv-full")
    owner.take(one_each(writes))


def _failed(index: int, operation: Operation, detail: str, present: Present | None) -> Conflict:
    name = type(operation).__name__
    return Conflict(
        f"Operation {index} ({name}) on {operation.key!r} is not possible: {detail}. Nothing was written.",
        Fault(f"/operations/{index}", detail),
        slug="operation-failed",
        present={"key": operation.key, "version": None if present is None else present.version},
    )


def _shown(task_id: UUID, keys: Iterable[str], entries: Entries) -> Iterator[KvEntry]:
    for key in keys:
        present = entries.live((task_id, key))
        if present is not None:
            yield to_entry(key, present)


def to_entry(key: str, present: Present) -> KvEntry:
    """Return a stored entry as it is shown."""
    assert present.version is not None
    assert present.updated_at is not None
    return KvEntry(
        key=key,
        value=present.value,
        size=len(present.value),
        content_type=present.content_type,
        version=present.version,
        updated_at=present.updated_at,
        updated_by=present.updated_by,
        expires_at=present.expires_at,
    )


def _check_expected(
    expected: Expected | None, owner: UUID, present: Present | None, key: str
) -> None:
    if expected is None:
        return
    version = None if present is None else present.version
    wrong_task = expected.task_id is not None and expected.task_id != owner
    if wrong_task or expected.version != version:
        there = "it is not there" if version is None else f"it has version {version}"
        raise PreconditionFailed(
            f"Entry {key!r} is not as you expect: {there}.", present={"version": version}
        )


def _save(tx: Transaction, owners: Iterable[_Owner]) -> None:
    changed = [owner for owner in owners if owner.writes]
    rows = [
        {
            "g_id": owner.id,
            "n_kv_revision": owner.kv_revision,
            "n_kv_entries": owner.kv_entries,
            "n_kv_bytes": owner.kv_bytes,
        }
        for owner in changed
    ]
    if _UPDATE_TASK.execute(tx.connection, rows) != len(rows):
        raise StaleError("a task is gone")
    write(
        tx,
        [each for owner in changed for each in owner.writes],
        {owner.id: owner.history for owner in changed},
    )
    tx.effects.extend(KvWritten(owner.id) for owner in changed)


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
    )
)
