"""The runs of a paused task wait for its resumption."""

from collections.abc import Sequence

from sqlalchemy import and_, update

from rota.db.command import Transaction
from rota.db.tables import run
from rota.db.types import among
from rota.domain.primitives.ids import Id
from rota.domain.runs.status import RunStatus
from rota.store.runs.overlap import requeue
from rota.store.runs.waiting import WAITING_ON_PAUSE, blocked, unblock


def block_waiting(tx: Transaction, task_ids: Sequence[Id]) -> None:
    """Block all waiting runs and retries of paused tasks until the resumption, in place of what they waited for."""
    waiting = and_(
        among(run.c.task_id, task_ids),
        run.c.finished_at.is_(None),  # for the index of what is unfinished
        run.c.status.in_([RunStatus.QUEUED, RunStatus.BLOCKED]),
    )
    tx.connection.execute(update(run).where(waiting).values(blocked(WAITING_ON_PAUSE)))


def unblock_waiting(tx: Transaction, task_ids: Sequence[Id]) -> None:
    """Unblock the runs that wait for the resumption of tasks, one behind the other where the policy wants it."""
    paused = and_(
        among(run.c.task_id, task_ids),
        run.c.finished_at.is_(None),
        run.c.waiting_on == WAITING_ON_PAUSE,
    )
    if unblock(tx, paused):
        requeue(tx, task_ids)
