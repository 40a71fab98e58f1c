"""Holds that have ended long ago are removed, once no fire time within them is left to be planned."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, delete, func, or_, select

from rota.db.command import Command, Transaction
from rota.db.tables import hold, task
from rota.domain.primitives.ids import Id
from rota.domain.tasks.definition import TaskStatus

# A paused task plans what passed during the pause when it is resumed.
_PLANS = (TaskStatus.ACTIVE, TaskStatus.PAUSED)


def removable_holds(connection: Connection, now: datetime, age: timedelta, limit: int) -> list[Id]:
    """Return up to `limit` holds that have ended longer than `age` ago, and that no task needs any more."""
    old = select(hold.c.id).where(hold.c.ends_at < now - age, planned_up_to_its_end())
    return list(connection.execute(old.limit(limit)).scalars())


@dataclass(frozen=True, slots=True)
class RemoveHolds(Command[int]):
    """Remove holds that `removable_holds` has found, except those that a task needs again; return how many."""

    patient = False

    ids: tuple[Id, ...]

    def apply(self, tx: Transaction) -> int:
        unneeded = and_(hold.c.id.in_(self.ids), planned_up_to_its_end())
        return tx.connection.execute(delete(hold).where(unneeded)).rowcount


def planned_up_to_its_end() -> ColumnElement[bool]:
    """Guard: no task is left whose next fire time is in the hold, or before it, after an outage of any length."""
    earliest = (  # one look at the tasks, whatever the number of holds
        select(func.min(task.c.next_fire_at))
        .where(task.c.status.in_(_PLANS), task.c.deleted_at.is_(None))
        .scalar_subquery()
    )
    return or_(earliest.is_(None), hold.c.ends_at <= earliest)
