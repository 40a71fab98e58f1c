"""Changes of calendars: declared, removed, and the rules of holidays updated.

Each changes the revision of all calendars, whose row is locked first: changes come one after the other, and what was
planned with days that have changed is not fired.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, delete, func, insert, select, update

from rota.db.command import Command, Transaction
from rota.db.tables import calendar, calendar_state, task_calendar
from rota.domain.calendars.holiday_rules import is_newer
from rota.domain.calendars.source import MOST_CALENDARS, NamedCalendar, Source, SourceKind
from rota.domain.effects import CalendarsChanged
from rota.domain.primitives.ids import new_id
from rota.domain.primitives.preconditions import Precondition
from rota.domain.primitives.texts.english import and_list, plural
from rota.errors import Conflict, PreconditionFailed
from rota.store.calendars.reading import find_calendar, missing_calendar
from rota.store.calendars.rows import columns_of
from rota.store.calendars.usage import CalendarUsage, users_of

_NAMED_IN_DETAIL = 3
# What a client declares; the days follow from it, and from the time.
_DECLARED = ("kind", "source", "days", "description")


@dataclass(frozen=True, slots=True, kw_only=True)
class PutCalendar(Command[tuple[NamedCalendar, bool]]):
    """Declare a calendar; return it, and whether it is new. The same once more changes nothing.

    Raises Conflict if there are too many, PreconditionFailed.
    """

    name: str
    source: Source
    description: str | None
    by: str
    expected: Precondition | None = None

    def apply(self, tx: Transaction) -> tuple[NamedCalendar, bool]:
        _lock_all(tx)
        row = _find(tx, self.name)
        _check_expected(self.name, row, self.expected)
        declared = {**columns_of(self.source), "description": self.description}
        if row is None:
            self._create(tx, declared)
        elif any(declared[name] != getattr(row, name) for name in _DECLARED):
            self._change(tx, row, declared)
        return find_calendar(tx.connection, self.name), row is None

    def _create(self, tx: Transaction, declared: dict[str, Any]) -> None:
        if (
            tx.connection.execute(select(func.count()).select_from(calendar)).scalar_one()
            >= MOST_CALENDARS
        ):
            raise Conflict(f"There are {MOST_CALENDARS:,} calendars, as many as there may be.")
        id = new_id(tx.now)
        made = {
            "id": id,
            "name": self.name,
            "version": 1,
            "revision": id,
            "replans": False,
            "created_at": tx.now,
            "updated_at": tx.now,
            "updated_by": self.by,
        }
        tx.connection.execute(insert(calendar), [made | declared])

    def _change(self, tx: Transaction, row: Any, declared: dict[str, Any]) -> None:
        columns = {
            **declared,
            "version": row.version + 1,
            "updated_at": tx.now,
            "updated_by": self.by,
        }
        same_days = all(declared[name] == getattr(row, name) for name in ("kind", "days"))
        if not same_days or row.kind == SourceKind.HOLIDAYS:
            columns |= {"revision": new_id(tx.now), "replans": True}
            _change_revision(tx)
        these = (calendar.c.id == row.id, unchanged_since(row))
        if tx.connection.execute(update(calendar).where(*these).values(columns)).rowcount != 1:
            raise Conflict(f"Calendar {self.name!r} was changed concurrently; try again.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveCalendar(Command[None]):
    """Remove a calendar that no task uses. Raises NotFound, Conflict with the first users, PreconditionFailed."""

    name: str
    expected: Precondition | None = None

    def apply(self, tx: Transaction) -> None:
        _lock_all(tx)
        row = _find(tx, self.name)
        if row is None:
            raise missing_calendar(self.name)
        _check_expected(self.name, row, self.expected)
        usage = users_of(tx.connection, row.id)
        if usage.count:
            raise _in_use(self.name, usage)
        # Those of deleted tasks are left.
        tx.connection.execute(delete(task_calendar).where(task_calendar.c.calendar_id == row.id))
        gone = tx.connection.execute(
            delete(calendar).where(calendar.c.id == row.id, unchanged_since(row))
        )
        if gone.rowcount != 1:
            raise Conflict(f"Calendar {self.name!r} was changed concurrently; try again.")
        _change_revision(tx)


@dataclass(frozen=True, slots=True)
class UpdateHolidays(Command[bool]):
    """Record the version of the rules of holidays; a newer one than any before changes all calendars of holidays."""

    version: str

    def apply(self, tx: Transaction) -> bool:
        # First the calendars, as the audit log does for every change of one.
        of_holidays = select(calendar.c.id).where(calendar.c.kind == SourceKind.HOLIDAYS)
        locked = of_holidays.order_by(calendar.c.id).with_for_update()
        ids = tx.connection.execute(locked).scalars().all()
        before = _lock_all(tx).holidays
        if before is not None and not is_newer(self.version, before):
            return False
        tx.connection.execute(update(calendar_state).values(holidays=self.version))
        if before is None:  # none has been computed yet
            return False
        for id in ids:
            changed = update(calendar).where(calendar.c.id == id)
            tx.connection.execute(changed.values(revision=new_id(tx.now), replans=True))
        _change_revision(tx)
        return True


def unchanged_since(row: Any) -> ColumnElement[bool]:
    """Guard: a concurrent change of the calendar wins."""
    same: ColumnElement[bool] = calendar.c.version == row.version
    return same


def _lock_all(tx: Transaction) -> Any:
    return tx.connection.execute(select(calendar_state).with_for_update()).one()


def _find(tx: Transaction, name: str) -> Any:
    wanted = select(calendar).where(calendar.c.name == name).with_for_update()
    return tx.connection.execute(wanted).one_or_none()


def _change_revision(tx: Transaction) -> None:
    tx.connection.execute(update(calendar_state).values(revision=new_id(tx.now)))
    tx.effects.append(CalendarsChanged())


def _check_expected(name: str, row: Any, expected: Precondition | None) -> None:
    if expected is None or expected.is_met_by(None if row is None else (row.id, row.version)):
        return
    if row is None:
        raise PreconditionFailed(f"There is no calendar {name!r}.")
    read = expected.match is not None
    raise PreconditionFailed(
        f"Calendar {name!r} is not as you read it."
        if read
        else f"There is a calendar {name!r} already."
    )


def _in_use(name: str, usage: CalendarUsage) -> Conflict:
    named = [repr(each) for each in usage.tasks[:_NAMED_IN_DETAIL]]
    more = usage.count - len(named)
    listed = and_list([*named, f"{more:,} more"] if more else named)
    verb = "uses" if usage.count == 1 else "use"
    return Conflict(
        f"{plural(usage.count, 'task')} {verb} the calendar {name!r}: {listed}. Take it out of their 'exclude' first.",
        slug="calendar-in-use",
        present={"tasks": list(usage.tasks), "count": usage.count},
    )
