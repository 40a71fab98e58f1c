"""The next fire time of a task, moved once: `PATCH next_fire_at` and `ctx.set_next_fire`."""

from dataclasses import replace
from datetime import datetime

from sqlalchemy import case, func, literal, update

from app.db.tables import task
from app.db.writer import Transaction
from app.domain.effects import DueSooner, TaskChanged
from app.domain.ids import Id
from app.domain.tasks import Task, TaskStatus


def overridden(found: Task, at: datetime | None) -> Task:
    """Return the task with `at` in place of its next fire time (None: with its regular one again)."""
    regular = found.next_fire_at if found.overrides_at is None else found.overrides_at
    if at is None:
        return (
            found
            if found.overrides_at is None
            else replace(found, next_fire_at=regular, overrides_at=None)
        )
    return replace(found, next_fire_at=at, overrides_at=regular or at)


def override_next_fire(tx: Transaction, task_id: Id, at: datetime, by: str) -> bool:
    """Have a locked task fire at `at` in place of its next fire time; False if it is cancelled or gone."""
    alive = (task.c.id == task_id, task.c.status != TaskStatus.CANCELLED)
    revived = task.c.status == TaskStatus.COMPLETED
    moved = tx.connection.execute(
        update(task)
        .where(*alive)
        .values(
            # With the type said: bound without it, SQLite would keep the time in another form.
            overrides_at=func.coalesce(
                task.c.overrides_at, task.c.next_fire_at, literal(at, task.c.overrides_at.type)
            ),
            next_fire_at=at,
            status=case((revived, TaskStatus.ACTIVE), else_=task.c.status),
            status_changed_at=case(
                (revived, literal(tx.now, task.c.status_changed_at.type)),
                else_=task.c.status_changed_at,
            ),
            status_changed_by=case((revived, by), else_=task.c.status_changed_by),
            updated_at=tx.now,
        )
    )
    if moved.rowcount == 1:
        tx.effects += (TaskChanged(task_id, "updated", by), DueSooner(at))
    return moved.rowcount == 1
