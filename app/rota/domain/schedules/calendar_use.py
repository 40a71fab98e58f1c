"""The named calendars that a schedule leaves out: which, where they are named, and their days filled in."""

from collections.abc import Callable, Iterator
from datetime import date, datetime
from typing import Any

from rota.domain.calendars.days import CalendarDays, ListedDays
from rota.domain.primitives.ids import Id
from rota.domain.schedules.base import Timed
from rota.domain.schedules.definitions import AnyOf, Planned
from rota.domain.schedules.exclusions import AnyExclusion, InCalendar
from rota.domain.time_zones.zone import zone
from rota.errors import Unplannable

_EMPTY = CalendarDays(Id(""), ListedDays(()))

#: Returns the days of a calendar by its name; None: there is none.
FindDays = Callable[[str], CalendarDays | None]


def uses_calendars(schedule: Planned) -> bool:
    """Return whether a schedule, or a member of it, leaves out the days of a calendar."""
    if not isinstance(schedule, Timed):
        return False
    # Normalised exclusions have calendars at their end.
    if schedule.exclude is not None and isinstance(schedule.exclude[-1], InCalendar):
        return True
    return isinstance(schedule, AnyOf) and any(map(uses_calendars, schedule.schedules))


def calendars_of(schedule: Planned) -> frozenset[str]:
    """Return the names of the calendars that a schedule and its members leave out."""
    if not uses_calendars(schedule):
        return frozenset()
    return frozenset(name for _, name in _places(schedule))


def places_of(schedule: Planned) -> Iterator[tuple[str, str]]:
    """Yield (pointer of the `exclude` below the schedule, name) for each calendar."""
    if uses_calendars(schedule):
        yield from _places(schedule)


def calendar_leaving_out(schedule: Planned, first: datetime, last: datetime) -> str | None:
    """Return the calendar of a schedule that has all the days from one time to another; None: none, or it is unknown.

    Those of members of `any_of` are not looked at: a day of theirs does not leave out the fire times of the others.
    """
    if not isinstance(schedule, Timed) or not uses_calendars(schedule):
        return None
    try:
        place = zone(getattr(schedule, "timezone", None) or "UTC")
        days = [at.astimezone(place).date() for at in (first, last)]
        there = (each for each in schedule.exclude or () if isinstance(each, InCalendar))
        return next((each.name for each in there if _has_all(each, *days)), None)
    except Unplannable:
        return None


def with_days(schedule: Planned, find: FindDays) -> Planned:
    """Return a schedule with the days of its calendars; of those that are not there nothing can be computed."""
    if not isinstance(schedule, Timed) or not uses_calendars(schedule):
        return schedule
    changed: dict[str, Any] = {}
    if schedule.exclude is not None:
        changed["exclude"] = tuple(_with_days(each, find) for each in schedule.exclude)
    if isinstance(schedule, AnyOf):
        changed["schedules"] = tuple(with_days(each, find) for each in schedule.schedules)
    return schedule.model_copy(update=changed)


def with_no_days(schedule: Planned) -> Planned:
    """Return a schedule whose calendars are empty."""
    return with_days(schedule, lambda _: _EMPTY)


def without_days(schedule: Planned) -> Planned:
    """Return a schedule as a client declares it, so that it can be compared with another one."""
    return with_days(schedule, lambda _: None)


def _has_all(calendar: InCalendar, day: date, last: date) -> bool:
    following: date | None = day
    while calendar.days is not None and following is not None and following <= last:
        following = calendar.days.rule.end(following)
    return calendar.days is not None and following is not None


def _with_days(exclusion: AnyExclusion, find: FindDays) -> AnyExclusion:
    if not isinstance(exclusion, InCalendar):
        return exclusion
    return InCalendar(exclusion.name, find(exclusion.name))


def _places(schedule: Planned) -> Iterator[tuple[str, str]]:
    if not isinstance(schedule, Timed):
        return
    for each in schedule.exclude or ():
        if isinstance(
            each, InCalendar
        ):  # exclusions are kept in order, so that their places are not those given
            yield "/exclude", each.name
    if isinstance(schedule, AnyOf):
        for number, member in enumerate(schedule.schedules):
            for pointer, name in _places(member):
                yield f"/schedules/{number}{pointer}", name
