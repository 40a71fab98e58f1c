"""The end of attempts, as it is written: the run and its earlier attempts; its task and the kv after them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Text, bindparam, func, insert, update

from rota.db.bulk import Bulk
from rota.db.command import Transaction
from rota.db.tables import attempt, run
from rota.domain.effects import (
    DueSooner,
    Effect,
    RunEnded,
    RunsConstrained,
    RunsReady,
)
from rota.domain.primitives.ids import Id
from rota.domain.primitives.json import json_text
from rota.domain.runs.outcomes import AttemptOutcome
from rota.domain.runs.status import RunStatus
from rota.domain.tasks.definition import TaskStatus
from rota.errors import LeaseLost
from rota.store.completion.end import End
from rota.store.completion.kv_writes import PlannedWrites
from rota.store.completion.task_updates import update_tasks
from rota.store.json_columns import dump_error, dump_progress, dump_timings, error_type
from rota.store.runs.claiming.tokens import forget_tokens
from rota.store.runs.concurrency_keys import promote
from rota.store.runs.waiting import WAITING_ON_CONSTRAINTS, WAITING_ON_PAUSE
from rota.store.task_locks import LockedTask

Guard = Callable[[], ColumnElement[bool]]


def record(
    tx: Transaction,
    ends: Sequence[End],
    tasks: Mapping[Id, LockedTask],
    planned: PlannedWrites,
    guards: tuple[Guard, ...],
) -> None:
    """Write the ends of attempts of the locked `tasks`, and their kv. Raises LeaseLost if a run is not held."""
    # The rows of a deleted task may be removed while attempts of its runs are still under way.
    gone = sum(end.run.task_id not in tasks for end in ends)
    if gone:
        raise LeaseLost(f"{gone} of {len(ends)} attempts are of tasks that are gone.")
    paused = {id for id, row in tasks.items() if row.status == TaskStatus.PAUSED}
    changes = [_run_change(end, paused, tasks[end.run.task_id].handler, tx.now) for end in ends]
    changed = _update_run(*guards).execute(tx.connection, changes)
    if changed != len(ends):
        raise LeaseLost(f"{len(ends) - changed} of {len(ends)} attempts are not held any more.")
    final = [end for end in ends if end.settlement.status.final]
    failures = update_tasks(tx, final, tasks, planned)
    tx.effects.extend(effect for end in ends for effect in _effects(end, paused, failures))
    if len(final) < len(ends):
        _record_retries(tx, [end for end in ends if not end.settlement.status.final])


_CHANGED_RUN = (
    update(run)
    .where(run.c.id == bindparam("g_id"))
    .values(
        status=bindparam("n_status"),
        reason=bindparam("n_reason"),
        waiting_on=bindparam("n_waiting_on"),
        not_before=bindparam("n_not_before"),
        result=bindparam("n_result"),
        error=bindparam("n_error"),
        error_type=bindparam("n_error_type"),
        timings=bindparam("n_timings"),
        progress=func.coalesce(bindparam("n_progress", type_=Text), run.c.progress),
        outcome=bindparam("n_outcome"),
        failures=bindparam("n_failures"),
        lost_count=bindparam("n_lost_count"),
        conflict_count=bindparam("n_conflict_count"),
        finished_at=bindparam("n_finished_at"),
        handler=func.coalesce(bindparam("n_handler", type_=run.c.handler.type), run.c.handler),
        holder=None,
        lease_token_hash=None,
        lease_expires_at=None,
    )
)


@lru_cache
def _update_run(*guards: Guard) -> Bulk:
    return Bulk(_CHANGED_RUN.where(*(guard() for guard in guards)), apart=True)


def _run_change(end: End, paused: Collection[Id], handler: str, now: datetime) -> dict[str, Any]:
    made = end.settlement
    status = made.status
    waiting_on = None if made.waiting_on is None else json_text.dumps([made.waiting_on])
    if status is RunStatus.QUEUED and end.run.task_id in paused:
        status, waiting_on = RunStatus.BLOCKED, WAITING_ON_PAUSE
    elif status is RunStatus.QUEUED and end.run.constrained and made.not_before is None:
        status, waiting_on = RunStatus.BLOCKED, WAITING_ON_CONSTRAINTS
    return {
        "g_id": end.run.id,
        "g_attempt": end.run.attempt,
        "g_holder": end.holder,
        "g_cancel_reason": end.cancel_reason,
        "g_lease_expires_at": end.lease_expires_at,
        "n_status": status,
        "n_reason": made.reason,
        "n_waiting_on": waiting_on,
        "n_not_before": made.not_before,
        "n_result": made.result,
        "n_error": dump_error(made.error),
        "n_error_type": error_type(made.error),
        "n_timings": dump_timings(made.timings),
        "n_progress": dump_progress(end.progress),
        "n_outcome": made.outcome,
        "n_failures": made.failures,
        "n_lost_count": made.lost_count,
        "n_conflict_count": made.conflict_count,
        "n_finished_at": now if made.status.final else None,
        # The next attempt uses the definition that the task has then.
        "n_handler": None if made.status.final else handler,
    }


def _record_retries(tx: Transaction, ends: Sequence[End]) -> None:
    """Write the attempts whose runs are tried again, and free the concurrency keys of these runs.

    An attempt that made no call (postponed) gets no row, and its token is removed.
    """
    _keep_attempts(tx, [end for end in ends if not _is_postponed(end)])
    forget_tokens(tx, [(end.run.id, end.run.attempt) for end in ends if _is_postponed(end)])
    promote(tx, _released_keys(ends))


def _is_postponed(end: End) -> bool:
    return end.settlement.outcome is AttemptOutcome.POSTPONED


def _keep_attempts(tx: Transaction, ends: Sequence[End]) -> None:
    """Keep attempts that did not end their run; the last one is the run's own row."""
    rows = [
        {
            "run_id": end.run.id,
            "attempt": end.run.attempt,
            "outcome": end.settlement.outcome,
            "counted": end.settlement.counted,
            "started_at": end.run.started_at,
            "finished_at": tx.now,
            "error": dump_error(end.settlement.error),
        }
        for end in ends
    ]
    _INSERT_ATTEMPT.execute(tx.connection, rows)


_INSERT_ATTEMPT = Bulk(insert(attempt), [column.name for column in attempt.columns])


def _released_keys(ends: Sequence[End]) -> set[str]:
    """Return the concurrency keys of runs that are tried again later; `follow_up` does the same for those that end."""
    return {end.run.concurrency_key for end in ends if end.run.concurrency_key is not None}


def _effects(end: End, paused: Collection[Id], failures: Mapping[Id, int]) -> list[Effect]:
    made = end.settlement
    if made.status.final:
        return [
            RunEnded(
                end.run.id,
                end.run.task_id,
                made.status,
                made.reason,
                end.run.trigger,
                end.run.concurrency_key,
                failures=failures[end.run.id],
            )
        ]
    if end.run.task_id in paused:
        return []
    if made.not_before is not None:
        return [DueSooner(made.not_before)]
    return [RunsConstrained() if end.run.constrained else RunsReady(end.run.queue)]
