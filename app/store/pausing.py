"""Pausing: the runs of a paused task wait for its resumption."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import and_, update

from app.db.tables import run
from app.db.writer import Transaction
from app.domain import values
from app.domain.runs import RunStatus, WaitingOn

PAUSED = values.dumps([WaitingOn.PAUSED])


def block_waiting(tx: Transaction, task_ids: Sequence[UUID]) -> None:
    """Make all waiting runs and retries of paused tasks wait for the resumption, whatever they waited for before."""
    waiting = and_(
        run.c.task_id.in_(task_ids), run.c.status.in_([RunStatus.QUEUED, RunStatus.BLOCKED])
    )
    tx.connection.execute(
        update(run).where(waiting).values(status=RunStatus.BLOCKED, waiting_on=PAUSED)
    )
