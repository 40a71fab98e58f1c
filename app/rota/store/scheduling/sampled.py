"""A sample of the active tasks that are due, for what cannot be computed for all of them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, case, exists, func, literal, null, select

from rota.db.tables import task, task_tag
from rota.db.types import spelled_out
from rota.domain.tasks.definition import Task, TaskStatus
from rota.store.calendars.opening import opened_tasks
from rota.store.scheduling.coming import TasksMeant
from rota.store.task_names import covers
from rota.store.task_rows import to_task


@dataclass(frozen=True, slots=True)
class Sampled:
    """A task, and for how many it stands."""

    task: Task
    weight: float


@dataclass(frozen=True, slots=True)
class Sample:
    """Tasks that are due within a time, of `total`."""

    tasks: list[Sampled]
    total: int


def sample_due(
    connection: Connection, wanted: TasksMeant, until: datetime, *, first: int, others: int
) -> Sample:
    """Return the `first` tasks that are due next, and of those after them each n-th: about `others`.

    Those that fire often are due soon, so that they are among the first.
    """
    due = _due(wanted, until)
    total: int = connection.execute(select(func.count()).select_from(task).where(*due)).scalar_one()
    every = max(-(-(total - first) // others), 1)
    rows = connection.execute(_statement(due, first, every)).all()
    tasks = opened_tasks(connection, [to_task(row) for row in rows])
    alone = min(first, total)
    weight = (total - alone) / max(len(tasks) - alone, 1)
    return Sample(
        [Sampled(each, 1 if index < alone else weight) for index, each in enumerate(tasks)], total
    )


def _due(wanted: TasksMeant, until: datetime) -> list[ColumnElement[bool]]:
    conditions = [
        task.c.deleted_at.is_(None),
        task.c.status == spelled_out(TaskStatus.ACTIVE),
        task.c.next_fire_at.is_not(None),
        task.c.deferred_until.is_(None),
        task.c.next_fire_at <= until,
        covers(wanted.limit, task.c.name),
    ]
    if wanted.names:
        conditions.append(task.c.name.in_(wanted.names))
    if wanted.tags:
        tagged = exists().where(task_tag.c.task_id == task.c.id, task_tag.c.tag.in_(wanted.tags))
        conditions.append(tagged)
    return conditions


def _statement(due: list[ColumnElement[bool]], first: int, every: int) -> Select[Any]:
    place = func.row_number().over(order_by=task.c.next_fire_at)
    placed = select(task.c.id, place.label("place")).where(*due).subquery()
    beyond = placed.c.place - first
    is_taken = case((placed.c.place <= first, literal(0)), else_=beyond % every) == 0
    # Without the inputs, which may be large, and the last runs.
    return (
        select(
            *(column for column in task.c if column.name != "input"),
            literal("null").label("input"),
            null().label("run_status"),
        )
        .join(placed, placed.c.id == task.c.id)
        .where(is_taken)
        .order_by(placed.c.place)
    )
