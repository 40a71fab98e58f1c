"""Runs that end without the end of an attempt: waiting ones at once, running ones are requested to end."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, update

from rota.db.command import Transaction
from rota.db.tables import run
from rota.db.types import among
from rota.domain.effects import CancelRequested, DueSooner, RunEnded
from rota.domain.primitives.ids import Id
from rota.domain.reasons import CancelReason, FailReason, SkipReason
from rota.domain.runs.outcomes import AttemptOutcome
from rota.domain.runs.status import RunStatus
from rota.store.replicas import database_time

#: How long an attempt that continues outside of Rota has to end by itself once that is requested.
CANCEL_GRACE = timedelta(seconds=30)

Reason = SkipReason | FailReason | CancelReason


class EndedRun(NamedTuple):
    """A run that has ended."""

    id: Id
    task_id: Id
    trigger: str
    concurrency_key: str | None


def cancel_unfinished(
    tx: Transaction, task_ids: Sequence[Id], reason: CancelReason, *which: ColumnElement[bool]
) -> list[Id]:
    """Cancel the waiting runs of tasks, and request the running ones to end; return the running ones."""
    of_tasks = (among(run.c.task_id, task_ids), *which)
    cancel_waiting(tx, reason, *of_tasks)
    return request_end(tx, reason, *of_tasks)


def cancel_waiting(tx: Transaction, reason: CancelReason, *which: ColumnElement[bool]) -> int:
    """Cancel the waiting ones among certain runs; return how many."""
    return len(cancel_waiting_runs(tx, reason, *which))


def cancel_waiting_runs(
    tx: Transaction, reason: CancelReason, *which: ColumnElement[bool]
) -> list[EndedRun]:
    """Cancel the waiting ones among certain runs; return them."""
    waiting = (
        run.c.finished_at.is_(None),  # for the index of what is unfinished
        run.c.status.in_([RunStatus.QUEUED, RunStatus.BLOCKED]),
    )
    requested = {"not_before": None, "cancel_requested_at": tx.now}
    return end_runs(tx, RunStatus.CANCELLED, reason, *which, *waiting, **requested)


def request_end(tx: Transaction, reason: CancelReason, *which: ColumnElement[bool]) -> list[Id]:
    """Request the running ones among certain runs to end; return them."""
    requested = tx.connection.execute(
        update(run)
        .where(*which, run.c.status == RunStatus.RUNNING)
        .values(cancel_requested_at=tx.now, cancel_reason=reason)
        .returning(run.c.id, run.c.lease_token_hash)
    ).all()
    tx.effects.extend(CancelRequested(row.id) for row in requested)
    _shorten_leases(tx, [row.id for row in requested if row.lease_token_hash is not None])
    return [row.id for row in requested]


def _shorten_leases(tx: Transaction, ids: Sequence[Id]) -> None:
    """Let attempts outside of Rota end a while later without them: what is locked cannot end meanwhile."""
    if not ids:
        return
    at = database_time(tx) + CANCEL_GRACE
    longer = (run.c.lease_token_hash.is_not(None), run.c.lease_expires_at > at)
    tx.connection.execute(update(run).where(run.c.id.in_(ids), *longer).values(lease_expires_at=at))
    tx.effects.append(DueSooner(tx.now + CANCEL_GRACE))


def end_running(tx: Transaction, task_ids: Sequence[Id]) -> None:
    """End the running runs of tasks that are being removed; their attempts are fenced off."""
    end_runs(
        tx,
        RunStatus.CANCELLED,
        CancelReason.TASK_DELETED,
        among(run.c.task_id, task_ids),
        run.c.status == RunStatus.RUNNING,
        outcome=AttemptOutcome.CANCELLED,
        holder=None,
        lease_token_hash=None,
        lease_expires_at=None,
    )


def end_runs(
    tx: Transaction, status: RunStatus, reason: Reason, *which: ColumnElement[bool], **columns: Any
) -> list[EndedRun]:
    """End certain unfinished runs without the end of an attempt, set further columns; return the runs."""
    statement = (
        update(run)
        .where(*which)
        .values(status=status, reason=reason, waiting_on=None, finished_at=tx.now, **columns)
        .returning(*(run.c[name] for name in EndedRun._fields))
    )
    ended = [EndedRun._make(row) for row in tx.connection.execute(statement)]
    tx.effects.extend(
        RunEnded(each.id, each.task_id, status, reason, each.trigger, each.concurrency_key)
        for each in ended
    )
    return ended
