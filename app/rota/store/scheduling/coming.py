"""The active tasks that are due next, for the agenda of all tasks."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, literal, null, select

from rota.db.tables import task
from rota.db.types import spelled_out
from rota.domain.tasks.definition import Task, TaskStatus
from rota.store.task_rows import TaskFilter, matching, to_task

# Without the inputs, which may be large, and the last runs.
_TASK = select(
    *(column for column in task.c if column.name != "input"),
    literal("null").label("input"),
    null().label("run_status"),
).where(
    task.c.deleted_at.is_(None),
    task.c.status == spelled_out(TaskStatus.ACTIVE),
    task.c.next_fire_at.is_not(None),
    task.c.deferred_until.is_(None),
)


def due_next(
    connection: Connection,
    wanted: TaskFilter,
    names: Sequence[str],
    until: datetime,
    limit: int,
) -> list[Task]:
    """Return up to `limit` active tasks whose next fire time comes up to `until`, the earliest first, without inputs.

    `names`: only these; empty means any.
    """
    listing = _TASK.where(*matching(wanted), task.c.next_fire_at <= until)
    if names:
        listing = listing.where(task.c.name.in_(names))
    rows = connection.execute(listing.order_by(task.c.next_fire_at).limit(limit))
    return [to_task(row) for row in rows]
