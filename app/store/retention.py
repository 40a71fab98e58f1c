"""Retention: history beyond what a task keeps is removed, in small batches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, and_, delete, exists, func, select

from app.db.tables import run, task
from app.db.writer import Command, Transaction
from app.domain.runs import RunStatus
from app.store.tasks import read_definition

Position = tuple[datetime, UUID]


@dataclass(frozen=True, slots=True)
class RemoveRuns(Command[int]):
    """Remove finished runs; return how many."""

    ids: tuple[UUID, ...]

    def apply(self, tx: Transaction) -> int:
        finished = and_(run.c.id.in_(self.ids), run.c.finished_at.is_not(None))
        return tx.connection.execute(delete(run).where(finished)).rowcount


def beyond_count(connection: Connection, task_ids: Sequence[UUID], limit: int) -> list[UUID]:
    """Return up to `limit` finished runs of these tasks that are more than the tasks keep."""
    kept = {
        row.id: read_definition(row.definition).retention.runs
        for row in _tasks(connection, task_ids)
    }
    found: list[UUID] = []
    for id in _with_more_runs(connection, kept):
        newest_first = (
            select(run.c.id)
            .where(run.c.task_id == id, run.c.finished_at.is_not(None))
            .order_by(run.c.scheduled_for.desc(), run.c.id.desc())
        )
        surplus = newest_first.offset(kept[id]).limit(limit - len(found))
        found.extend(_without_last_success(connection, connection.execute(surplus).scalars().all()))
        if len(found) >= limit:
            break
    return found


def _with_more_runs(connection: Connection, kept: Mapping[UUID, int]) -> list[UUID]:
    """Return those of the tasks that have more finished runs than the least that any of them keeps."""
    if not kept:
        return []
    counted = (
        select(run.c.task_id, func.count().label("runs"))
        .where(run.c.task_id.in_(kept), run.c.finished_at.is_not(None))
        .group_by(run.c.task_id)
        .having(func.count() > min(kept.values()))
    )
    return [row.task_id for row in connection.execute(counted) if row.runs > kept[row.task_id]]


def beyond_age(
    connection: Connection, now: datetime, after: Position | None, limit: int
) -> tuple[list[UUID], Position | None]:
    """Look at up to `limit` runs, oldest first, from a position; return those too old and the next position.

    The position is None when the walk has reached runs that no policy lets go; it then starts again.
    """
    oldest_first = (
        select(run.c.id, run.c.task_id, run.c.scheduled_for, run.c.finished_at)
        .where(run.c.scheduled_for < now - timedelta(minutes=1))
        .order_by(run.c.scheduled_for, run.c.id)
        .limit(limit)
    )
    if after is not None:
        later = (run.c.scheduled_for > after[0]) | (
            (run.c.scheduled_for == after[0]) & (run.c.id > after[1])
        )
        oldest_first = oldest_first.where(later)
    rows = connection.execute(oldest_first).all()
    ages = {
        row.id: read_definition(row.definition).retention.age
        for row in _tasks(connection, [row.task_id for row in rows])
    }
    old = [row.id for row in rows if row.finished_at and row.finished_at < now - ages[row.task_id]]
    position = (rows[-1].scheduled_for, rows[-1].id) if len(rows) == limit else None
    return _without_last_success(connection, old), position


def _tasks(connection: Connection, ids: Sequence[UUID]) -> Sequence[Any]:
    columns = (task.c.id, task.c.definition)
    return connection.execute(select(*columns).where(task.c.id.in_(set(ids)))).all()


def _is_last_success() -> Any:
    """A task's last successful run is kept whatever its age: it says what the task did last."""
    newer = run.alias("newer")
    has_newer = exists().where(
        newer.c.task_id == run.c.task_id,
        newer.c.status == RunStatus.SUCCEEDED,
        newer.c.finished_at > run.c.finished_at,
    )
    return and_(run.c.status == RunStatus.SUCCEEDED, ~has_newer)


def _without_last_success(connection: Connection, ids: Sequence[UUID]) -> list[UUID]:
    kept = select(run.c.id).where(run.c.id.in_(ids), ~_is_last_success())
    return list(connection.execute(kept).scalars()) if ids else []
