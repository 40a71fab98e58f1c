"""Checkpoints: what a run has written to key-value tables so far, committed while it is running."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from rota.db.command import Command, Transaction
from rota.db.tables import run
from rota.db.types import is_one_of
from rota.domain.kv.entries import DEFAULT_LIMITS, KvLimits
from rota.domain.kv.run_writes import Committed, KvWrites
from rota.domain.primitives.ids import Id
from rota.domain.runs.model import ClaimedRun
from rota.domain.runs.outcomes import Cancelled, CheckpointResult
from rota.domain.runs.status import RunStatus
from rota.errors import LeaseLost
from rota.store.completion.finish import written_tasks
from rota.store.completion.kv_writes import PlannedWrites, RunWrites, plan_writes
from rota.store.completion.task_locks import lock_with_successors
from rota.store.kv.table import save_tables
from rota.store.task_locks import LockedTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint(Command[CheckpointResult]):
    """Commit what an attempt has written, all or nothing, if it may continue.

    Returns the outcome of the attempt if it may not. Raises LeaseLost, and writes nothing, if the run is
    not this attempt's any more.
    """

    batched = True

    run: ClaimedRun
    holder: Id
    work: KvWrites
    limits: KvLimits = DEFAULT_LIMITS

    @property
    def writes(self) -> RunWrites:
        """What it writes to key-value tables."""
        tables = self.work.tables(self.run.task_id, self.run.task)
        return RunWrites(self.run, tables, self.limits)

    @classmethod
    def apply_all(cls, tx: Transaction, commands: Sequence["Checkpoint"]) -> list[CheckpointResult]:
        writers = [command.writes for command in commands]
        own = {command.run.task_id for command in commands}
        tasks = lock_with_successors(tx, own | written_tasks(writers))
        cancelled = _lock_runs(tx, commands)
        planned = plan_writes(tx, [each for each in writers if each.run.id not in cancelled], tasks)
        save_tables(tx, planned.tables.values())
        return [_answer(each.run, cancelled, planned, tasks) for each in commands]


_RUNS = (
    select(run.c.id, run.c.status, run.c.attempt, run.c.holder, run.c.cancel_reason)
    .where(is_one_of(run.c.id, "g_ids"))
    .order_by(run.c.id)
    .with_for_update()
)


def _lock_runs(tx: Transaction, commands: Sequence[Checkpoint]) -> set[Id]:
    """Lock the runs of locked tasks; return those with a cancel request. Raises LeaseLost if any is not held."""
    found = tx.connection.execute(_RUNS, {"g_ids": [command.run.id for command in commands]})
    rows = {row.id: row for row in found}
    if not all(is_held(command, rows.get(command.run.id)) for command in commands):
        raise LeaseLost("The attempt is not held any more: nothing of its checkpoint was kept.")
    return {row.id for row in rows.values() if row.cancel_reason is not None}


def is_held(command: Checkpoint, row: Any) -> bool:
    """Guard: an attempt that has ended, or lost its run, writes nothing any more."""
    return (
        row is not None
        and row.status == RunStatus.RUNNING
        and row.attempt == command.run.attempt
        and row.holder == command.holder
    )


def _answer(
    run: ClaimedRun,
    cancelled: Collection[Id],
    planned: PlannedWrites,
    tasks: Mapping[Id, LockedTask],
) -> CheckpointResult:
    if run.id in planned.obstacles:
        return planned.obstacles[run.id]
    if run.id in cancelled:
        return Cancelled()
    return Committed((planned.tables.get(run.task_id) or tasks[run.task_id]).kv_revision)
