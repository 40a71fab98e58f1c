"""Check-points: what a run has written to key-value tables so far, committed while the run goes on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from rota.db.tables import run
from rota.db.types import is_one_of
from rota.db.writer import Command, Transaction
from rota.domain.kv.entries import DEFAULT_LIMITS, KvLimits
from rota.domain.kv.run_writes import Committed, KvWork, TableChanges
from rota.domain.primitives.ids import Id
from rota.domain.runs.model import ClaimedRun
from rota.domain.runs.outcomes import Cancelled, CheckPointed
from rota.domain.runs.status import RunStatus
from rota.errors import LeaseLost
from rota.store.completion.finish import written_tasks
from rota.store.completion.kv_writes import Worked, work_out
from rota.store.completion.task_locks import lock_with_successors
from rota.store.kv.counters import save_tables
from rota.store.task_rows import read_definition


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckPoint(Command[CheckPointed]):
    """Commit what an attempt has written, all or nothing, if it may go on.

    Answers with what the attempt comes to instead if it may not. Raises LeaseLost, and writes nothing, if the run is
    not this attempt's any more.
    """

    batched = True

    run: ClaimedRun
    holder: Id
    work: KvWork
    limits: KvLimits = DEFAULT_LIMITS

    @property
    def run_id(self) -> Id:
        return self.run.id

    @property
    def task_id(self) -> Id:
        return self.run.task_id

    @property
    def task(self) -> str:
        return self.run.task

    @property
    def tables(self) -> Sequence[TableChanges]:
        return self.work.tables(self.run.task_id, self.run.task)

    @classmethod
    def apply_all(cls, tx: Transaction, commands: Sequence["CheckPoint"]) -> list[CheckPointed]:
        own = {command.run.task_id for command in commands}
        tasks = lock_with_successors(tx, own | written_tasks(commands))
        asked_to_end = _lock_runs(tx, commands)
        going_on = [each for each in commands if each.run.id not in asked_to_end]
        made = work_out(tx, going_on, tasks)
        _save(tx, made, tasks)
        return [_answer(command, made, tasks) for command in commands]


_RUNS = (
    select(run.c.id, run.c.status, run.c.attempt, run.c.holder, run.c.cancel_reason)
    .where(is_one_of(run.c.id, "g_ids"))
    .order_by(run.c.id)
    .with_for_update()
)


def _lock_runs(tx: Transaction, commands: Sequence[CheckPoint]) -> set[Id]:
    """Lock the runs of locked tasks; return those that are asked to end. Raises LeaseLost if any is not held."""
    found = tx.connection.execute(_RUNS, {"g_ids": [command.run.id for command in commands]})
    rows = {row.id: row for row in found}
    if not all(is_held(command, rows.get(command.run.id)) for command in commands):
        raise LeaseLost("The attempt is not held any more: nothing of its check-point was kept.")
    return {row.id for row in rows.values() if row.cancel_reason is not None}


def is_held(command: CheckPoint, row: Any) -> bool:
    """Guard: an attempt that has ended, or lost its run, writes nothing any more."""
    return (
        row is not None
        and row.status == RunStatus.RUNNING
        and row.attempt == command.run.attempt
        and row.holder == command.holder
    )


def _save(tx: Transaction, made: Worked, tasks: Mapping[Id, Any]) -> None:
    writes = [each for of_run in made.writes.values() for each in of_run]
    written = {each.task_id: made.counters[each.task_id] for each in writes}
    history = {id: read_definition(tasks[id].definition).kv_history for id in written}
    save_tables(tx, written, writes, history)


def _answer(command: CheckPoint, made: Worked, tasks: Mapping[Id, Any]) -> CheckPointed:
    id, own = command.run.id, command.run.task_id
    if id in made.obstacles:
        return made.obstacles[id]
    if id not in made.writes:
        return Cancelled()
    counters = made.counters.get(own)
    return Committed(tasks[own].kv_revision if counters is None else counters.kv_revision)
