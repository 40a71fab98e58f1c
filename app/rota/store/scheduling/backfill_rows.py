"""Backfills: their rows, read and ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, Select, and_, case, delete, func, select, update

from rota.db.command import Transaction
from rota.db.tables import backfill, run, task
from rota.db.types import among, spelled_out
from rota.domain.backfills import Backfill, Span
from rota.domain.primitives.bounded_cache import bounded_cache
from rota.domain.primitives.bounds import STORED
from rota.domain.primitives.ids import Id
from rota.domain.runs.status import Trigger
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.definitions import Planned, Schedule, Unreadable
from rota.domain.validation.locations import Place
from rota.domain.validation.messages import word
from rota.errors import NotFound
from rota.store.calendars.opening import opened_schedule
from rota.store.calendars.present import PresentCalendars

_SCHEDULE: TypeAdapter[Any] = TypeAdapter(Schedule)
_BACKFILL = select(backfill, task.c.name.label("task_name")).join(
    task, and_(task.c.id == backfill.c.task_id, task.c.deleted_at.is_(None))
)
# Counted among the few unfinished runs of the task, not among all that the backfill has made.
_UNFINISHED_RUNS = (
    select(func.count(case((run.c.backfill_id == backfill.c.id, 1))))
    .where(run.c.task_id == backfill.c.task_id, run.c.finished_at.is_(None))
    .where(run.c.trigger == spelled_out(Trigger.BACKFILL))
    .correlate(backfill)
    .scalar_subquery()
)


@dataclass(frozen=True, slots=True)
class Advancing:
    """A backfill that is not finished, and how many further runs it may make now."""

    backfill: Backfill
    room: int


def unfinished(connection: Connection, after: Id | None, limit: int) -> list[Advancing]:
    """Return up to `limit` backfills that are not finished, by id, from the id `after` on."""
    wanted = _BACKFILL.add_columns(_UNFINISHED_RUNS.label("unfinished_runs"))
    wanted = wanted.where(backfill.c.finished_at.is_(None)).order_by(backfill.c.id).limit(limit)
    if after is not None:
        wanted = wanted.where(backfill.c.id > after)
    calendars = PresentCalendars(connection)
    return [
        Advancing(_to_backfill(row, calendars), row.max_concurrent - row.unfinished_runs)
        for row in connection.execute(wanted)
    ]


def list_backfills(
    connection: Connection, task_id: Id, after: Id | None, limit: int
) -> list[Backfill]:
    """Return up to `limit` backfills of a task, the newest first, from the id `after` on."""
    wanted = _BACKFILL.where(backfill.c.task_id == task_id)
    if after is not None:
        wanted = wanted.where(backfill.c.id < after)
    newest_first = wanted.order_by(backfill.c.id.desc()).limit(limit)
    calendars = PresentCalendars(connection)
    return [_to_backfill(row, calendars) for row in connection.execute(newest_first)]


def find_backfill(
    connection: Connection, task_id: Id, backfill_id: Id, *, lock: bool = False
) -> Backfill:
    """Return a backfill of a task; raises NotFound. `lock` prevents concurrent changes (PostgreSQL)."""
    wanted: Select[Any] = _BACKFILL.where(
        backfill.c.id == backfill_id, backfill.c.task_id == task_id
    )
    if lock:
        wanted = wanted.with_for_update(of=backfill)
    row = connection.execute(wanted).one_or_none()
    if row is None:
        raise NotFound(f"The task has no backfill {backfill_id}.")
    return _to_backfill(row, PresentCalendars(connection))


def end_backfills(tx: Transaction, task_ids: Sequence[Id]) -> None:
    """End the backfills of tasks; their runs are not changed."""
    unfinished = (among(backfill.c.task_id, task_ids), backfill.c.finished_at.is_(None))
    tx.connection.execute(
        update(backfill).where(*unfinished).values(next_at=None, finished_at=tx.now)
    )


def remove_backfills(tx: Transaction, task_id: Id, limit: int) -> int:
    """Remove up to `limit` rows of a task; return how many."""
    some = select(backfill.c.id).where(backfill.c.task_id == task_id).limit(limit)
    return tx.connection.execute(delete(backfill).where(backfill.c.id.in_(some))).rowcount


def write_schedule(schedule: Planned) -> str:
    """Return the column's text."""
    return _SCHEDULE.dump_json(schedule, exclude_defaults=True).decode()


@bounded_cache(len)
def read_schedule(text: str) -> Planned:
    """Return the schedule of a column; Unreadable if this version cannot read it."""
    try:
        schedule: Planned = _SCHEDULE.validate_json(text, context=STORED)
    except ValidationError as error:
        return Unreadable(reason=word(error.errors(include_input=False)[:1], Place(""))[:300])
    return schedule


def _to_backfill(row: Any, calendars: PresentCalendars) -> Backfill:
    span = Span(
        schedule=opened_schedule(read_schedule(row.schedule), calendars),
        anchor=Anchor(row.anchored_at, row.task_name),
        starts_at=row.starts_at,
        ends_at=row.ends_at,
    )
    return Backfill(
        id=row.id,
        task=row.task_name,
        task_id=row.task_id,
        span=span,
        newest_first=row.newest_first,
        max_concurrent=row.max_concurrent,
        spacing=timedelta(seconds=row.spacing),
        runs=row.runs,
        made=row.made,
        next_at=row.next_at,
        not_before=row.not_before,
        created_at=row.created_at,
        created_by=row.created_by,
        finished_at=row.finished_at,
        traceparent=row.traceparent,
    )
