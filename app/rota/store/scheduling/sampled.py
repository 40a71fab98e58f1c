"""A sample of the active tasks that are due, for what cannot be computed for all of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    bindparam,
    func,
    literal,
    null,
    select,
)

from rota.db.expressions.elapsed import elapsed_ms
from rota.db.tables import run, task, task_tag
from rota.db.types import is_one_of, spelled_out
from rota.domain.primitives.ids import Id
from rota.domain.runs.load import Counted
from rota.domain.tasks.definition import TaskStatus
from rota.domain.tasks.task import Task
from rota.store.calendars.opening import opened_tasks
from rota.store.scheduling.coming import TasksMeant
from rota.store.task_names import covers
from rota.store.task_rows import to_task

#: Of the tasks that are not among the first: so many places among them, and so many tasks at each.
_PLACES: Final = 40
_AT_EACH: Final = 5
# Without the inputs, which may be large, and the last runs.
_TASK = select(
    *(column for column in task.c if column.name != "input"),
    literal("null").label("input"),
    null().label("run_status"),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """Tasks that are due within a time, of `total`."""

    tasks: Sequence[Counted]
    total: int


def sample_due(connection: Connection, wanted: TasksMeant, until: datetime, first: int) -> Sample:
    """Return the `first` tasks that are due next, and of more than these some at even distances, in order of time.

    Those that fire often are due soon, so that they are among the first.
    """
    due = _due(wanted, until)
    total: int = connection.execute(select(func.count()).select_from(task).where(*due)).scalar_one()
    most = first if total > first + _PLACES * _AT_EACH else total
    listing = _TASK.where(*due).order_by(task.c.next_fire_at).limit(most)
    taken = _tasks(connection, connection.execute(listing))
    others = _tasks(connection, _others(connection, due, most, total)) if total > most else []
    weight = (total - most) / max(len(others), 1)
    took = _took(connection, [each.id for each in (*taken, *others)])
    counted = [Counted(each, 1, took.get(each.id, 0)) for each in taken]
    counted += [Counted(each, weight, took.get(each.id, 0)) for each in others]
    return Sample(counted, total)


def _took(connection: Connection, ids: Sequence[Id]) -> Mapping[Id, float]:
    """Return how many seconds the last run of each task took, of those that were started and have ended."""
    took = elapsed_ms(run.c.started_at, run.c.finished_at)
    rows = connection.execute(
        select(task.c.id, took.label("took"))
        .join(run, run.c.id == task.c.last_run_id)
        .where(
            is_one_of(task.c.id, "g_ids"),
            run.c.finished_at.is_not(None),
            run.c.started_at.is_not(None),
        ),
        {"g_ids": ids},
    )
    return {row.id: max(row.took, 0) / 1_000 for row in rows}


def _tasks(connection: Connection, rows: Any) -> list[Task]:
    return opened_tasks(connection, [to_task(row) for row in rows])


def _others(
    connection: Connection, due: list[ColumnElement[bool]], first: int, total: int
) -> Iterator[Any]:
    """Yield the rows of some tasks at each of the places, which are found in the index alone."""
    every = -(-(total - first) // _PLACES)
    place = func.row_number().over(order_by=task.c.next_fire_at).label("place")
    placed = select(task.c.next_fire_at, place).where(*due).subquery()
    beyond = placed.c.place - first - 1
    places = select(placed.c.next_fire_at).where(beyond >= 0, beyond % every == 0)
    some = _from(due)
    for at in connection.execute(places).scalars().all():
        yield from connection.execute(some, {"g_from": at})


def _from(due: list[ColumnElement[bool]]) -> Select[Any]:
    later = task.c.next_fire_at >= bindparam("g_from", type_=task.c.next_fire_at.type)
    return _TASK.where(*due, later).order_by(task.c.next_fire_at).limit(_AT_EACH)


def _due(wanted: TasksMeant, until: datetime) -> list[ColumnElement[bool]]:
    # An active task is not deleted; the index does not know it, and would be left for the rows.
    conditions: list[ColumnElement[bool]] = [
        task.c.status == spelled_out(TaskStatus.ACTIVE),
        task.c.next_fire_at.is_not(None),
        task.c.deferred_until.is_(None),
        task.c.next_fire_at <= until,
    ]
    if not wanted.limit.is_unlimited:
        conditions.append(covers(wanted.limit, task.c.name))
    if wanted.names:
        conditions.append(task.c.name.in_(wanted.names))
    if wanted.tags:
        tagged = select(task_tag.c.task_id).where(task_tag.c.tag.in_(wanted.tags))
        conditions.append(task.c.id.in_(tagged))
    return conditions
