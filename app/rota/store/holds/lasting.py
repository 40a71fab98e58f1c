"""The holds that last at a time: for claims, alerts and explanations."""

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Exists, bindparam, exists, func, or_, select

from rota.db.tables import hold
from rota.domain.holds.model import Hold
from rota.store.holds.reading import holds_that_matter

_NOW = bindparam("g_now", type_=hold.c.starts_at.type)
_LASTS: tuple[ColumnElement[bool], ...] = (
    hold.c.closed_at.is_(None),  # for the index of those that have a name
    hold.c.starts_at <= _NOW,
    or_(hold.c.ends_at.is_(None), hold.c.ends_at > _NOW),
)


_NUMBER = select(func.count()).select_from(hold).where(*_LASTS)


def is_any_lasting() -> Exists:
    """Return the condition that some hold lasts at `g_now`."""
    return exists().where(*_LASTS)


def number_lasting(connection: Connection, now: datetime) -> int:
    """Return how many holds last at a time, by one statement."""
    return int(connection.execute(_NUMBER, {"g_now": now}).scalar_one())


def lasting_holds(connection: Connection, now: datetime) -> list[Hold]:
    """Return the holds that last at a time."""
    return [each for each in holds_that_matter(connection).all if each.covers(now)]
