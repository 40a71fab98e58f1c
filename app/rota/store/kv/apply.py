"""The one way to write to key-value tables: operations become planned writes, or are refused.

Transactions, imports, reverts, seeds and runs all come through here: entries are read, the operations are executed,
limits and the schema are checked. What the refusal means to the client is up to the caller.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rota.domain.json_schema.compiled import Misfit
from rota.domain.kv.entries import Change, KvChange, KvLimits
from rota.domain.kv.operation_traits import keeps_value
from rota.domain.kv.operations import Operation, OperationFailed
from rota.store.kv.pending_entries import PendingEntries
from rota.store.kv.planned_write import Write, one_each
from rota.store.kv.schema_check import first_misfit_of
from rota.store.kv.table import Table


@dataclass(frozen=True, slots=True)
class Impossible:
    """The operation number `index` (from 0) is not possible on its entry, which has `version` (None: not there)."""

    index: int
    key: str
    detail: str
    version: int | None


@dataclass(frozen=True, slots=True)
class Overfull:
    """The table would have too many entries or bytes."""

    detail: str


@dataclass(frozen=True, slots=True)
class Misfits:
    """The value that the operation number `index` leaves under `key` does not fit the schema."""

    index: int
    key: str
    found: Sequence[Misfit]


Refusal = Impossible | Overfull | Misfits


def apply(
    table: Table,
    entries: PendingEntries,
    operations: Sequence[Operation | Change],
    by: str,
    limits: KvLimits,
) -> list[Write] | Refusal:
    """Execute operations on a locked table, in order; return what they write, one write a key, for `Table.take`.

    Where an operation is impossible, `entries` are as they were; after the other refusals they are not.
    Raises NotCheckedError if the check against the schema takes long.
    """
    before = entries.savepoint((table.id, each.key) for each in operations)
    made: list[Write] = []
    # Which operation gave an entry its value: one that only expires otherwise is not checked again.
    givers: dict[str, int] = {}
    for index, each in enumerate(operations):
        try:
            write = entries.execute(table.id, each, by, limits.value_bytes, table.kv_revision + 1)
        except OperationFailed as error:
            present = entries.live((table.id, error.key))
            entries.roll_back(before)
            version = None if present is None else present.version
            return Impossible(index, error.key, error.detail, version)
        if write is not None:
            made.append(write)
            if isinstance(each, KvChange) or not keeps_value(each):
                givers[each.key] = index
    writes = one_each(made)
    full = table.overfull(writes, limits)
    if full is not None:
        return Overfull(full)
    return _misfits(table, givers, writes) or writes


def _misfits(table: Table, givers: dict[str, int], writes: Sequence[Write]) -> Misfits | None:
    if (schema := table.schema) is None:
        return None
    found = first_misfit_of(schema, [each for each in writes if each.key in givers])
    return None if found is None else Misfits(givers[found[0].key], found[0].key, found[1])
