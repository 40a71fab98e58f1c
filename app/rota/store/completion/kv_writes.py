"""What runs write to key-value tables, of their own task and of others, planned before their ends are decided."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, assert_never

from rota.db.command import StaleError, Transaction
from rota.domain.json_schema.compiled import Misfit
from rota.domain.kv.entries import Change, KvChange, KvLimits, written_by
from rota.domain.kv.operation_traits import writes_key
from rota.domain.kv.present import Present
from rota.domain.kv.run_writes import TableWrites, not_granted
from rota.domain.primitives.ids import Id
from rota.domain.primitives.texts.names import RESULT_KEY
from rota.domain.runs.errors import RunError
from rota.domain.runs.model import ClaimedRun
from rota.domain.runs.outcomes import Conflicted, Failed, Fatal
from rota.store.definitions import read_definition
from rota.store.kv.apply import Impossible, Misfits, Overfull, Refusal, apply
from rota.store.kv.pending_entries import PendingEntries
from rota.store.kv.planned_write import Write
from rota.store.kv.table import Table
from rota.store.task_locks import LockedTask

Obstacle = Conflicted | Failed | Fatal


class RunWrites(NamedTuple):
    """What an attempt writes: its changes, by table, and its result (JSON) if it has succeeded with one."""

    run: ClaimedRun
    tables: Sequence[TableWrites]
    limits: KvLimits
    result: str | None = None


@dataclass(slots=True)
class PlannedWrites:
    """The tables as the runs of a group leave them, and what kept runs from writing."""

    #: By task.
    tables: dict[Id, Table] = field(default_factory=dict)
    #: By run: the outcome that its attempt has instead.
    obstacles: dict[Id, Obstacle] = field(default_factory=dict)
    #: The tasks whose tables runs of other tasks write to.
    written_by_others: set[Id] = field(default_factory=set)

    def table(self, row: LockedTask) -> Table:
        """Return the table of a locked task."""
        found = self.tables.get(row.id)
        if found is None:
            found = self.tables[row.id] = Table.of(row)
        return found


def plan_writes(
    tx: Transaction, writers: Sequence[RunWrites], tasks: Mapping[Id, LockedTask]
) -> PlannedWrites:
    """Plan the writes of runs to locked tasks, one run after the other; to each the ones before it are other writers.

    All writes of a run to a table are one revision of it. Raises StaleError if one of several runs is refused halfway:
    the runs after it would build on writes that are not made.
    """
    touched = [
        (table.task_id, change)
        for each in writers
        for table in each.tables
        for change in table.changes
    ]
    entries = PendingEntries(tx, touched)
    planned = PlannedWrites()
    is_alone = sum(bool(each.tables) for each in writers) <= 1
    for each in writers:
        obstacle = _obstacle(each, entries, tasks) or _plan(planned, each, entries, tasks)
        if obstacle is None:
            continue
        if obstacle.halfway and not is_alone:
            raise StaleError("writes of a run are refused halfway: the runs are planned one by one")
        planned.obstacles[each.run.id] = obstacle.outcome
    return planned


@dataclass(frozen=True, slots=True)
class _Obstacle:
    """The outcome that an attempt has instead; `halfway`: the entries are as some of its writes have left them."""

    outcome: Obstacle
    halfway: bool = False


def _obstacle(
    each: RunWrites, entries: PendingEntries, tasks: Mapping[Id, LockedTask]
) -> _Obstacle | None:
    """Return what keeps an attempt from writing, before anything of it is written."""
    for table in each.tables:
        row = tasks.get(table.task_id)
        is_other = table.task_id != each.run.task_id
        if row is None or (is_other and row.deleted_at is not None):
            # The same as a change: the next attempt finds that the task is gone.
            return _Obstacle(_conflict(each, table, table.changes[0].key))
        if is_other and not is_granted(each.run.task, row):
            denied = not_granted(each.run.task, table.task)
            return _Obstacle(Fatal(RunError("kv.not_granted", denied)))
        fault = _key_fault(table, each.limits)
        if fault is not None:
            return _Obstacle(Failed(RunError("kv.key", fault)))
        key = entries.conflict(table.task_id, table.changes, table.revision)
        if key is not None:
            return _Obstacle(_conflict(each, table, key))
    return None


def _key_fault(table: TableWrites, limits: KvLimits) -> str | None:
    """Return why a run cannot write a key; a key that is there already can be removed and checked."""
    for change in table.changes:
        fault = limits.key_fault(change.key) if _writes_key(change) else None
        if fault is not None:
            return f"{change.key!r} cannot be written: {fault}."
    return None


def _writes_key(change: Change) -> bool:
    return change.value is not None if isinstance(change, KvChange) else writes_key(change)


def is_granted(writer: str, row: Any) -> bool:
    """Guard: the task of a table decides whose runs may write to it, up to the commit."""
    return writer in read_definition(row.definition).kv_grants


def _plan(
    planned: PlannedWrites,
    each: RunWrites,
    entries: PendingEntries,
    tasks: Mapping[Id, LockedTask],
) -> _Obstacle | None:
    by = written_by(each.run.id, each.run.attempt)
    taken: dict[Id, list[Write]] = {}
    for changes in each.tables:
        table = planned.table(tasks[changes.task_id])
        made = apply(table, entries, changes.changes, by, each.limits)
        if not isinstance(made, list):
            halfway = bool(taken) or not isinstance(made, Impossible)
            return _Obstacle(_refused(each, changes, made), halfway)
        taken[changes.task_id] = made
    own = each.run.task_id
    planned.written_by_others.update(id for id, writes in taken.items() if writes and id != own)
    if each.result is not None and own in tasks:
        result = Write(own, RESULT_KEY, Present(each.result.encode()), None, by)
        taken.setdefault(own, []).append(result)
    for id, writes in taken.items():
        planned.table(tasks[id]).take(writes)
    return None


def _refused(each: RunWrites, table: TableWrites, refusal: Refusal) -> Obstacle:
    match refusal:
        case Impossible():
            # The entry is not the one that the run has seen: the next attempt reads it again.
            return _conflict(each, table, refusal.key)
        case Overfull():
            of = "" if table.task_id == each.run.task_id else f" of task {table.task!r}"
            detail = f"The kv changes{of} do not fit: {refusal.detail}."
            return Failed(RunError("kv.full", detail))
        case Misfits():
            return Failed(_does_not_fit(refusal.key, table.task, refusal.found[0]))
        case _:
            assert_never(refusal)


def _does_not_fit(key: str, task: str, misfit: Misfit) -> RunError:
    """Return the error of a run; it says nothing of the value."""
    return RunError(
        "kv.schema",
        f"The value of {key!r} does not fit the kv_schema of task {task!r}: {misfit.reason}.",
    )


def _conflict(each: RunWrites, table: TableWrites, key: str) -> Conflicted:
    return Conflicted(key, None if table.task_id == each.run.task_id else table.task)
