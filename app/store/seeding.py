"""Seeds of tasks: entries that registrations write once, in their own commit."""

from collections.abc import Sequence
from typing import Any, Protocol

from app.db.tables import task
from app.db.writer import Transaction
from app.domain import values
from app.domain.kv import KvLimits
from app.domain.operations import OperationFailed, SetOnce
from app.domain.seeds import refused
from app.domain.tasks import Registered
from app.errors import Fault, Invalid
from app.store.kv_checking import misfit_of
from app.store.kv_owners import Owner, lock_owners, save_owners
from app.store.kv_writing import Entries, Write, overfull


class Seeding(Protocol):
    """A registration."""

    @property
    def seeds(self) -> tuple[SetOnce, ...]: ...

    @property
    def by(self) -> str: ...

    @property
    def limits(self) -> KvLimits: ...


def plant(
    tx: Transaction, commands: Sequence[Seeding], made: Sequence[Any]
) -> tuple[int, Invalid] | None:
    """Write the seeds of registrations that were `made`, all with the same few statements.

    A task that was kept as it is gets none. Returns the number of the first one whose seeds cannot be written, and why.
    """
    planted = [
        (index, command, done.task.id)
        for index, (command, done) in enumerate(zip(commands, made, strict=True))
        if command.seeds and done.outcome is not Registered.KEPT
    ]
    if not planted:
        return None
    owners = {
        owner.id: owner for owner in lock_owners(tx, task.c.id.in_([id for *_, id in planted]))
    }
    places = {(id, operation.key) for _, command, id in planted for operation in command.seeds}
    entries = Entries(tx, places)
    for index, command, id in planted:
        try:
            _plant(owners[id], command, entries)
        except Invalid as error:
            return index, error
    save_owners(tx, owners.values())
    return None


def _plant(owner: Owner, command: Seeding, entries: Entries) -> None:
    version = owner.kv_revision + 1
    writes: list[Write] = []
    for operation in command.seeds:
        if (fault := command.limits.key_fault(operation.key)) is not None:
            raise refused(operation.key, fault)
        try:
            made = entries.carry_out(
                owner.id, operation, command.by, command.limits.value_bytes, version
            )
        except OperationFailed as error:
            raise refused(error.key, error.detail) from None
        if made is not None:
            writes.append(made)
    full = overfull(owner, writes, command.limits)
    if full is not None:
        raise Invalid(f"/kv: {full}.", Fault("/kv", full))
    _check_schema(owner, writes)
    owner.take(writes)


def _check_schema(owner: Owner, writes: Sequence[Write]) -> None:
    found = None if owner.schema is None else misfit_of(owner.schema, writes)
    if found is None:
        return
    each, misfits = found
    pointer = f"/kv/{values.escape(each.key)}{misfits[0].pointer}"
    detail = misfits[0].detail
    raise Invalid(
        f"{pointer}: it does not fit the task's kv_schema: {detail}.",
        Fault(pointer, detail),
        slug="kv-schema",
    )
