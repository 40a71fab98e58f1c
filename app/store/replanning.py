"""Stored fire times that are replaced because the time zone database is another one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import NamedTuple

from sqlalchemy import Connection, select, update

from app.db.tables import run, task
from app.db.writer import Command, Transaction
from app.domain.effects import DueSooner, TaskChanged
from app.domain.fire_times import Anchor
from app.domain.ids import Id
from app.domain.replanning import replanned
from app.domain.runs import Trigger
from app.domain.tasks import TaskStatus
from app.domain.zone_database import ZoneDatabase
from app.errors import Unplannable
from app.store.tasks import read_definition

# Definitions without a zone, which are most, are not read at all.
_WITH_A_ZONE = task.c.definition.contains('"timezone"')
_FIRING = (TaskStatus.ACTIVE, TaskStatus.PAUSED)


class Stored(NamedTuple):
    """The regular next fire time of a task, as it was read: its own, or what a time set by hand stands in for."""

    id: Id
    name: str
    generation: int
    definition: str
    anchored_at: datetime
    next_fire_at: datetime
    overrides_at: datetime | None

    @property
    def regular(self) -> datetime:
        return self.next_fire_at if self.overrides_at is None else self.overrides_at


class Moved(NamedTuple):
    """What takes the place of a regular next fire time; None: nothing is left to fire."""

    stored: Stored
    to: datetime | None


@dataclass(frozen=True, slots=True)
class Replan(Command[int]):
    """Replace next fire times; return how many. A task that was changed or fired meanwhile is left alone."""

    moves: tuple[Moved, ...]

    def apply(self, tx: Transaction) -> int:
        # By id, as all do who lock several tasks.
        in_order = sorted(self.moves, key=lambda move: move.stored.id)
        return sum(_move(tx, move) for move in in_order)


def stored_fire_times(connection: Connection, behind: Id | None, limit: int) -> list[Stored]:
    """Return up to `limit` tasks, by id, that have a next fire time and a zone somewhere in their definition."""
    wanted = select(*(task.c[name] for name in Stored._fields)).where(
        task.c.status.in_(_FIRING),
        task.c.deleted_at.is_(None),
        task.c.next_fire_at.is_not(None),
        _WITH_A_ZONE,
    )
    if behind is not None:
        wanted = wanted.where(task.c.id > behind)
    return [
        Stored._make(row) for row in connection.execute(wanted.order_by(task.c.id).limit(limit))
    ]


def moves_of(
    connection: Connection, page: Sequence[Stored], before: ZoneDatabase, now: datetime
) -> tuple[list[Moved], list[str]]:
    """Return what takes the place of fire times that were computed with another database, where it is another one.

    And the names of the tasks that cannot be planned.
    """
    moves: list[Moved] = []
    unplannable: list[str] = []
    for stored in page:
        try:
            to = _replanned(connection, stored, before, now)
        except (Unplannable, ArithmeticError, LookupError, ValueError):
            unplannable.append(stored.name)
            continue
        # What was set by hand stands in for a time that was: it stays, even if no other is left.
        if to != stored.regular and (to is not None or stored.overrides_at is None):
            moves.append(Moved(stored, to))
    return moves, unplannable


def _replanned(
    connection: Connection, stored: Stored, before: ZoneDatabase, now: datetime
) -> datetime | None:
    schedule = read_definition(stored.definition).schedule
    return replanned(
        schedule,
        Anchor(stored.anchored_at, stored.name),
        stored.regular,
        now,
        before=before,
        has_run=partial(_has_run, connection, stored),
    )


def _has_run(connection: Connection, stored: Stored, at: datetime) -> bool:
    """Return whether a fire time of the present schedule has its run, or lies in a span of skipped ones."""
    latest = (
        select(run.c.scheduled_for, run.c.scheduled_until)
        .where(
            run.c.task_id == stored.id,
            run.c.trigger == Trigger.SCHEDULE,
            run.c.scheduled_for <= at,
        )
        .order_by(run.c.scheduled_for.desc())
        .limit(1)
    )
    found = connection.execute(latest).one_or_none()
    return found is not None and at <= (found.scheduled_until or found.scheduled_for)


def _move(tx: Transaction, move: Moved) -> int:
    stored = move.stored
    column = task.c.next_fire_at if stored.overrides_at is None else task.c.overrides_at
    changed = tx.connection.execute(
        update(task)
        .where(
            task.c.id == stored.id,
            task.c.generation == stored.generation,
            task.c.status.in_(_FIRING),
            task.c.next_fire_at == stored.next_fire_at,
            task.c.overrides_at.is_not_distinct_from(stored.overrides_at),
        )
        .values({column: move.to})
    ).rowcount
    if changed and move.to is None:
        _complete(tx, stored)
    elif changed and move.to is not None and stored.overrides_at is None:
        tx.effects.append(DueSooner(move.to))
    return changed


def _complete(tx: Transaction, stored: Stored) -> None:
    """Complete a task that has nothing left to fire; a paused one is completed when it is resumed."""
    completed = tx.connection.execute(
        update(task)
        .where(task.c.id == stored.id, task.c.status == TaskStatus.ACTIVE)
        .values(status=TaskStatus.COMPLETED, status_changed_at=tx.now, status_changed_by="rota")
    )
    if completed.rowcount == 1:
        tx.effects.append(TaskChanged(stored.id, "completed", "rota", name=stored.name))
