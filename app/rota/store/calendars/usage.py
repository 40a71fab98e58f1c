"""Which tasks use which calendars: checked when they are registered, kept in rows of their own."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Select, delete, func, insert, select

from rota.db.command import Transaction
from rota.db.tables import calendar, task, task_calendar
from rota.domain.access.names import UNLIMITED, NameLimit
from rota.domain.primitives.ids import Id
from rota.domain.schedules.calendar_use import calendars_of, places_of
from rota.domain.schedules.definitions import Planned
from rota.domain.tasks.definition import TaskDefinition
from rota.domain.tasks.task import Task
from rota.domain.validation.messages import nearest
from rota.errors import Fault, Invalid
from rota.store.calendars.opening import opened, opened_schedule
from rota.store.calendars.present import PresentCalendars
from rota.store.task_names import covers

#: How many tasks are named.
MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class CalendarUsage:
    """The first of the tasks that use a calendar, by name, and how many there are."""

    tasks: tuple[str, ...]
    count: int


def registered(connection: Connection, definition: TaskDefinition) -> TaskDefinition:
    """Return the definition of a registration with the days of its calendars; raises Invalid if one is not there.

    They are not removed before the commit (PostgreSQL).
    """
    names = calendars_of(definition.schedule)
    if not names:
        return definition
    there = select(calendar.c.name).where(calendar.c.name.in_(names)).order_by(calendar.c.name)
    locked = there.with_for_update(read=True, key_share=True)
    _check(connection, definition.schedule, set(connection.execute(locked).scalars()))
    return opened(definition, PresentCalendars(connection))


def checked_schedule(connection: Connection, schedule: Planned) -> Planned:
    """Return the schedule of a preview with the days of its calendars; raises Invalid if one is not there."""
    names = calendars_of(schedule)
    if not names:
        return schedule
    there = select(calendar.c.name).where(calendar.c.name.in_(names))
    _check(connection, schedule, set(connection.execute(there).scalars()))
    return opened_schedule(schedule, PresentCalendars(connection))


def _check(connection: Connection, schedule: Planned, there: Collection[str]) -> None:
    missing = [(at, name) for at, name in places_of(schedule) if name not in there]
    if not missing:
        return
    known = list(connection.execute(select(calendar.c.name).order_by(calendar.c.name)).scalars())
    faults = [
        Fault(f"/schedule{at}", f"there is no calendar {name!r}{_near(name, known)}")
        for at, name in missing
    ]
    raise Invalid(faults[0].sentence, *faults)


def _near(name: str, known: Sequence[str]) -> str:
    return nearest(name, known) or f"; PUT /v1/calendars/{name} makes it"


def insert_usage(tx: Transaction, made: Iterable[Task]) -> None:
    """Store the calendars of new tasks; no statement if they have none."""
    used = {each.id: calendars_of(each.definition.schedule) for each in made}
    names = frozenset[str]().union(*used.values())
    if not names:
        return
    ids = {row.name: row.id for row in tx.connection.execute(_named(names))}
    rows = [
        {"task_id": task_id, "calendar_id": ids[name]}
        for task_id, its in used.items()
        for name in sorted(its)
    ]
    tx.connection.execute(insert(task_calendar), rows)


def change_usage(tx: Transaction, existing: Task, changed: Task) -> None:
    """Store the calendars that a changed task uses, if they are others than before."""
    before, after = (calendars_of(each.definition.schedule) for each in (existing, changed))
    if before == after:
        return
    forget_usage(tx, changed.id)
    insert_usage(tx, [changed])


def forget_usage(tx: Transaction, task_id: Id) -> None:
    """Remove what a task uses."""
    tx.connection.execute(delete(task_calendar).where(task_calendar.c.task_id == task_id))


def users_of(
    connection: Connection, calendar_id: Id, limit: NameLimit = UNLIMITED
) -> CalendarUsage:
    """Return which tasks use a calendar, of those within a limit."""
    these = (
        task_calendar.c.calendar_id == calendar_id,
        task.c.deleted_at.is_(None),
        covers(limit, task.c.name),
    )
    joined = task_calendar.join(task, task.c.id == task_calendar.c.task_id)
    count = select(func.count()).select_from(joined).where(*these)
    first = select(task.c.name).select_from(joined).where(*these).order_by(task.c.name)
    names = connection.execute(first.limit(MOST_NAMED)).scalars()
    return CalendarUsage(tuple(names), connection.execute(count).scalar_one())


def _named(names: Collection[str]) -> Select[tuple[Id, str]]:
    return select(calendar.c.id, calendar.c.name).where(calendar.c.name.in_(names))
