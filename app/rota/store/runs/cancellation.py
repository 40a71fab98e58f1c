"""Cancelling: waiting runs end at once, running ones are asked to."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, update

from rota.db.tables import run
from rota.db.writer import Transaction
from rota.domain.effects import CancelRequested, RunEnded
from rota.domain.primitives.ids import Id
from rota.domain.reasons import CancelReason
from rota.domain.runs.status import RunStatus

_ENDED = (run.c.id, run.c.task_id, run.c.trigger, run.c.concurrency_key)


def cancel_unfinished(
    tx: Transaction, task_ids: Sequence[Id], reason: CancelReason, *which: ColumnElement[bool]
) -> list[Id]:
    """Cancel the waiting runs of tasks, and ask the running ones to end; return the running ones."""
    of_tasks = (run.c.task_id.in_(task_ids), *which)
    cancel_waiting(tx, reason, *of_tasks)
    return ask_to_end(tx, reason, *of_tasks)


def cancel_waiting(tx: Transaction, reason: CancelReason, *which: ColumnElement[bool]) -> int:
    """Cancel the waiting ones among certain runs; return how many."""
    waiting = and_(
        *which,
        run.c.finished_at.is_(None),  # for the index of what is unfinished
        run.c.status.in_([RunStatus.QUEUED, RunStatus.BLOCKED]),
    )
    ended = tx.connection.execute(
        update(run)
        .where(waiting)
        .values(
            status=RunStatus.CANCELLED,
            reason=reason,
            waiting_on=None,
            not_before=None,
            cancel_requested_at=tx.now,
            finished_at=tx.now,
        )
        .returning(*_ENDED)
    ).all()
    tell_cancelled(tx, ended, reason)
    return len(ended)


def ask_to_end(tx: Transaction, reason: CancelReason, *which: ColumnElement[bool]) -> list[Id]:
    """Ask the running ones among certain runs to end; return them."""
    asked = tx.connection.execute(
        update(run)
        .where(*which, run.c.status == RunStatus.RUNNING)
        .values(cancel_requested_at=tx.now, cancel_reason=reason)
        .returning(run.c.id)
    )
    ids = list(asked.scalars())
    tx.effects.extend(CancelRequested(id) for id in ids)
    return ids


def end_running(tx: Transaction, task_ids: Sequence[Id]) -> None:
    """End the running runs of tasks that are being removed; their attempts are fenced off."""
    ended = tx.connection.execute(
        update(run)
        .where(run.c.task_id.in_(task_ids), run.c.status == RunStatus.RUNNING)
        .values(
            status=RunStatus.CANCELLED,
            reason=CancelReason.TASK_DELETED,
            outcome="cancelled",
            holder=None,
            lease_token_hash=None,
            finished_at=tx.now,
        )
        .returning(*_ENDED)
    ).all()
    tell_cancelled(tx, ended, CancelReason.TASK_DELETED)


def tell_cancelled(tx: Transaction, rows: Sequence[Any], reason: CancelReason) -> None:
    """Tell that runs (rows with id, task_id, trigger and concurrency_key) have been cancelled."""
    tx.effects.extend(
        RunEnded(row.id, row.task_id, RunStatus.CANCELLED, reason, row.trigger, row.concurrency_key)
        for row in rows
    )
