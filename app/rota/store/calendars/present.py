"""The present days of calendars, kept in memory until one of them changes.

A change of any calendar gives all of them another revision. A firing pass reads it with the tasks that are due, and
`Fire` compares it: what was planned with days that have changed meanwhile is planned again.
"""

from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, select

from rota.db.tables import calendar, calendar_state
from rota.domain.calendars.days import CalendarDays
from rota.domain.primitives.bounded_cache import BoundedCache
from rota.domain.primitives.ids import Id
from rota.store.calendars.rows import days_of

# Bytes of text; those of one calendar are a tenth of that at most.
_MOST_BYTES, _LONGEST = 16_000_000, 1_600_000
_REVISION = select(calendar_state.c.revision)
#: The revision as a column of another query.
REVISION = _REVISION.scalar_subquery()


@dataclass(frozen=True, slots=True, weakref_slot=True)
class _Known:
    """The days that have been read at a revision of all calendars, by the names of calendars."""

    revision: Id
    by_name: dict[str, CalendarDays] = field(default_factory=dict)


# By the engine, since a process may serve several databases.
_known: WeakKeyDictionary[Engine, _Known] = WeakKeyDictionary()
_days: BoundedCache[CalendarDays] = BoundedCache(_MOST_BYTES, _LONGEST)


class PresentCalendars:
    """The calendars as a connection sees them; nothing is read before a name is looked up."""

    def __init__(self, connection: Connection, revision: Id | None = None) -> None:
        """`revision`: the present one, if it was read already."""
        self._connection = connection
        self._revision = revision

    @property
    def revision(self) -> Id:
        """The revision of all calendars that the days are of."""
        if self._revision is None:
            self._revision = self._connection.execute(_REVISION).scalar_one()
        return self._revision

    def find(self, name: str) -> CalendarDays | None:
        """Return the days of a calendar; None: there is none of this name."""
        known = self._known()
        found = known.by_name.get(name)
        if found is None:
            found = self._read(name)
            if found is not None:
                known.by_name[name] = found
        return found

    def _known(self) -> _Known:
        engine, revision = self._connection.engine, self.revision
        known = _known.get(engine)
        if known is None or known.revision != revision:
            known = _known[engine] = _Known(revision)
        return known

    def _read(self, name: str) -> CalendarDays | None:
        wanted = select(calendar.c.revision).where(calendar.c.name == name)
        revision = self._connection.execute(wanted).scalar_one_or_none()
        if revision is None:
            return None
        kept: CalendarDays | None = _days.get(revision)
        if kept is not None:
            return kept
        columns = (calendar.c.revision, calendar.c.kind, calendar.c.source, calendar.c.days)
        row = self._connection.execute(
            select(*columns).where(calendar.c.name == name)
        ).one_or_none()
        if row is None:
            return None
        read = CalendarDays(row.revision, days_of(row))
        _days.put(row.revision, read, len(row.days or ""))
        return read
