"""What runs do to the key-value table of their task, worked out before their ends are decided."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from app.db.writer import Transaction
from app.domain.kv import KvLimits
from app.domain.operations import OperationFailed
from app.domain.runs import RunError
from app.store.kv_writing import Entries, Write, overfull, values_needed


class Writing(Protocol):
    """An attempt that succeeded with kv changes."""

    @property
    def run_id(self) -> UUID: ...

    @property
    def task_id(self) -> UUID: ...

    @property
    def outcome(self) -> Any: ...

    @property
    def limits(self) -> KvLimits: ...


@dataclass(slots=True)
class Worked:
    """What becomes of the writes of runs, by run: they are made, they met somebody else's, or they are not possible."""

    writes: dict[UUID, Sequence[Write]] = field(default_factory=dict)
    conflicts: dict[UUID, str] = field(default_factory=dict)
    refused: dict[UUID, RunError] = field(default_factory=dict)


def work_out(tx: Transaction, writing: Sequence[Writing], tasks: Mapping[UUID, Any]) -> Worked:
    """Work out the writes of runs of locked tasks, one after the other: an earlier one counts as somebody else."""
    made = Worked()
    touched = [(each.task_id, change) for each in writing for change in each.outcome.changes]
    entries = Entries(
        tx,
        {(task_id, change.key) for task_id, change in touched},
        with_values=values_needed(change for _, change in touched),
    )
    for each in writing:
        _work_out(made, each, entries, tasks[each.task_id])
    return made


def _work_out(made: Worked, each: Writing, entries: Entries, row: Any) -> None:
    changes, since = each.outcome.changes, each.outcome.kv_revision
    conflict = entries.conflict(each.task_id, changes, since)
    if conflict is not None:
        made.conflicts[each.run_id] = conflict
        return
    by = f"run:{each.run_id}"
    try:
        writes = entries.change(each.task_id, changes, by, each.limits.value_bytes)
    except OperationFailed as error:
        # The entry is another than the run has seen: it is tried again, and sees for itself.
        made.conflicts[each.run_id] = error.key
        return
    full = overfull(row, writes, each.limits)
    if full is not None:
        made.refused[each.run_id] = RunError("kv.full", f"The kv changes do not fit: {full}.")
    else:
        made.writes[each.run_id] = writes
