"""Seeds of tasks: entries that registrations write once, in their own commit."""

from collections.abc import Sequence
from typing import Any, Protocol

from rota.db.tables import task
from rota.db.writer import Transaction
from rota.domain.kv.entries import KvLimits
from rota.domain.kv.operations import OperationFailed, SetOnce
from rota.domain.primitives import json_text
from rota.domain.tasks.definition import Registered
from rota.domain.tasks.seeds import refused
from rota.errors import Fault, Invalid
from rota.store.kv.counters import Owner, lock_owners, save_owners
from rota.store.kv.planned_write import Write, overfull
from rota.store.kv.schema_check import misfit_of
from rota.store.kv.writes import Entries


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
    pointer = f"/kv/{json_text.escape(each.key)}{misfits[0].pointer}"
    detail = misfits[0].detail
    raise Invalid(
        f"{pointer}: it does not fit the task's kv_schema: {detail}.",
        Fault(pointer, detail),
        slug="kv-schema",
    )
