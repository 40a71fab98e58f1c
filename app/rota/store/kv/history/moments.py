"""Moments of a key-value table: at a time, before a run, at a revision; and how far back its history reaches."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from rota.db.tables import kv, kv_history, run, task
from rota.domain.primitives.ids import Id
from rota.errors import Invalid, NotFound
from rota.store.kv.history.rows import TABLE
from rota.store.task_rows import task_id

_TABLES = (kv, kv_history)


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment of a table: its revision, and the time by which entries had expired."""

    revision: int
    at: datetime


def find_moment(
    connection: Connection, task_name: str, wanted: datetime | Id | int, now: datetime
) -> Moment:
    """Return the moment that is meant by a time, by a run (just before its first write), or by a revision.

    Raises NotFound for the task or the run, Invalid for a revision that lies ahead. A time ahead is the present.
    """
    owner = task_id(connection, task_name)
    if isinstance(wanted, str):
        return _before_run(connection, owner, wanted, now)
    if isinstance(wanted, datetime):
        return _at_time(connection, owner, wanted, now)
    return _at_revision(connection, owner, wanted, now)


def revision_of(connection: Connection, owner: Id) -> int:
    """Return the revision of the last write to a table."""
    found: int = connection.execute(
        select(task.c.kv_revision).where(task.c.id == owner)
    ).scalar_one()
    return found


def known_from(connection: Connection, owner: Id) -> int:
    """Return the revision up to which the history of a table is not known: none was kept, or it was trimmed."""
    marks = select(func.max(kv_history.c.version)).where(
        kv_history.c.task_id == owner, kv_history.c.key == TABLE
    )
    return connection.execute(marks).scalar_one() or 0


def _before_run(connection: Connection, owner: Id, id: Id, now: datetime) -> Moment:
    first = _first_write(connection, owner, lambda t: t.c.updated_by.like(f"run:{id}%"))
    if first is not None:
        return Moment(first.version - 1, first.updated_at)
    started = connection.execute(
        select(run.c.first_started_at).where(run.c.id == id, run.c.task_id == owner)
    ).one_or_none()
    if started is None:
        raise NotFound(f"There is no run {id} of this task, and no write of it in the history.")
    # It has written nothing that is known of: what was there when it started was there before it.
    return _at_time(connection, owner, started.first_started_at or now, now)


def _at_time(connection: Connection, owner: Id, at: datetime, now: datetime) -> Moment:
    if at >= now:
        return Moment(revision_of(connection, owner), now)
    last = (
        connection.execute(
            select(func.max(table.c.version)).where(
                table.c.task_id == owner, table.c.updated_at <= at
            )
        ).scalar_one()
        for table in _TABLES
    )
    return Moment(max(each or 0 for each in last), at)


def _at_revision(connection: Connection, owner: Id, revision: int, now: datetime) -> Moment:
    last = revision_of(connection, owner)
    if revision > last:
        raise Invalid(f"The table has revision {last}, so {revision} lies ahead.")
    following = _first_write(connection, owner, lambda table: table.c.version > revision)
    return Moment(revision, now if following is None else following.updated_at)


def _first_write(connection: Connection, owner: Id, which: Any) -> Any:
    """Return the version and the time of the first known write that fits, or None."""
    found: Iterable[Any] = (
        connection.execute(
            select(table.c.version, table.c.updated_at)
            .where(table.c.task_id == owner, which(table))
            .order_by(table.c.version)
            .limit(1)
        ).one_or_none()
        for table in _TABLES
    )
    return min((each for each in found if each), key=lambda row: row.version, default=None)
