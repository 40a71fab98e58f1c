"""Retention: history beyond what a task keeps, and tasks that have ended, are removed, in small batches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, exists, func, not_, select, text

from rota.db.command import Command, Transaction
from rota.db.tables import backfill, run, task
from rota.db.types import spelled_out
from rota.domain.primitives.bounds import DEFAULT_KEPT_AGE
from rota.domain.primitives.ids import Id
from rota.domain.primitives.preconditions import Precondition
from rota.domain.primitives.times.durations import MAX_DURATION
from rota.domain.runs.status import RunStatus, Trigger
from rota.domain.tasks.definition import TaskStatus
from rota.errors import AppError
from rota.store.definitions import read_definition
from rota.store.runs.removal import remove_runs
from rota.store.task_locks import lock_tasks
from rota.store.tasks.lifecycle import Change, Delete

Position = tuple[datetime, Id]

_ENDED = (
    task.c.status.in_([spelled_out(TaskStatus.COMPLETED), spelled_out(TaskStatus.CANCELLED)]),
    # As the index has it: SQLAlchemy would write `declared = 0` for SQLite, which then does not use the index.
    text("NOT task.declared"),
    task.c.deleted_at.is_(None),
    not_(exists().where(run.c.task_id == task.c.id, run.c.finished_at.is_(None))),
    not_(exists().where(backfill.c.task_id == task.c.id, backfill.c.finished_at.is_(None))),
)


@dataclass(frozen=True, slots=True)
class RemoveRuns(Command[int]):
    """Remove finished runs, except those that another replica has locked; return how many."""

    patient = False

    ids: tuple[Id, ...]

    def apply(self, tx: Transaction) -> int:
        finished = and_(run.c.id.in_(self.ids), run.c.finished_at.is_not(None))
        free = select(run.c.id).where(finished).with_for_update(skip_locked=True)
        ids = tx.connection.execute(free).scalars().all()
        return remove_runs(tx.connection, ids)


class EndedTask(NamedTuple):
    """A task that may be removed, as it was read."""

    id: Id
    name: str
    generation: int
    status_changed_at: datetime


_ENDED_COLUMNS = [task.c[name] for name in EndedTask._fields]


@dataclass(frozen=True, slots=True)
class RemoveEnded(Command[int]):
    """Delete tasks that have ended; return how many. One that was revived, changed, declared or run since is kept.

    So is one that another replica has locked.
    """

    patient = False

    tasks: tuple[EndedTask, ...]

    def apply(self, tx: Transaction) -> int:
        return sum(self._delete(tx, each) for each in self._still_ended(tx))

    def _still_ended(self, tx: Transaction) -> list[EndedTask]:
        """Return those that are as they were read, locked by id, as firing does."""
        these = task.c.id.in_([each.id for each in self.tasks])
        free = lock_tasks(tx.connection, these, skip_locked=True)
        mine = task.c.id.in_([each.id for each in free])
        # Read after the lock: the transaction that held it before may have made a run.
        wanted = select(*_ENDED_COLUMNS).where(mine, *_ENDED).order_by(task.c.id)
        read = set(self.tasks)
        ended = map(EndedTask._make, tx.connection.execute(wanted))
        return [each for each in ended if each in read]

    def _delete(self, tx: Transaction, ended: EndedTask) -> bool:
        change = Change(
            name=ended.name, by="rota", expected=Precondition.exactly(ended.id, ended.generation)
        )
        try:
            with tx.savepoint():
                Delete(change).apply(tx)
        except AppError:
            return False
        return True


def ended_tasks(
    connection: Connection,
    now: datetime,
    keep: timedelta,
    after: Position | None,
    limit: int,
) -> tuple[list[EndedTask], Position | None]:
    """Read up to `limit` ended tasks from a position, in the order in which they ended.

    Return those whose time (`delete_after`, else `keep`) has passed, and the next position; it is None at the end of
    the walk, which then starts again.
    """
    in_order = (
        select(*_ENDED_COLUMNS, task.c.definition)
        .where(*_ENDED)
        .order_by(task.c.status_changed_at, task.c.id)
        .limit(limit)
    )
    if after is not None:
        later = (task.c.status_changed_at > after[0]) | (
            (task.c.status_changed_at == after[0]) & (task.c.id > after[1])
        )
        in_order = in_order.where(task.c.status_changed_at >= after[0], later)
    rows = connection.execute(in_order).all()
    expired = [
        EndedTask._make(ended)
        for *ended, definition in rows
        if ended[-1] <= now - _kept_for(definition, keep)
    ]
    position = (rows[-1].status_changed_at, rows[-1].id) if len(rows) == limit else None
    return expired, position


def _kept_for(text: str, keep: timedelta) -> timedelta:
    definition = read_definition(text)
    if definition.delete_after is not None:
        return definition.delete_after
    # A longer retention of its history holds for the task as well.
    age = definition.retention.age
    return max(keep, age) if DEFAULT_KEPT_AGE < age < MAX_DURATION else keep


def beyond_count(connection: Connection, task_ids: Sequence[Id], limit: int) -> list[Id]:
    """Return up to `limit` finished runs of these tasks that are more than the tasks keep."""
    kept = {
        row.id: read_definition(row.definition).retention.runs
        for row in _tasks(connection, task_ids)
    }
    found: list[Id] = []
    for id in _with_more_runs(connection, kept):
        # By the time of their end: a run of a backfill or a rerun is not the oldest, though its `scheduled_for` is.
        last_first = (
            select(run.c.id)
            .where(run.c.task_id == id, run.c.finished_at.is_not(None))
            .order_by(run.c.finished_at.desc(), run.c.id.desc())
        )
        surplus = last_first.offset(kept[id]).limit(limit - len(found))
        found.extend(_without_last(connection, connection.execute(surplus).scalars().all()))
        if len(found) >= limit:
            break
    return found


def _with_more_runs(connection: Connection, kept: Mapping[Id, int]) -> list[Id]:
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
) -> tuple[list[Id], Position | None]:
    """Read up to `limit` runs from a position, oldest first; return those too old and the next position.

    The position is None when the walk has reached runs that no policy removes; it then starts again.
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
    return _without_last(connection, old), position


def _tasks(connection: Connection, ids: Sequence[Id]) -> Sequence[Any]:
    columns = (task.c.id, task.c.definition)
    return connection.execute(select(*columns).where(task.c.id.in_(set(ids)))).all()


def _is_last_success() -> Any:
    """A task's last successful run is kept at any age: it shows what the task did last."""
    newer = run.alias("newer")
    has_newer = exists().where(
        newer.c.task_id == run.c.task_id,
        newer.c.status == RunStatus.SUCCEEDED,
        newer.c.finished_at > run.c.finished_at,
    )
    return and_(run.c.status == RunStatus.SUCCEEDED, ~has_newer)


def _is_last_ping() -> Any:
    """So is its last ping, also one of a failure: by it `expect_every` knows when it was heard of."""
    newer = run.alias("newer_ping")
    has_newer = exists().where(
        newer.c.task_id == run.c.task_id,
        newer.c.trigger == Trigger.PING,
        newer.c.scheduled_for > run.c.scheduled_for,
    )
    return and_(run.c.trigger == Trigger.PING, ~has_newer)


def _without_last(connection: Connection, ids: Sequence[Id]) -> list[Id]:
    """Return those of the runs that are neither the last success nor the last ping of their task."""
    removable = select(run.c.id).where(run.c.id.in_(ids), ~_is_last_success(), ~_is_last_ping())
    return list(connection.execute(removable).scalars()) if ids else []
