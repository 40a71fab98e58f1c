"""The run that an explanation is about, found by its task and a time; and the runs beside it."""

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, case, or_, select

from rota.db.tables import run
from rota.domain.explain.time_slot import Slot
from rota.domain.fire_time import TICK
from rota.domain.primitives.ids import Id, to_id
from rota.domain.reasons import SkipReason
from rota.domain.runs.model import Run
from rota.domain.runs.status import RunStatus, Trigger
from rota.domain.tasks.definition import TaskStatus
from rota.domain.tasks.task import Task
from rota.store.runs.reading import find_run

_OVERLAP = "overlap:"


def current_run(connection: Connection, task_id: Id, now: datetime) -> Id | None:
    """Return the unfinished run that has advanced most: running, ready, blocked, waiting for its time."""
    rank = case(
        (run.c.status == RunStatus.RUNNING, 0),
        (and_(run.c.status == RunStatus.QUEUED, _has_come(now)), 1),
        (run.c.status == RunStatus.BLOCKED, 2),
        else_=3,
    )
    unfinished = select(run.c.id).where(run.c.task_id == task_id, run.c.finished_at.is_(None))
    first = unfinished.order_by(rank, run.c.scheduled_for, run.c.id).limit(1)
    return connection.execute(first).scalar_one_or_none()


def _has_come(now: datetime) -> ColumnElement[bool]:
    return or_(run.c.not_before.is_(None), run.c.not_before <= now)


def run_in_slot(connection: Connection, task_id: Id, slot: Slot) -> Id | None:
    """Return the run that answers for a slot: of the time that was given, of its fire time, of any time in it.

    A run for another time does not explain the fire time.
    """
    exact = _run_in(connection, task_id, slot.at, slot.at)
    if exact is not None:
        return exact
    if slot.fire is None:
        within = _run_in(connection, task_id, slot.start, slot.end - TICK)
        return within or _span_over(connection, task_id, slot.at)
    at = slot.fire.at
    return _run_in(connection, task_id, at, at) or _span_over(connection, task_id, at)


def _run_in(connection: Connection, task_id: Id, first: datetime, last: datetime) -> Id | None:
    """Return the run of a span of time: that of the schedule, else the latest that represents a time in it."""
    inside = (run.c.scheduled_for >= first, run.c.scheduled_for <= last)
    of_schedule = case((run.c.trigger.in_([Trigger.SCHEDULE, Trigger.AFTER]), 0), else_=1)
    wanted = select(run.c.id).where(run.c.task_id == task_id, *inside)
    found = wanted.order_by(of_schedule, run.c.scheduled_for.desc(), run.c.id.desc()).limit(1)
    return connection.execute(found).scalar_one_or_none()


def _span_over(connection: Connection, task_id: Id, at: datetime) -> Id | None:
    """Return the run whose span covers a time."""
    spans = select(run.c.id).where(
        run.c.task_id == task_id, run.c.scheduled_for <= at, run.c.scheduled_until >= at
    )
    latest = spans.order_by(run.c.scheduled_for.desc(), run.c.id.desc()).limit(1)
    return connection.execute(latest).scalar_one_or_none()


def last_run_of(connection: Connection, found: Task) -> Run | None:
    """Return the run of the latest time, skipped ones included; of a completed task the latest of its schedule."""
    mine = select(run.c.id).where(run.c.task_id == found.id)
    order = run.c.scheduled_for.desc(), run.c.id.desc()
    if found.status is TaskStatus.COMPLETED:
        by_schedule = case((run.c.trigger.in_([Trigger.SCHEDULE, Trigger.AFTER]), 0), else_=1)
        latest = mine.order_by(by_schedule, *order)
    else:
        latest = mine.order_by(*order)
    id = connection.execute(latest.limit(1)).scalar_one_or_none()
    return None if id is None else find_run(connection, id)


def run_beside(connection: Connection, about: Run) -> Run | None:
    """Return the run that `about` waits for, or that was unfinished when it was skipped for that."""
    ids = [each.removeprefix(_OVERLAP) for each in about.waiting_on if each.startswith(_OVERLAP)]
    if ids:
        there = select(run.c.id).where(run.c.id == to_id(ids[0]))
    elif about.status is RunStatus.SKIPPED and about.reason == SkipReason.OVERLAP:
        ended_later = or_(run.c.finished_at.is_(None), run.c.finished_at >= about.created_at)
        there = (
            select(run.c.id)
            .where(run.c.task_id == about.task_id, run.c.id != about.id, ended_later)
            .where(run.c.created_at <= about.created_at, run.c.status != RunStatus.SKIPPED)
            .order_by(run.c.scheduled_for.desc(), run.c.id.desc())
            .limit(1)
        )
    else:
        return None
    id = connection.execute(there).scalar_one_or_none()
    return None if id is None else find_run(connection, id)
