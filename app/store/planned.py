"""Rows of runs that are to be."""

from datetime import datetime
from typing import Any
from uuid import UUID

from app.domain.ids import new_id
from app.domain.planning import DueTask, PlannedRun
from app.domain.runs import RunStatus, Trigger


def run_row(due: DueTask, planned: PlannedRun, now: datetime) -> dict[str, Any]:
    """Return the row of a run that a schedule planned."""
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
