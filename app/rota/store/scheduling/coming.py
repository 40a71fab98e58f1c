"""The active tasks that are due next, for the agenda of all tasks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, exists, literal, null, select

from rota.db.tables import task, task_tag
from rota.db.types import is_one_of, spelled_out
from rota.domain.access.names import UNLIMITED, NameLimit
from rota.domain.primitives.ids import Id
from rota.domain.tasks.definition import TaskStatus
from rota.domain.tasks.task import Task
from rota.store.calendars.opening import opened_tasks
from rota.store.task_names import covers
from rota.store.task_rows import to_task

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
# So few tasks are looked up one by one. More are frequent enough to be met soon among those that are due next. SQLite
# knows neither, and would read all tasks in one of the two cases.
_FEW = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TasksMeant:
    """Which tasks are meant: those with one of the names and one of the tags (none: any) that the client may see."""

    names: Sequence[str] = ()
    tags: Sequence[str] = ()
    limit: NameLimit = UNLIMITED


def due_next(
    connection: Connection, wanted: TasksMeant, until: datetime, number: int
) -> list[Task]:
    """Return up to `number` active tasks that fire next up to `until`, the earliest first, without their inputs."""
    listing = _TASK.where(covers(wanted.limit, task.c.name), task.c.next_fire_at <= until)
    if wanted.names:
        listing = listing.where(task.c.name.in_(wanted.names))
    given: dict[str, Any] = {}
    if (few := _few(connection, wanted)) is not None:
        listing, given = listing.where(is_one_of(task.c.id, "g_few")), {"g_few": few}
    if wanted.tags:
        tagged = exists().where(task_tag.c.task_id == task.c.id, task_tag.c.tag.in_(wanted.tags))
        listing = listing.where(tagged)
    rows = connection.execute(listing.order_by(task.c.next_fire_at).limit(number), given)
    return opened_tasks(connection, [to_task(row) for row in rows])


def _few(connection: Connection, wanted: TasksMeant) -> list[Id] | None:
    """Return the ids of the tasks among which those that are meant are, if these are few."""
    if wanted.names:
        return None
    for found in _narrowing(wanted):
        ids = list(connection.execute(found.limit(_FEW + 1)).scalars())
        if len(ids) <= _FEW:
            return ids
    return None


def _narrowing(wanted: TasksMeant) -> Iterator[Select[Any]]:
    if wanted.tags:
        yield select(task_tag.c.task_id).where(task_tag.c.tag.in_(wanted.tags))
    if not wanted.limit.is_unlimited:
        present = (task.c.deleted_at.is_(None), covers(wanted.limit, task.c.name))
        yield select(task.c.id).where(*present)
