"""Rows of runs that are to be."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text, update
from sqlalchemy.dialects import postgresql, sqlite

from rota.db.bulk import Bulk
from rota.db.tables import run
from rota.db.writer import Transaction
from rota.domain.policies import Concurrency, OverlapPolicy
from rota.domain.primitives.ids import Id, new_id
from rota.domain.runs.plan import DueTask, PlannedRun
from rota.domain.runs.status import RunStatus, Trigger
from rota.domain.tasks.definition import TaskDefinition
from rota.store.replicas import known_handlers
from rota.store.runs.overlap import lines, place
from rota.store.runs.waiting import insertable, tell_inserted


def insert_planned(
    tx: Transaction, planned: Sequence[tuple[DueTask, Sequence[PlannedRun]]]
) -> set[Id]:
    """Insert the runs that the schedules of locked tasks planned; return the tasks with a run that is queued."""
    known = known_handlers(tx.connection)
    in_line = lines(
        tx, {due.id for due, _ in planned if due.overlap_policy is not OverlapPolicy.ALLOW}
    )
    rows: list[dict[str, Any]] = []
    for due, runs in planned:
        new = [_run_row(due, each, tx.now) for each in runs if not _extended(tx, due, each)]
        if due.id in in_line:
            place(tx, due.overlap_policy, new, in_line[due.id])
        rows.extend(insertable(row, known) for row in new)
    (_SQLITE_INSERT if tx.is_sqlite else _POSTGRES_INSERT).execute(tx.connection, rows)
    tell_inserted(tx, rows)
    return {row["task_id"] for row in rows if row["status"] is RunStatus.QUEUED}


def _extended(tx: Transaction, due: DueTask, planned: PlannedRun) -> bool:
    """Add a skipped span to the one before it, if that is of the same reason; what is skipped in a row is one run."""
    span = due.open_span
    if (
        span is None
        or planned.reason is not span.reason
        or planned.scheduled_for != due.next_fire_at
    ):
        return False
    extended = tx.connection.execute(
        update(run)
        .where(run.c.id == span.run_id, run.c.status == RunStatus.SKIPPED)
        .values(
            count=run.c.count + planned.count,
            scheduled_until=planned.scheduled_until or planned.scheduled_for,
        )
    )
    return extended.rowcount == 1


COLUMNS = (
    "id",
    "task_id",
    "task_generation",
    "trigger",
    "rerun_of",
    "backfill_id",
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
    "concurrency_key",
    "concurrency_limit",
    "constrained",
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
    return Bulk(once, COLUMNS, apart=True)


_SQLITE_INSERT = _insert_once(sqlite.insert(run))
_POSTGRES_INSERT = _insert_once(postgresql.insert(run))


def _run_row(due: DueTask, planned: PlannedRun, now: datetime) -> dict[str, Any]:
    return new_run(
        now,
        due.id,
        id=planned.id,
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
        concurrency=due.concurrency,
        constrained=due.constrained,
        input=due.input,
    )


def new_run(
    now: datetime,
    task_id: Id,
    *,
    generation: int,
    trigger: Trigger,
    scheduled_for: datetime,
    handler: str,
    queue: str,
    priority: int,
    input: str,
    concurrency: Concurrency | None = None,
    constrained: bool = False,
    id: Id | None = None,
    status: RunStatus = RunStatus.QUEUED,
    reason: str | None = None,
    scheduled_until: datetime | None = None,
    count: int = 1,
    not_before: datetime | None = None,
    rerun_of: Id | None = None,
    backfill_id: Id | None = None,
) -> dict[str, Any]:
    """Return the row of a new run."""
    return {
        "id": id or new_id(now),
        "task_id": task_id,
        "task_generation": generation,
        "trigger": trigger,
        "rerun_of": rerun_of,
        "backfill_id": backfill_id,
        "scheduled_for": scheduled_for,
        "scheduled_until": scheduled_until,
        "count": count,
        "status": status,
        "reason": reason,
        "handler": handler,
        "queue": queue,
        "priority": priority,
        "not_before": not_before,
        "concurrency_key": None if concurrency is None else concurrency.key,
        "concurrency_limit": None if concurrency is None else concurrency.limit,
        "constrained": constrained,
        "input": input,
        "attempt": 0,
        "failures": 0,
        "lost_count": 0,
        "conflict_count": 0,
        "created_at": now,
        "finished_at": now if status.final else None,
    }


def new_run_of(
    definition: TaskDefinition, now: datetime, task_id: Id, **members: Any
) -> dict[str, Any]:
    """Return the row of a new run as the definition of its task wants it; `members` as those of `new_run`."""
    defaults: dict[str, Any] = {
        "handler": definition.handler,
        "queue": definition.queue,
        "priority": definition.priority,
        "concurrency": definition.concurrency,
        "constrained": bool(definition.constraints),
    }
    return new_run(now, task_id, **defaults | members)
