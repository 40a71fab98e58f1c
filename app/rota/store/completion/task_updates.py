"""What the ends of runs change of their tasks: the latest run, failures in a row, and the counters of the kv."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never

from sqlalchemy import bindparam, func, update

from rota.db.bulk import Bulk
from rota.db.command import Transaction
from rota.db.tables import task
from rota.domain.effects import KvWritten
from rota.domain.primitives.ids import Id
from rota.domain.reasons import FailReason, PauseReason
from rota.domain.runs.status import RunStatus
from rota.domain.tasks.definition import TaskStatus
from rota.errors import LeaseLost
from rota.store.completion.end import End
from rota.store.completion.kv_writes import PlannedWrites
from rota.store.kv.table import TableRow, counters_of, write_tables
from rota.store.runs.pause import block_waiting
from rota.store.task_changes import SERVICE, change_status
from rota.store.task_locks import LockedTask

_UPDATE_TASK = Bulk(
    update(task)
    .where(task.c.id == bindparam("g_id"))
    .values(
        # Kept where only the kv was written to, by another task's run.
        last_run_id=func.coalesce(
            bindparam("n_last_run_id", type_=task.c.last_run_id.type), task.c.last_run_id
        ),
        last_success_at=func.coalesce(
            bindparam("n_last_success_at", type_=task.c.last_success_at.type),
            task.c.last_success_at,
        ),
        consecutive_failures=bindparam("n_consecutive_failures"),
        kv_revision=bindparam("n_kv_revision"),
        kv_entries=bindparam("n_kv_entries"),
        kv_bytes=bindparam("n_kv_bytes"),
    ),
    apart=True,
)


@dataclass(slots=True)
class _TaskChange:
    """The changes of a task by finished runs: its own, and those that write to its kv."""

    failures: int
    last_run_id: Id | None = None
    succeeded: bool = False
    gone: bool = False


def update_tasks(
    tx: Transaction, ends: Sequence[End], tasks: Mapping[Id, LockedTask], planned: PlannedWrites
) -> dict[Id, int]:
    """Write what ended runs change of their tasks; return how many had failed in a row, by run."""
    failures: dict[Id, int] = {}
    tables = {id: table for id, table in planned.tables.items() if table.writes}
    changed = {id: _TaskChange(tasks[id].consecutive_failures) for id in tables}
    for end in ends:
        change = changed.get(end.run.task_id)
        if change is None:
            change = changed[end.run.task_id] = _TaskChange(
                tasks[end.run.task_id].consecutive_failures
            )
        _count(change, end)
        failures[end.run.id] = change.failures
    updates = [
        _task_change(tables.get(id) or tasks[id], change, tx.now) for id, change in changed.items()
    ]
    if _UPDATE_TASK.execute(tx.connection, updates) != len(updates):
        raise LeaseLost("A task is gone.")
    write_tables(tx, tables.values())
    tx.effects.extend(KvWritten(id) for id in planned.written_by_others)
    gone = [id for id, change in changed.items() if change.gone]
    if gone:
        _pause_gone(tx, gone)
    return failures


def _count(change: _TaskChange, end: End) -> None:
    change.last_run_id = end.run.id
    match end.settlement.status:
        case RunStatus.SUCCEEDED:
            change.succeeded, change.failures = True, 0
        case RunStatus.FAILED:
            change.failures += 1
            change.gone = change.gone or end.settlement.reason == FailReason.TARGET_GONE
        case RunStatus.CANCELLED | RunStatus.SKIPPED:
            pass  # a cancelled run is no evidence of whether the task works
        case RunStatus.BLOCKED | RunStatus.QUEUED | RunStatus.RUNNING:
            raise AssertionError("the run has not ended")
        case _:
            assert_never(end.settlement.status)


def _task_change(row: TableRow, change: _TaskChange, now: datetime) -> dict[str, Any]:
    return {
        "g_id": row.id,
        "n_last_run_id": change.last_run_id,
        "n_last_success_at": now if change.succeeded else None,
        "n_consecutive_failures": change.failures,
        **counters_of(row),
    }


def _pause_gone(tx: Transaction, ids: Sequence[Id]) -> None:
    """Pause tasks whose target answered 410: it will never be there again. Nothing is deleted."""
    is_active = task.c.status == TaskStatus.ACTIVE
    gone = change_status(
        tx, ids, TaskStatus.PAUSED, SERVICE, is_active, reason=PauseReason.TARGET_GONE
    )
    if gone:
        block_waiting(tx, gone)
