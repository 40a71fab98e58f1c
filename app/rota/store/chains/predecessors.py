"""Predecessors: the tasks that one with an `after` schedule names, stored when it is registered."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from sqlalchemy import (
    Connection,
    and_,
    bindparam,
    delete,
    exists,
    insert,
    or_,
    select,
    text,
    update,
)

from rota.db.command import Transaction
from rota.db.tables import predecessor, run, task
from rota.db.types import is_one_of
from rota.domain.chains.fan_in import PredecessorUnavailable
from rota.domain.primitives.ids import Id
from rota.domain.schedules.definitions import After
from rota.domain.tasks.definition import TaskDefinition, TaskStatus
from rota.domain.tasks.registration import TaskRegistration
from rota.domain.tasks.task import Task
from rota.store.task_rows import tasks_by_name

T = TypeVar("T")

ENDED = frozenset({TaskStatus.COMPLETED, TaskStatus.CANCELLED})
# How many values a statement takes at a time.
_AT_A_TIME = 10_000


def named_by(definition: TaskDefinition) -> tuple[str, ...]:
    """Return the names of the predecessors in a definition."""
    schedule = definition.schedule
    return schedule.tasks if isinstance(schedule, After) else ()


def tasks_with_predecessors(
    tx: Transaction, declared: Iterable[TaskRegistration]
) -> dict[str, Task]:
    """Return the existing tasks of registrations, and those that they name, locked by id (PostgreSQL).

    So no named task is cancelled or deleted without notifying its new successor. Predecessors are changed by one
    transaction at a time, since two that do not see each other could create a cycle.
    """
    named = {name for each in declared for name in named_by(each.definition)}
    if named and not tx.is_sqlite:
        tx.connection.execute(_ONE_AT_A_TIME)
    names = sorted(named.union(each.name for each in declared))
    found: dict[str, Task] = {}
    for part in _parts(names):
        found |= tasks_by_name(tx.connection, part)
    return found


_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtextextended('rota:predecessors', 0))")


def insert_predecessors(tx: Transaction, made: Iterable[Task]) -> None:
    """Store the predecessors of new tasks."""
    rows = [
        {"task_id": each.id, "name": name} for each in made for name in named_by(each.definition)
    ]
    if rows:
        tx.connection.execute(insert(predecessor), rows)


def change_predecessors(tx: Transaction, existing: Task, changed: Task) -> None:
    """Keep the predecessors that a task has now. Runs of those that stay, if counted already, still count.

    They do not if the task had ended, or if other outcomes count than before.
    """
    old, new = named_by(existing.definition), named_by(changed.definition)
    if not old and not new:
        return
    mine = predecessor.c.task_id == changed.id
    tx.connection.execute(delete(predecessor).where(mine, predecessor.c.name.not_in(new)))
    added = [{"task_id": changed.id, "name": name} for name in new if name not in old]
    if added:
        tx.connection.execute(insert(predecessor), added)
    if existing.status in ENDED or _on(existing) != _on(changed):
        forget_predecessors(tx, changed)


def forget_predecessors(tx: Transaction, of: Task) -> None:
    """Make a task wait for each of its predecessors again."""
    if named_by(of.definition):
        tx.connection.execute(
            update(predecessor).where(predecessor.c.task_id == of.id).values(run_id=None)
        )


def _on(of: Task) -> tuple[str, ...]:
    schedule = of.definition.schedule
    return schedule.on if isinstance(schedule, After) else ()


def awaited_predecessors(
    connection: Connection, task_id: Id
) -> list[tuple[str, str | None, str | None]]:
    """Return the predecessors that a task waits for: name, status, and the status of the run that ended last.

    They are None if there is no such task, or run. A predecessor that has run since this task fired last is not
    waited for.
    """
    rows = connection.execute(_AWAITED_WITH_LAST, {"g_id": task_id})
    return [(row.name, row.status, row.ended_as) for row in rows]


def missing_predecessors(connection: Connection, task_id: Id) -> list[PredecessorUnavailable]:
    """Return the predecessors of a task that will not run by themselves.

    One that has completed may have a run left to end.
    """
    return missing_predecessors_of(connection, [task_id])[task_id]


def missing_predecessors_of(
    connection: Connection, task_ids: Sequence[Id]
) -> dict[Id, list[PredecessorUnavailable]]:
    """Return the same for each of several tasks."""
    found: dict[Id, list[PredecessorUnavailable]] = {each: [] for each in task_ids}
    for part in _parts(task_ids):
        for row in connection.execute(_MISSING, {"g_ids": part}):
            found[row.task_id].append(PredecessorUnavailable(row.name, row.status or "missing"))
    return found


_AWAITED = (
    select(predecessor.c.name, task.c.status)
    .outerjoin(task, and_(task.c.name == predecessor.c.name, task.c.deleted_at.is_(None)))
    .where(predecessor.c.run_id.is_(None))
    .order_by(predecessor.c.name)
)
_AWAITED_WITH_LAST = (
    _AWAITED.add_columns(run.c.status.label("ended_as"))
    .outerjoin(run, run.c.id == task.c.last_run_id)
    .where(predecessor.c.task_id == bindparam("g_id"))
)
_UNFINISHED = exists().where(run.c.task_id == task.c.id, run.c.finished_at.is_(None))
_MISSING = _AWAITED.add_columns(predecessor.c.task_id).where(
    is_one_of(predecessor.c.task_id, "g_ids"),
    or_(task.c.status.is_(None), task.c.status != TaskStatus.ACTIVE),
    or_(task.c.status.is_(None), task.c.status != TaskStatus.COMPLETED, ~_UNFINISHED),
)


def _parts(values: Sequence[T]) -> Iterator[list[T]]:
    left = iter(values)
    while part := list(islice(left, _AT_A_TIME)):
        yield part
