"""Seeds of tasks: entries that registrations write once, in their own commit."""

from collections.abc import Sequence
from typing import NamedTuple, assert_never

from rota.db.command import Transaction
from rota.db.tables import task
from rota.domain.json_schema.compiled import Misfit
from rota.domain.kv.entries import KvLimits
from rota.domain.kv.operations import SetOnce
from rota.domain.primitives.ids import Id
from rota.domain.primitives.json import json_text
from rota.domain.tasks.seeds import refused
from rota.errors import Fault, Invalid
from rota.store.kv.apply import Impossible, Misfits, Overfull, apply
from rota.store.kv.pending_entries import PendingEntries
from rota.store.kv.table import Table, lock_tables, save_tables


class Seeding(NamedTuple):
    """The seeds of one registration; `item` is its place among those of the command."""

    item: int
    task_id: Id
    seeds: tuple[SetOnce, ...]
    by: str
    limits: KvLimits


def write_seeds(tx: Transaction, seedings: Sequence[Seeding]) -> tuple[int, Invalid] | None:
    """Write the seeds of registrations, all with the same few statements.

    Returns the place of the first registration whose seeds cannot be written, and why.
    """
    if not seedings:
        return None
    tables = lock_tables(tx, task.c.id.in_([each.task_id for each in seedings]))
    entries = PendingEntries(tx, [(each.task_id, seed) for each in seedings for seed in each.seeds])
    for each in seedings:
        try:
            _apply(tables[each.task_id], each, entries)
        except Invalid as error:
            return each.item, error
    save_tables(tx, tables.values())
    return None


def _apply(table: Table, seeding: Seeding, entries: PendingEntries) -> None:
    for seed in seeding.seeds:
        if (fault := seeding.limits.key_fault(seed.key)) is not None:
            raise refused(seed.key, fault)
    made = apply(table, entries, seeding.seeds, seeding.by, seeding.limits)
    match made:
        case list():
            table.take(made)
        case Impossible():
            raise refused(made.key, made.detail)
        case Overfull():
            raise Invalid(f"/kv: {made.detail}.", Fault("/kv", made.detail))
        case Misfits():
            raise _does_not_fit(made.key, made.found[0])
        case _:
            assert_never(made)


def _does_not_fit(key: str, misfit: Misfit) -> Invalid:
    pointer = f"/kv/{json_text.escape(key)}{misfit.pointer}"
    return Invalid(
        f"{pointer}: it does not fit the task's kv_schema: {misfit.detail}.",
        Fault(pointer, misfit.detail),
        slug="kv-schema",
    )
