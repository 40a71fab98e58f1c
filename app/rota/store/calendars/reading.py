"""Calendars, read by their names."""

from collections.abc import Sequence

from sqlalchemy import Connection, select

from rota.db.tables import calendar
from rota.domain.calendars.source import NamedCalendar
from rota.errors import NotFound
from rota.store.calendars.rows import to_calendar


def find_calendar(connection: Connection, name: str) -> NamedCalendar:
    """Return the calendar called `name`; raises NotFound."""
    row = connection.execute(select(calendar).where(calendar.c.name == name)).one_or_none()
    if row is None:
        raise missing_calendar(name)
    return to_calendar(row)


def list_calendars(connection: Connection, after: str, limit: int) -> Sequence[NamedCalendar]:
    """Return up to `limit` calendars by name, from the name `after` on."""
    listing = select(calendar).where(calendar.c.name > after).order_by(calendar.c.name).limit(limit)
    return [to_calendar(row) for row in connection.execute(listing)]


def missing_calendar(name: str) -> NotFound:
    """Return the error for a name that no calendar has."""
    return NotFound(f"There is no calendar {name!r}.")
