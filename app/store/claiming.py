"""Claiming: the run table is the queue, and the claim is the start of an attempt."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Integer, bindparam, func, select, text, update

from app.db.tables import run, task
from app.db.types import spelled_out
from app.db.writer import Command, Transaction
from app.domain.effects import RunsReady
from app.domain.runs import ClaimedRun, RunStatus
from app.store.replicas import lease_is_live
from app.store.tasks import read_definition

_QUEUED = run.c.status == spelled_out(RunStatus.QUEUED)
_READY = (_QUEUED, run.c.not_before.is_(None))
_ORDER = (run.c.priority.desc(), run.c.scheduled_for, run.c.id)
_CLAIMED = (
    run.c.id,
    run.c.task_id,
    run.c.handler,
    run.c.queue,
    run.c.attempt,
    run.c.failures,
    run.c.lost_count,
    run.c.conflict_count,
    run.c.trigger,
    run.c.priority,
    run.c.scheduled_for,
    run.c.first_started_at,
    run.c.started_at,
    run.c.input,
)
# A loose index scan: one look into the index for each queue that has something, however long the queues are.
_QUEUES = text("""
    WITH RECURSIVE waiting(name) AS (
        SELECT (SELECT min(queue) FROM run WHERE status = 'queued' AND not_before IS NULL)
        UNION ALL
        SELECT (SELECT min(queue) FROM run
                WHERE status = 'queued' AND not_before IS NULL AND queue > waiting.name)
        FROM waiting WHERE waiting.name IS NOT NULL
    )
    SELECT name FROM waiting WHERE name IS NOT NULL
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim(Command[list[ClaimedRun]]):
    """Start up to `limit` of the best queued runs of one queue, for handlers that `holder` knows.

    Best: highest priority, then earliest `scheduled_for`. Nothing is started for a holder without a live lease.
    """

    holder: UUID
    queue: str
    handlers: tuple[str, ...]
    limit: int

    def apply(self, tx: Transaction) -> list[ClaimedRun]:
        given = {
            "g_holder": self.holder,
            "g_queue": self.queue,
            "g_handlers": self.handlers,
            "g_limit": self.limit,
            "g_now": tx.now,
        }
        rows = tx.connection.execute(_starting(tx.is_sqlite, lease_is_live), given).all()
        if not rows:
            return []
        tasks = _tasks(tx.connection, {row.task_id for row in rows})
        rows = sorted(rows, key=lambda row: (-row.priority, row.scheduled_for, row.id))
        return [_to_claimed(row, tasks[row.task_id]) for row in rows]


@lru_cache
def _starting(is_sqlite: bool, lease: Callable[[bool], ColumnElement[bool]]) -> Any:  # noqa: FBT001
    """Return the statement that starts runs, built once: building it costs more than executing it."""
    # MATERIALIZED and SKIP LOCKED: replicas take different rows, and the planner does not run the LIMIT twice.
    due = (
        select(run.c.id)
        .where(run.c.queue == bindparam("g_queue"), *_READY)
        .where(run.c.handler.in_(bindparam("g_handlers", expanding=True)))
        .order_by(*_ORDER)
        .limit(bindparam("g_limit", type_=Integer))
        .with_for_update(skip_locked=True)
        .cte("due")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    now = bindparam("g_now", type_=run.c.started_at.type)
    return (
        update(run)
        .where(run.c.id.in_(select(due.c.id)), run.c.status == spelled_out(RunStatus.QUEUED))
        .where(lease(is_sqlite))
        .values(
            status=RunStatus.RUNNING,
            attempt=run.c.attempt + 1,
            holder=bindparam("g_holder", type_=run.c.holder.type),
            started_at=now,
            first_started_at=func.coalesce(run.c.first_started_at, now),
            outcome=None,
            error=None,
            progress=None,
        )
        .returning(*_CLAIMED)
    )


@dataclass(frozen=True, slots=True)
class ReleaseDelayed(Command[int]):
    """Make up to `limit` runs claimable whose `not_before` has come; return how many."""

    limit: int

    def apply(self, tx: Transaction) -> int:
        come = (
            select(run.c.id)
            .where(_QUEUED, run.c.not_before <= tx.now)
            .order_by(run.c.not_before)
            .limit(self.limit)
        )
        queues = (
            tx.connection.execute(
                update(run)
                .where(run.c.id.in_(come), _QUEUED)
                .where(run.c.not_before <= tx.now)
                .values(not_before=None)
                .returning(run.c.queue)
            )
            .scalars()
            .all()
        )
        tx.effects.extend(RunsReady(queue) for queue in sorted(set(queues)))
        return len(queues)


def waiting_queues(connection: Connection) -> list[str]:
    """Return the names of the queues in which a run can be claimed."""
    return list(connection.execute(_QUEUES).scalars())


_EARLIEST_DELAYED = (
    select(run.c.not_before)
    .where(_QUEUED, run.c.not_before.is_not(None))
    .order_by(run.c.not_before)
    .limit(1)
)


def earliest_delayed(connection: Connection) -> datetime | None:
    """Return the earliest `not_before` of the queued runs that wait for one."""
    return connection.execute(_EARLIEST_DELAYED).scalar_one_or_none()


_TASKS = select(task.c.id, task.c.name, task.c.definition, task.c.kv_revision).where(
    task.c.id.in_(bindparam("g_ids", expanding=True))
)


def _tasks(connection: Connection, ids: set[UUID]) -> dict[UUID, Any]:
    return {row.id: row for row in connection.execute(_TASKS, {"g_ids": list(ids)})}


def _to_claimed(row: Any, of: Any) -> ClaimedRun:
    return ClaimedRun(
        id=row.id,
        task_id=row.task_id,
        task=of.name,
        handler=row.handler,
        queue=row.queue,
        attempt=row.attempt,
        failures=row.failures,
        lost_count=row.lost_count,
        conflict_count=row.conflict_count,
        trigger=row.trigger,
        scheduled_for=row.scheduled_for,
        first_started_at=row.first_started_at,
        started_at=row.started_at,
        input=row.input,
        definition=read_definition(of.definition),
        kv_revision=of.kv_revision,
    )


def held_runs(connection: Connection, holder: UUID) -> list[ClaimedRun]:
    """Return the runs that a process holds, as its claims returned them."""
    held = (run.c.status == RunStatus.RUNNING, run.c.holder == holder)
    rows = connection.execute(select(*_CLAIMED).where(*held)).all()
    tasks = _tasks(connection, {row.task_id for row in rows})
    return [_to_claimed(row, tasks[row.task_id]) for row in rows]
