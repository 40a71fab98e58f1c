"""Tasks, locked by id: in this order everywhere, so that replicas do not deadlock. SQLite has one writer anyway."""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, select

from rota.db.tables import task
from rota.domain.primitives.ids import Id


class LockedTask(NamedTuple):
    """A task as it is locked."""

    # A row of SQLAlchemy's looks each of these up by its name, which takes ten times as long.
    id: Id
    name: str
    status: str
    generation: int
    handler: str
    definition: str
    kv_revision: int
    kv_entries: int
    kv_bytes: int
    consecutive_failures: int
    deleted_at: datetime | None


_TASKS = select(*(task.c[name] for name in LockedTask._fields)).order_by(task.c.id)
LOCKED_TASKS = _TASKS.with_for_update()


def lock_tasks(
    connection: Connection, *which: ColumnElement[bool], skip_locked: bool = False
) -> list[LockedTask]:
    """Lock tasks and return them, by id; `skip_locked` leaves out those that another replica has locked."""
    locked = LOCKED_TASKS.with_for_update(skip_locked=True) if skip_locked else LOCKED_TASKS
    return [LockedTask._make(row) for row in connection.execute(locked.where(*which))]


def read_tasks(connection: Connection, *which: ColumnElement[bool]) -> list[LockedTask]:
    """Return tasks, by id, without locking them."""
    return [LockedTask._make(row) for row in connection.execute(_TASKS.where(*which))]


def locking(*columns: ColumnElement[Any]) -> Select[Any]:
    """Return the query that locks tasks, by id, where other columns are needed than those of a LockedTask."""
    return select(*columns).order_by(task.c.id).with_for_update()
