"""What runs do to key-value tables, of their own task and of others, worked out before their ends are decided."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from rota.db.writer import StaleError, Transaction
from rota.domain.kv.entries import KvChange, KvLimits, written_by
from rota.domain.kv.operations import Check, OperationFailed
from rota.domain.kv.run_writes import TableChanges, not_granted
from rota.domain.primitives.ids import Id
from rota.domain.runs.errors import RunError
from rota.domain.runs.model import ClaimedRun
from rota.domain.runs.outcomes import Conflicted, Failed, Fatal
from rota.store.kv.counters import Counters
from rota.store.kv.planned_write import Write, overfull
from rota.store.kv.schema_check import misfit_of_run
from rota.store.kv.writes import Entries, places_looked_into
from rota.store.task_locks import LockedTask
from rota.store.task_rows import read_definition


class Writing(Protocol):
    """An attempt that has written to tables."""

    @property
    def run_id(self) -> Id: ...

    @property
    def run(self) -> ClaimedRun: ...

    @property
    def task_id(self) -> Id: ...

    @property
    def task(self) -> str: ...

    @property
    def tables(self) -> Sequence[TableChanges]: ...

    @property
    def limits(self) -> KvLimits: ...


Obstacle = Conflicted | Failed | Fatal


@dataclass(slots=True)
class Worked:
    """What becomes of the writes of runs, by run: they are made, or something is in their way."""

    writes: dict[Id, Sequence[Write]] = field(default_factory=dict)
    obstacles: dict[Id, Obstacle] = field(default_factory=dict)
    #: By task.
    counters: dict[Id, Counters] = field(default_factory=dict)


def work_out(tx: Transaction, writing: Sequence[Writing], tasks: Mapping[Id, LockedTask]) -> Worked:
    """Work out the writes of runs to locked tasks, one after the other: an earlier one counts as somebody else.

    Raises StaleError if one of several is given up halfway: what the others have built on is not there then.
    """
    touched = [
        (table.task_id, change)
        for each in writing
        for table in each.tables
        for change in table.changes
    ]
    entries = Entries(
        tx,
        {(task_id, change.key) for task_id, change in touched},
        places_looked_into(touched),
    )
    concerned = {task_id for task_id, _ in touched} & tasks.keys()
    made = Worked(counters={id: Counters.of(tasks[id]) for id in concerned})
    for each in writing:
        obstacle = _obstacle(each, entries, tasks) or _carry_out(made, each, entries, tasks)
        if obstacle is None:
            continue
        if obstacle.halfway and len(writing) > 1:
            raise StaleError(
                "writes of a run are given up halfway: the runs are looked at one by one"
            )
        made.obstacles[each.run_id] = obstacle.outcome
    return made


@dataclass(frozen=True, slots=True)
class _Obstacle:
    """What an attempt comes to instead; `halfway`: the entries are as some of its writes have left them."""

    outcome: Obstacle
    halfway: bool = False


def _obstacle(each: Writing, entries: Entries, tasks: Mapping[Id, LockedTask]) -> _Obstacle | None:
    """Return what keeps an attempt from writing, before anything of it is."""
    for table in each.tables:
        row = tasks.get(table.task_id)
        others = table.task_id != each.task_id
        if row is None or (others and row.deleted_at is not None):
            # As good as changed: the next attempt sees for itself that it is gone.
            return _Obstacle(_conflict(each, table, table.changes[0].key))
        if others and not is_granted(each.task, row):
            return _Obstacle(Fatal(RunError("kv.not_granted", not_granted(each.task, table.task))))
        fault = _key_fault(table, each.limits)
        if fault is not None:
            return _Obstacle(Failed(RunError("kv.key", fault)))
        key = entries.conflict(table.task_id, table.changes, table.revision)
        if key is not None:
            return _Obstacle(_conflict(each, table, key))
    return None


def _key_fault(table: TableChanges, limits: KvLimits) -> str | None:
    """Return why a run cannot write a key; what is there already can be removed and looked at."""
    for change in table.changes:
        harmless = isinstance(change, Check) or (
            isinstance(change, KvChange) and change.value is None
        )
        fault = None if harmless else limits.key_fault(change.key)
        if fault is not None:
            return f"{change.key!r} cannot be written: {fault}."
    return None


def is_granted(writer: str, row: Any) -> bool:
    """Guard: whose runs may write to a table is for its task to say, up to the commit."""
    return writer in read_definition(row.definition).kv_grants


def _carry_out(
    made: Worked, each: Writing, entries: Entries, tasks: Mapping[Id, LockedTask]
) -> _Obstacle | None:
    by, limit = written_by(each.run_id, each.run.attempt), each.limits.value_bytes
    writes: list[Write] = []
    taken: list[tuple[Counters, list[Write]]] = []
    for table in each.tables:
        counters = made.counters[table.task_id]
        try:
            own = entries.change(table.task_id, table.changes, by, limit)
        except OperationFailed as error:
            # The entry is another than the run has seen: it is tried again, and sees for itself.
            return _Obstacle(_conflict(each, table, error.key), halfway=bool(writes))
        full = overfull(counters, own, each.limits)
        if full is not None:
            return _Obstacle(Failed(_too_full(each, table, full)), halfway=True)
        misfit = misfit_of_run(tasks[table.task_id].definition, table.task, own)
        if misfit is not None:
            return _Obstacle(Failed(misfit), halfway=True)
        writes.extend(own)
        taken.append((counters, own))
    for counters, own in taken:
        counters.take(own)
    made.writes[each.run_id] = writes
    return None


def _conflict(each: Writing, table: TableChanges, key: str) -> Conflicted:
    return Conflicted(key, None if table.task_id == each.task_id else table.task)


def _too_full(each: Writing, table: TableChanges, full: str) -> RunError:
    of = "" if table.task_id == each.task_id else f" of task {table.task!r}"
    return RunError("kv.full", f"The kv changes{of} do not fit: {full}.")
