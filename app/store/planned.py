"""Rows of runs that are to be."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import or_, select, text
from sqlalchemy.dialects import postgresql, sqlite

from app.db.bulk import Bulk
from app.db.tables import run
from app.db.writer import Transaction
from app.domain.effects import RunsReady
from app.domain.ids import new_id
from app.domain.planning import DueTask, PlannedRun
from app.domain.policies import OverlapPolicy, SkipReason
from app.domain.runs import RunStatus, Trigger
from app.store.handlers import WAITING_ON_HANDLER, known_handlers

#: What makes a later fire time an overlap: an unfinished run, but not one that was asked for a time still ahead.
OCCUPIES = (run.c.finished_at.is_(None), or_(run.c.not_before.is_(None), run.c.attempt > 0))


def insert_planned(tx: Transaction, planned: Sequence[tuple[DueTask, PlannedRun]]) -> set[UUID]:
    """Insert the runs that the schedules of locked tasks planned; return the tasks with a run that is queued.

    A fire time that comes while a run of a task that skips on overlap is unfinished is skipped; one whose handler no
    live replica knows is blocked.
    """
    known = known_handlers(tx.connection)
    busy = _busy(tx, {due.id for due, _ in planned if due.overlap_policy is OverlapPolicy.SKIP})
    rows = [
        waiting_for_handler(_run_row(due, _with_overlap(each, due, busy), tx.now), known)
        for due, each in planned
    ]
    (_SQLITE_INSERT if tx.is_sqlite else _POSTGRES_INSERT).execute(tx.connection, rows)
    queued = [row for row in rows if row["status"] is RunStatus.QUEUED]
    tx.effects.extend(RunsReady(queue) for queue in sorted({row["queue"] for row in queued}))
    return {row["task_id"] for row in queued}


def waiting_for_handler(row: dict[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """Return the row of a run as it is inserted: blocked, if no live replica knows its handler."""
    blocked = row["status"] is RunStatus.QUEUED and row["handler"] not in known
    # Every row has the same members, since they are inserted by one statement.
    row["waiting_on"] = WAITING_ON_HANDLER if blocked else None
    if blocked:
        row["status"] = RunStatus.BLOCKED
    return row


def _busy(tx: Transaction, task_ids: set[UUID]) -> set[UUID]:
    if not task_ids:
        return set()
    unfinished = select(run.c.task_id).where(run.c.task_id.in_(task_ids), *OCCUPIES)
    return set(tx.connection.execute(unfinished).scalars())


def _with_overlap(planned: PlannedRun, due: DueTask, busy: set[UUID]) -> PlannedRun:
    if planned.status is not RunStatus.QUEUED or due.id not in busy:
        return planned
    return replace(planned, status=RunStatus.SKIPPED, reason=SkipReason.OVERLAP)


COLUMNS = (
    "id",
    "task_id",
    "task_generation",
    "trigger",
    "rerun_of",
    "scheduled_for",
    "scheduled_until",
    "count",
    "status",
    "reason",
    "waiting_on",
    "handler",
    "queue",
    "priority",
    "not_before",
    "input",
    "attempt",
    "failures",
    "lost_count",
    "conflict_count",
    "created_at",
    "finished_at",
)


def _insert_once(insert: Any) -> Bulk:
    """A fire time that has its run already (the schedule was replaced, the clock set back) gets no second one."""
    once = insert.on_conflict_do_nothing(
        index_elements=["task_id", "scheduled_for"], index_where=text("trigger = 'schedule'")
    )
    return Bulk(once, COLUMNS)


_SQLITE_INSERT = _insert_once(sqlite.insert(run))
_POSTGRES_INSERT = _insert_once(postgresql.insert(run))


def _run_row(due: DueTask, planned: PlannedRun, now: datetime) -> dict[str, Any]:
    return new_run(
        now,
        due.id,
        generation=due.generation,
        trigger=Trigger.SCHEDULE,
        scheduled_for=planned.scheduled_for,
        scheduled_until=planned.scheduled_until,
        count=planned.count,
        status=planned.status,
        reason=planned.reason,
        handler=due.handler,
        queue=due.queue,
        priority=due.priority,
        input=due.input,
    )


def new_run(
    now: datetime,
    task_id: UUID,
    *,
    generation: int,
    trigger: Trigger,
    scheduled_for: datetime,
    handler: str,
    queue: str,
    priority: int,
    input: str,
    status: RunStatus = RunStatus.QUEUED,
    reason: str | None = None,
    scheduled_until: datetime | None = None,
    count: int = 1,
    not_before: datetime | None = None,
    rerun_of: UUID | None = None,
) -> dict[str, Any]:
    """Return the row of a new run."""
    return {
        "id": new_id(now),
        "task_id": task_id,
        "task_generation": generation,
        "trigger": trigger,
        "rerun_of": rerun_of,
        "scheduled_for": scheduled_for,
        "scheduled_until": scheduled_until,
        "count": count,
        "status": status,
        "reason": reason,
        "handler": handler,
        "queue": queue,
        "priority": priority,
        "not_before": not_before,
        "input": input,
        "attempt": 0,
        "failures": 0,
        "lost_count": 0,
        "conflict_count": 0,
        "created_at": now,
        "finished_at": now if status.final else None,
    }
