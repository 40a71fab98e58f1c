"""Holds that have ended by themselves: their names become free, and that they have ended is announced, once."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, select, update

from rota.db.command import Command, Transaction
from rota.db.tables import hold
from rota.domain.effects import HoldAnnounced, HoldEvent
from rota.store.holds.rows import to_hold
from rota.store.task_changes import SERVICE

_NOW = bindparam("g_now", type_=hold.c.ends_at.type)
_OVER = (hold.c.closed_at.is_(None), hold.c.ends_at <= _NOW)
_IS_ANY_OVER = select(hold.c.id).where(*_OVER).limit(1)


@dataclass(frozen=True, slots=True)
class CloseEnded(Command[int]):
    """Close the holds that have ended by themselves; return how many. What they have covered stays covered."""

    patient = False

    def apply(self, tx: Transaction) -> int:
        over = select(hold).where(*_OVER).order_by(hold.c.id).with_for_update(skip_locked=True)
        rows = tx.connection.execute(over, {"g_now": tx.now}).mappings().all()
        closed = update(hold).where(hold.c.id.in_([row["id"] for row in rows]), *_OVER)
        if rows:
            tx.connection.execute(closed.values(closed_at=tx.now), {"g_now": tx.now})
        tx.effects.extend(HoldAnnounced(HoldEvent.ENDED, to_hold(row), SERVICE) for row in rows)
        return len(rows)


def is_any_over(connection: Connection, now: datetime) -> bool:
    """Return whether a hold has ended by itself and is not closed yet."""
    return connection.execute(_IS_ANY_OVER, {"g_now": now}).one_or_none() is not None
