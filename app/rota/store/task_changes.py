"""Changes of a task's status: the columns that change together, and the events.

The status of a stored task is set by these functions only; a registration writes the whole row (`tasks.save`).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, bindparam, case, func, literal, update

from rota.db.command import StaleError, Transaction
from rota.db.tables import task
from rota.db.types import among
from rota.domain.effects import TaskChanged, TaskEvent
from rota.domain.primitives.ids import Id
from rota.domain.tasks.definition import TaskStatus

#: The author of a change that no client or run requested.
SERVICE = "rota"
_EVENTS = {
    status: TaskEvent.RESUMED if status is TaskStatus.ACTIVE else TaskEvent(status)
    for status in TaskStatus
}


def change_status(
    tx: Transaction,
    ids: Sequence[Id],
    status: TaskStatus,
    by: str,
    *guards: ColumnElement[bool],
    reason: str | None = None,
    names: Mapping[Id, str] | None = None,
    **columns: Any,
) -> list[Id]:
    """Set the status of those of the tasks for which the guards hold, and further columns; return them.

    With the `names` of the tasks the events cost no look-up.
    """
    if not ids:
        return []
    if status is TaskStatus.ACTIVE:
        columns = {**watched_anew(tx.now), **columns}
    statement = (
        update(task)
        .where(among(task.c.id, ids), task.c.deleted_at.is_(None), *guards)
        .values(**status_columns(status, by, tx.now, reason), **columns)
        .returning(task.c.id)
    )
    found = set(tx.connection.execute(statement).scalars())
    changed = [id for id in ids if id in found]
    for id in changed:
        emit_status(tx, id, status, by, reason, name=None if names is None else names.get(id))
    return changed


def watched_anew(now: datetime) -> dict[str, Any]:
    """Return the columns of tasks that are resumed: the time of a pause does not count for alerts."""
    anew = case((task.c.watched_from.is_not(None), literal(now, task.c.watched_from.type)))
    return {"alert_check_at": anew, "watched_from": anew}


def checked_soon(now: datetime) -> dict[str, Any]:
    """Return the column of tasks whose next fire time is moved: what is late follows from another time."""
    soon = literal(now, task.c.alert_check_at.type)
    is_watched = task.c.watched_from.is_not(None)
    return {"alert_check_at": case((is_watched, soon), else_=task.c.alert_check_at)}


def status_columns(
    status: TaskStatus, by: str, now: datetime, reason: str | None = None
) -> dict[str, Any]:
    """Return the columns of a new status."""
    return {
        "status": status,
        "status_reason": reason,
        "status_changed_at": now,
        "status_changed_by": by,
    }


def completing_columns() -> dict[str, Any]:
    """Return the columns of a statement for many tasks, some of which complete; `completing` gives its parameters."""
    return {
        "status": bindparam("n_status"),
        "status_changed_at": func.coalesce(
            bindparam("n_completed_at", type_=task.c.status_changed_at.type),
            task.c.status_changed_at,
        ),
        "status_changed_by": func.coalesce(
            bindparam("n_completed_by", type_=task.c.status_changed_by.type),
            task.c.status_changed_by,
        ),
    }


def completing(status: str, now: datetime, *, completed: bool) -> dict[str, Any]:
    """Return the parameters of `completing_columns` for a task that completes, or else keeps its `status`."""
    if completed:
        return {
            "n_status": TaskStatus.COMPLETED,
            "n_completed_at": now,
            "n_completed_by": SERVICE,
        }
    return {"n_status": status, "n_completed_at": None, "n_completed_by": None}


def emit_status(
    tx: Transaction,
    id: Id,
    status: TaskStatus,
    by: str,
    reason: str | None = None,
    *,
    name: str | None = None,
) -> None:
    """Report the new status of a task; with the task's name, the event costs no look-up."""
    tx.effects.append(TaskChanged(id, _EVENTS[status], by, reason, name))


def hide(tx: Transaction, ids: Sequence[Id]) -> None:
    """Mark locked tasks as deleted: their names are free at once, their rows are removed later."""
    hidden = update(task).where(among(task.c.id, ids), task.c.deleted_at.is_(None))
    columns = {"status": TaskStatus.CANCELLED, "deleted_at": tx.now}
    if tx.connection.execute(hidden.values(columns)).rowcount != len(ids):
        raise StaleError("a task was changed by another replica")
