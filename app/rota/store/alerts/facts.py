"""What is known of tasks that are checked: raised alerts, runs that wait, the latest start, the latest ping."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, case, func, select

from rota.db.tables import alert, run
from rota.db.types import is_one_of, spelled_out
from rota.domain.alerts.rules import AlertKind
from rota.domain.alerts.timing import TIMED, Started, Waiting
from rota.domain.primitives.ids import Id
from rota.domain.runs.status import Trigger

# A run that was made for a time that had passed (after an outage, or a pause) is not late for that.
_DUE_AT = case(
    (run.c.created_at > run.c.scheduled_for, run.c.created_at), else_=run.c.scheduled_for
)
# Backfills keep a pace of their own; notifications never raise or end anything.
_APART = [spelled_out(trigger) for trigger in (Trigger.BACKFILL, Trigger.NOTIFICATION)]
_RAISED = select(alert.c.task_id, alert.c.kind, alert.c.raised_at).where(
    is_one_of(alert.c.task_id, "g_ids"), alert.c.kind.in_([spelled_out(kind) for kind in TIMED])
)
_UNSTARTED = (
    select(
        run.c.task_id,
        run.c.id,
        run.c.scheduled_for,
        _DUE_AT.label("due_at"),
        func.row_number()
        .over(partition_by=run.c.task_id, order_by=(_DUE_AT, run.c.id))
        .label("place"),
    )
    .where(
        is_one_of(run.c.task_id, "g_ids"),
        run.c.finished_at.is_(None),
        run.c.first_started_at.is_(None),
        run.c.trigger.not_in(_APART),
    )
    .subquery()
)
_FIRST_UNSTARTED = select(_UNSTARTED).where(_UNSTARTED.c.place == 1)
_OF_TASK = run.c.task_id == bindparam("g_id", type_=run.c.task_id.type)
_LATEST_FIRST = (run.c.scheduled_for.desc(), run.c.id.desc())
_LATEST_STARTED = (
    select(_DUE_AT.label("due_at"), run.c.first_started_at)
    .where(
        _OF_TASK,
        run.c.first_started_at.is_not(None),
        run.c.trigger.not_in([*_APART, spelled_out(Trigger.PING)]),
    )
    .order_by(*_LATEST_FIRST)
    .limit(1)
)
_LATEST_PING = (
    select(run.c.finished_at)
    .where(_OF_TASK, run.c.trigger == spelled_out(Trigger.PING))
    .order_by(*_LATEST_FIRST)
    .limit(1)
)


class _Unstarted(NamedTuple):
    """The first run of a task that has not started."""

    task_id: Id
    id: Id
    scheduled_for: datetime
    due_at: datetime
    place: int


def raised_alerts(
    connection: Connection, ids: Collection[Id]
) -> dict[Id, dict[AlertKind, datetime]]:
    """Return since when alerts that follow from time are raised, by task."""
    found: dict[Id, dict[AlertKind, datetime]] = {}
    for row in connection.execute(_RAISED, {"g_ids": list(ids)}):
        found.setdefault(row.task_id, {})[AlertKind(row.kind)] = row.raised_at
    return found


def first_waiting(connection: Connection, ids: Collection[Id]) -> dict[Id, Waiting]:
    """Return the run of each task that is due first and has not started."""
    if not ids:
        return {}
    rows = map(_Unstarted._make, connection.execute(_FIRST_UNSTARTED, {"g_ids": list(ids)}))
    return {
        row.task_id: Waiting(due_at=row.due_at, run_id=row.id, scheduled_for=row.scheduled_for)
        for row in rows
    }


def latest_started(connection: Connection, task_id: Id) -> Started | None:
    """Return the latest run of a task that has started."""
    row: Any = connection.execute(_LATEST_STARTED, {"g_id": task_id}).one_or_none()
    return None if row is None else Started(*row)


def latest_ping(connection: Connection, task_id: Id) -> datetime | None:
    """Return when a task was pinged last, whether its work had succeeded or not."""
    at: datetime | None = connection.execute(_LATEST_PING, {"g_id": task_id}).scalar_one_or_none()
    return at
