"""Successors: the tasks that come after others, and the runs of these that they have counted so far."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import select

from rota.db.command import Transaction
from rota.db.tables import predecessor, task
from rota.db.types import is_one_of
from rota.domain.chains.fan_in import Join, JoinBroken, JoinComplete
from rota.domain.primitives.ids import Id
from rota.domain.schedules.definitions import After
from rota.domain.tasks.definition import TaskDefinition, TaskStatus
from rota.store.definitions import read_definition
from rota.store.runs.new_run import NewRun
from rota.store.task_locks import locking

_LIVE = (
    task.c.deleted_at.is_(None),
    task.c.status.in_([TaskStatus.ACTIVE, TaskStatus.PAUSED]),
)
# First those that are named: as long as PostgreSQL has no statistics, it would read all tasks first.
_NAMED = (
    select(predecessor.c.task_id)
    .where(is_one_of(predecessor.c.name, "g_names"))
    .cte("named")
    .prefix_with("MATERIALIZED", dialect="postgresql")
)
_SUCCESSORS = (
    select(_NAMED.c.task_id)
    .join(task, task.c.id == _NAMED.c.task_id)
    .where(*_LIVE)
    .distinct()
    .order_by(_NAMED.c.task_id)
)
# Those of deleted tasks, too: to lock a few more does no harm. With a condition on `deleted_at` PostgreSQL reads all
# tasks through a partial index as long as it has no statistics of the table.
_SUCCESSORS_BY_ID = (
    select(predecessor.c.task_id)
    .join(task, task.c.name == predecessor.c.name)
    .where(is_one_of(task.c.id, "g_ids"))
)


class _Row(NamedTuple):
    """A successor as it is locked."""

    id: Id
    generation: int
    definition: str
    input: str
    status: str
    fired: int
    gap_run_id: Id | None


_LOCKED = locking(*(task.c[name] for name in _Row._fields)).where(
    is_one_of(task.c.id, "g_ids"), *_LIVE
)
_PAIRINGS = select(predecessor).where(is_one_of(predecessor.c.task_id, "g_ids"))


@dataclass(slots=True)
class Successor:
    """A task that is notified: its row, the events that follow, and the runs that these make."""

    row: _Row
    definition: TaskDefinition
    schedule: After
    latest: dict[str, Id | None]
    pairing: Join
    events: list[JoinComplete | JoinBroken] = field(default_factory=list)
    runs: list[NewRun] = field(default_factory=list)
    fired: int = 0
    #: The skipped run that represents the firings of a pause.
    gap_run_id: Id | None = None
    completed: bool = False


def successors_of(tx: Transaction, task_ids: Collection[Id]) -> set[Id]:
    """Return the successors of tasks, to be locked with them; on SQLite, which locks no rows, none."""
    if tx.is_sqlite:
        return set()
    return set(tx.connection.execute(_SUCCESSORS_BY_ID, {"g_ids": list(task_ids)}).scalars())


def successors_by_name(tx: Transaction, names: Collection[str]) -> Sequence[Id]:
    """Return the active or paused successors of the tasks with these names, in the order to lock them."""
    return tx.connection.execute(_SUCCESSORS, {"g_names": list(names)}).scalars().all()


def lock_successors(tx: Transaction, ids: Sequence[Id]) -> list[Successor]:
    """Return those of the tasks that are still active or paused, locked by id."""
    rows = [_Row._make(row) for row in tx.connection.execute(_LOCKED, {"g_ids": ids})]
    latest: dict[Id, dict[str, Id | None]] = {row.id: {} for row in rows}
    for row in tx.connection.execute(_PAIRINGS, {"g_ids": list(latest)}):
        latest[row.task_id][row.name] = row.run_id
    return [made for row in rows if (made := _to_successor(row, latest[row.id])) is not None]


def _to_successor(row: _Row, latest: dict[str, Id | None]) -> Successor | None:
    definition = read_definition(row.definition)
    schedule = definition.schedule
    if not isinstance(schedule, After):  # it cannot be read any more
        return None
    # In the order of the list, in which results are merged.
    in_order = {name: latest[name] for name in schedule.tasks if name in latest}
    return Successor(
        row=row,
        definition=definition,
        schedule=schedule,
        latest=in_order,
        pairing=Join(dict(in_order)),
        fired=row.fired,
        gap_run_id=row.gap_run_id,
    )
