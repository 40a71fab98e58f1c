"""Tasks, as they are read, and their definitions as they are stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, Select, bindparam, func, literal_column, select

from rota.db.expressions.byte_lengths import byte_length
from rota.db.tables import run, task, task_tag
from rota.db.types import is_one_of, spelled_out
from rota.domain.access.names import UNLIMITED, NameLimit
from rota.domain.primitives.ids import Id
from rota.domain.primitives.json import json_text
from rota.domain.primitives.texts.sealed import SealedText, is_sealed
from rota.domain.runs.plan import DueTask
from rota.domain.tasks.definition import TaskDefinition, TaskStatus
from rota.domain.tasks.task import LastRun, Task
from rota.errors import Conflict, Invalid, NotFound
from rota.store.calendars.opening import opened_task, opened_tasks
from rota.store.counting import Counted, count_rows
from rota.store.definitions import read_definition
from rota.store.task_names import covers, has_tags, starts_with


class Known(Protocol):
    """What of a task decides whether it takes a verb."""

    @property
    def id(self) -> Id: ...
    @property
    def name(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def generation(self) -> int: ...


def present_task(found: Known) -> dict[str, Any]:
    """Return what an error shows of the existing task."""
    return {
        "task": {
            "id": found.id,
            "name": found.name,
            "status": found.status,
            "generation": found.generation,
        }
    }


def check_not_cancelled(found: Known) -> None:
    """Raise Conflict if a task is cancelled."""
    if found.status == TaskStatus.CANCELLED:
        raise Conflict(
            f"Task {found.name!r} is cancelled; register it again to revive it.",
            slug="wrong-status",
            present=present_task(found),
        )


#: Up to how many tasks with a tag are few.
FEW = 1_000

_TASK = (
    select(
        task,
        run.c.status.label("run_status"),
        run.c.scheduled_for.label("run_scheduled_for"),
        run.c.finished_at.label("run_finished_at"),
    )
    .outerjoin(run, run.c.id == task.c.last_run_id)
    .where(task.c.deleted_at.is_(None))
)
# Made once: to make such a statement, and its key in the cache of SQLAlchemy, costs as much as to execute it.
_BY_NAME = _TASK.where(task.c.name == bindparam("g_name"))
_BY_NAME_LOCKED = _BY_NAME.with_for_update(of=task)
_BY_NAMES = _TASK.where(is_one_of(task.c.name, "g_names")).order_by(task.c.id)
_BY_NAMES_LOCKED = _BY_NAMES.with_for_update(of=task)
_BY_IDS = _TASK.where(is_one_of(task.c.id, "g_ids")).order_by(task.c.id)
_BY_IDS_LOCKED = _BY_IDS.with_for_update(of=task)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """Which tasks are meant: values of one field are OR-ed, fields are AND-ed; empty means any."""

    status: Sequence[str] = ()
    tag: Sequence[str] = ()
    #: Unlike the others: a task has all of them.
    all_tags: Sequence[str] = ()
    handler: Sequence[str] = ()
    queue: Sequence[str] = ()
    name_prefix: str = ""
    #: Only those whose last run has failed.
    failing: bool = False
    #: The tasks that the client may see.
    limit: NameLimit = UNLIMITED


def find_task(connection: Connection, name: str, *, lock: bool = False) -> Task:
    """Return the task called `name`; raises NotFound. `lock` prevents concurrent changes (PostgreSQL)."""
    wanted = _BY_NAME_LOCKED if lock else _BY_NAME
    row = connection.execute(wanted, {"g_name": name}).one_or_none()
    if row is None:
        raise missing_task(name)
    return opened_task(connection, to_task(row))


def task_id(connection: Connection, name: str) -> Id:
    """Return the id of the task called `name`; raises NotFound."""
    wanted = select(task.c.id).where(task.c.name == name, task.c.deleted_at.is_(None))
    found: Id | None = connection.execute(wanted).scalar_one_or_none()
    if found is None:
        raise missing_task(name)
    return found


def missing_task(name: str) -> NotFound:
    """Return the error for a name that no task has."""
    return NotFound(f"There is no task {name!r}.")


def list_tasks(connection: Connection, wanted: TaskFilter, after: str, limit: int) -> list[Task]:
    """Return up to `limit` tasks, by name, from the name `after` on."""
    listing = _in_order(connection, _TASK, wanted, after).limit(limit)
    return opened_tasks(connection, map(to_task, connection.execute(listing)))


def list_sizes(connection: Connection, wanted: TaskFilter, after: str, limit: int) -> list[int]:
    """Return the sizes of the definitions and inputs, in bytes, of the tasks that `list_tasks` returns."""
    size = byte_length(task.c.definition) + byte_length(task.c.input)
    listing = _in_order(connection, _TASK.with_only_columns(size), wanted, after).limit(limit)
    return list(connection.execute(listing).scalars())


def count_tasks(connection: Connection, wanted: TaskFilter) -> Counted:
    """Return how many tasks there are, exactly up to a bound."""
    found: Select[Any] = select(literal_column("1")).select_from(task)
    return count_rows(connection, found.where(task.c.deleted_at.is_(None), *matching(wanted)))


def _in_order(
    connection: Connection, listing: Select[Any], wanted: TaskFilter, after: str
) -> Select[Any]:
    """Return a listing by name. Tasks with a rare tag are sorted; else they are walked through by name."""
    few = _few_tagged(connection, wanted)
    listing = listing.where(*matching(wanted, of_many=True), task.c.name > after)
    if few is None:
        return listing.order_by(task.c.name)
    # An expression, so that no index is walked through in its order.
    by_name = func.coalesce(task.c.name, task.c.name)
    return listing.where(is_one_of(task.c.id, "g_few").params(g_few=few)).order_by(by_name)


def _few_tagged(connection: Connection, wanted: TaskFilter) -> list[Id] | None:
    """Return the tasks that have one of the tags, if they are few; None: there are many, or no tags are wanted."""
    for tags in (*([tag] for tag in wanted.all_tags), wanted.tag):
        tagged = select(task_tag.c.task_id).where(task_tag.c.tag.in_(tags)).limit(FEW + 1)
        if tags and len(found := connection.execute(tagged).scalars().all()) <= FEW:
            return list(found)
    return None


def tasks_by_name(
    connection: Connection, names: Sequence[str], *, lock: bool = True
) -> dict[str, Task]:
    """Return those of the named tasks that exist, locked against concurrent changes (PostgreSQL)."""
    wanted = _BY_NAMES_LOCKED if lock else _BY_NAMES
    rows = connection.execute(wanted, {"g_names": list(names)})
    found = opened_tasks(connection, map(to_task, rows))
    return {each.name: each for each in found}


def tasks_by_id(connection: Connection, ids: Sequence[Id], *, lock: bool) -> dict[Id, Task]:
    """Return those of the tasks that exist, by id, locked if that is wanted (PostgreSQL)."""
    rows = connection.execute(_BY_IDS_LOCKED if lock else _BY_IDS, {"g_ids": list(ids)})
    return {each.id: each for each in opened_tasks(connection, map(to_task, rows))}


def to_task(row: Any) -> Task:
    """Return the task of a row of `_TASK`, its calendars without their days."""
    read = read_definition(row.definition)
    definition = read.model_copy(update={"input": _read_input(row.input, read)})
    return Task(
        id=row.id,
        name=row.name,
        definition=definition,
        status=TaskStatus(row.status),
        status_reason=row.status_reason,
        status_changed_at=row.status_changed_at,
        status_changed_by=row.status_changed_by,
        generation=row.generation,
        anchored_at=row.anchored_at,
        next_fire_at=row.next_fire_at,
        fired=row.fired,
        overrides_at=row.overrides_at,
        moved_to_at=row.moved_to_at,
        declared=row.declared,
        last_run=_last_run(row),
        last_success_at=row.last_success_at,
        consecutive_failures=row.consecutive_failures,
        kv_revision=row.kv_revision,
        created_at=row.created_at,
        updated_at=row.updated_at,
        traceparent=row.traceparent,
    )


def _read_input(text: str, definition: TaskDefinition) -> Any:
    """Return an input; one that cannot be read, in a row that was changed by hand, as its text.

    So is a plain input that must be secret.
    """
    if is_sealed(text) or definition.secret_input:
        return SealedText(text)
    try:
        return json_text.loads(text)
    except Invalid:
        return SealedText(text)


def _last_run(row: Any) -> LastRun | None:
    if row.run_status is None:
        return None
    return LastRun(
        id=row.last_run_id,
        status=row.run_status,
        scheduled_for=row.run_scheduled_for,
        finished_at=row.run_finished_at,
    )


# A list of its own: SQLite would walk through all tasks by name, in search of those few that fail.
_FAILING = select(task.c.id).where(
    task.c.consecutive_failures > literal_column("0"),
    task.c.status == spelled_out(TaskStatus.ACTIVE),
)


def matching(wanted: TaskFilter, *, of_many: bool = False) -> list[ColumnElement[bool]]:
    """Return the conditions that a task of the filter meets, besides not being deleted.

    `of_many`: its tags are those of many tasks (`has_tags`).
    """
    conditions: list[ColumnElement[bool]] = [
        column.in_(accepted)
        for column, accepted in (
            (task.c.status, wanted.status),
            (task.c.handler, wanted.handler),
            (task.c.queue, wanted.queue),
        )
        if accepted
    ]
    conditions.extend(has_tags(task.c.id, wanted.tag, wanted.all_tags, of_many=of_many))
    if wanted.name_prefix:
        conditions.extend(starts_with(task.c.name, wanted.name_prefix))
    if wanted.failing:
        conditions.append(task.c.id.in_(_FAILING))
    if not wanted.limit.is_unlimited:
        conditions.append(covers(wanted.limit, task.c.name))
    return conditions


def to_due(found: Task) -> DueTask:
    """Return what planning needs of a task that has a next fire time."""
    input = found.definition.input
    text = str(input) if isinstance(input, SealedText) else json_text.dumps(input)
    return DueTask.of(found, text)
