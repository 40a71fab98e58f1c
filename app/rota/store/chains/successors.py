"""Successors: the tasks that come after others, and what they have heard of those so far."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from rota.db.tables import predecessor, task
from rota.db.types import is_one_of
from rota.db.writer import Transaction
from rota.domain.chains.fan_in import Join, JoinBroken, JoinComplete
from rota.domain.primitives.ids import Id
from rota.domain.schedules.definitions import After
from rota.domain.tasks.definition import TaskDefinition, TaskStatus
from rota.store.task_rows import read_definition

_LIVE = (
    task.c.deleted_at.is_(None),
    task.c.status.in_([TaskStatus.ACTIVE, TaskStatus.PAUSED]),
)
_SUCCESSORS = (
    select(predecessor.c.task_id)
    .join(task, task.c.id == predecessor.c.task_id)
    .where(is_one_of(predecessor.c.name, "g_names"), *_LIVE)
    .distinct()
    .order_by(predecessor.c.task_id)
)
# Those of deleted tasks, too: to lock a few more does no harm. With a condition on `deleted_at` PostgreSQL reads all
# tasks through a partial index for as long as it knows nothing of the table.
_SUCCESSORS_BY_ID = (
    select(predecessor.c.task_id)
    .join(task, task.c.name == predecessor.c.name)
    .where(is_one_of(task.c.id, "g_ids"))
)
_LOCKED = (
    select(
        task.c.id,
        task.c.generation,
        task.c.definition,
        task.c.input,
        task.c.status,
        task.c.fired,
        task.c.gap_run_id,
    )
    .where(is_one_of(task.c.id, "g_ids"), *_LIVE)
    .order_by(task.c.id)
    .with_for_update()
)
_PAIRINGS = select(predecessor).where(is_one_of(predecessor.c.task_id, "g_ids"))


@dataclass(slots=True)
class Successor:
    """A task that hears: what is there of it, what it has heard, and what becomes of that."""

    row: Any
    definition: TaskDefinition
    schedule: After
    latest: dict[str, Id | None]
    pairing: Join
    heard: list[JoinComplete | JoinBroken] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    fired: int = 0
    #: The skipped run that stands for what a pause has kept from running.
    gap_run_id: Id | None = None
    completed: bool = False


def successors_of(tx: Transaction, task_ids: Collection[Id]) -> set[Id]:
    """Return the tasks that come after these, to be locked with them; on SQLite, which locks no rows, none."""
    if tx.is_sqlite:
        return set()
    return set(tx.connection.execute(_SUCCESSORS_BY_ID, {"g_ids": list(task_ids)}).scalars())


def successors_by_name(tx: Transaction, names: Collection[str]) -> Sequence[Id]:
    """Return the tasks, active or paused, that come after those with these names, in the order to lock them."""
    return tx.connection.execute(_SUCCESSORS, {"g_names": list(names)}).scalars().all()


def lock_successors(tx: Transaction, ids: Sequence[Id]) -> list[Successor]:
    """Return those of the tasks that are still active or paused, locked by id."""
    rows = tx.connection.execute(_LOCKED, {"g_ids": ids}).all()
    latest: dict[Id, dict[str, Id | None]] = {row.id: {} for row in rows}
    for row in tx.connection.execute(_PAIRINGS, {"g_ids": list(latest)}):
        latest[row.task_id][row.name] = row.run_id
    return [made for row in rows if (made := _to_successor(row, latest[row.id])) is not None]


def _to_successor(row: Any, latest: dict[str, Id | None]) -> Successor | None:
    definition = read_definition(row.definition)
    schedule = definition.schedule
    if not isinstance(schedule, After):  # it cannot be read any more
        return None
    # In the order of the list, which is that of the merging.
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
