"""Transactions on the key-value table of one task, by clients; and the end of what has expired."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from rota.db.tables import kv, task
from rota.db.writer import Command, Transaction
from rota.domain.kv.entries import DEFAULT_LIMITS, KvEntry, KvLimits, read_author
from rota.domain.kv.operations import Delete, Expire, Operation, OperationFailed, name_of
from rota.domain.kv.present import Present
from rota.domain.primitives.ids import Id
from rota.domain.primitives.preconditions import Precondition
from rota.errors import Conflict, Fault, NotFound, PreconditionFailed
from rota.store.kv.counters import Owner, lock_owners, owners_of, save_owners
from rota.store.kv.planned_write import Write, by_task, is_own, one_each, overfull
from rota.store.kv.schema_check import check_operations
from rota.store.kv.writes import Entries, places_looked_into
from rota.store.task_rows import starts_with


@dataclass(frozen=True, slots=True)
class Transacted:
    """The task; those of the entries named by a transaction that are there after it; whether its first one was not."""

    task_id: Id
    entries: list[KvEntry]
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Transact(Command[Transacted]):
    """Carry out operations on the entries of one task, all or none.

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
        owners = owners_of(tx, {command.task for command in commands})
        touched = [
            (owners[command.task].id, operation)
            for command in commands
            for operation in command.operations
        ]
        entries = Entries(
            tx,
            {(id, operation.key) for id, operation in touched},
            places_looked_into(touched),
        )
        made = [_transact(owners[each.task], each, entries) for each in commands]
        save_owners(tx, owners.values())
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletePrefix(Command[int]):
    """Remove every entry whose key starts with `prefix`, Rota's own apart; return how many. Raises NotFound."""

    task: str
    prefix: str
    by: str

    def apply(self, tx: Transaction) -> int:
        [owner] = owners_of(tx, {self.task}).values()
        matching = select(kv.c.key).where(
            kv.c.task_id == owner.id, *starts_with(kv.c.key, self.prefix)
        )
        keys = [key for key in tx.connection.execute(matching).scalars() if not is_own(key)]
        entries = Entries(tx, [(owner.id, key) for key in keys])
        live = [key for key in keys if entries.live((owner.id, key)) is not None]
        _carry_out(owner, [Delete(key) for key in keys], self.by, entries, DEFAULT_LIMITS)
        save_owners(tx, [owner])
        return len(live)


@dataclass(frozen=True, slots=True)
class RemoveExpired(Command[int]):
    """Remove up to `limit` expired entries, those of a table as one revision of it; return how many.

    Those of a table that somebody else has locked stay for the next time.
    """

    patient = False

    limit: int

    def apply(self, tx: Transaction) -> int:
        expired = select(kv.c.task_id, kv.c.key).where(kv.c.expires_at <= tx.now)
        found = tx.connection.execute(expired.order_by(kv.c.expires_at).limit(self.limit)).all()
        these = task.c.id.in_([row.task_id for row in found])
        owners = {owner.id: owner for owner in lock_owners(tx, these, skip_locked=True)}
        found = [row for row in found if row.task_id in owners]
        # Read again now that the tasks are locked: somebody may have written to an entry meanwhile.
        entries = Entries(tx, [(row.task_id, row.key) for row in found])
        removed = [entries.remove_expired((row.task_id, row.key)) for row in found]
        for id, writes in by_task(each for each in removed if each is not None).items():
            owners[id].take(writes)
        save_owners(tx, owners.values())
        return len(found)


def seed(
    tx: Transaction, task_id: Id, operations: Sequence[Operation], by: str, limits: KvLimits
) -> None:
    """Carry out operations of a registration on its task's table. Raises Conflict and Invalid as `Transact` does."""
    [owner] = lock_owners(tx, task.c.id == task_id)
    touched = [(task_id, operation) for operation in operations]
    places = {(task_id, operation.key) for operation in operations}
    entries = Entries(tx, places, places_looked_into(touched))
    _carry_out(owner, operations, by, entries, limits)
    save_owners(tx, [owner])


def _transact(owner: Owner, command: Transact, entries: Entries) -> Transacted:
    first = command.operations[0].key
    present = entries.live((owner.id, first))
    _check_expected(command.expected, owner.id, present, first)
    if command.must_exist and present is None:
        raise NotFound(f"Task {owner.name!r} has no entry {first!r}.")
    _carry_out(owner, command.operations, command.by, entries, command.limits)
    keys = dict.fromkeys(operation.key for operation in command.operations)
    return Transacted(owner.id, [*_shown(owner.id, keys, entries)], created=present is None)


def _carry_out(
    owner: Owner, operations: Sequence[Operation], by: str, entries: Entries, limits: KvLimits
) -> None:
    version = owner.kv_revision + 1
    writes: list[Write] = []
    # Which of the operations gave an entry its value.
    gave: dict[str, int] = {}
    for index, operation in enumerate(operations):
        try:
            made = entries.carry_out(owner.id, operation, by, limits.value_bytes, version)
        except OperationFailed as error:
            raise _failed(
                index, operation, error.detail, entries.live((owner.id, operation.key))
            ) from None
        if made is not None:
            writes.append(made)
            if not isinstance(operation, Expire):
                gave[operation.key] = index
    full = overfull(owner, writes, limits)
    if full is not None:
        raise Conflict(f"It does not fit: {full}.", slug="kv-full")
    left = one_each(writes)
    if owner.schema is not None:
        check_operations(owner.schema, operations, gave, left)
    owner.take(left)


def _failed(index: int, operation: Operation, detail: str, present: Present | None) -> Conflict:
    name = name_of(operation)
    return Conflict(
        f"Operation {index} ({name}) on {operation.key!r} is not possible: {detail}. Nothing was written.",
        Fault(f"/operations/{index}", detail),
        slug="operation-failed",
        present={"key": operation.key, "version": None if present is None else present.version},
    )


def _shown(task_id: Id, keys: Iterable[str], entries: Entries) -> Iterator[KvEntry]:
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
