"""Days that some months do not have: which of them a rule names, and where nothing fires for it."""

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

from rota.domain.cron import expression as cron
from rota.domain.primitives.finding import Finding
from rota.domain.primitives.texts import english
from rota.domain.schedules.calendar import LEAP_DAY, SHORTEST_MONTH
from rota.domain.schedules.rules import Calendar, Cron
from rota.domain.time_zones.zone import zone

_TERM = re.compile(r"(\d+)(?:-(\d+))?(?:/(\d+))?", re.ASCII)
_MONTHS, _LONGEST_MONTH, _LEAP_FEBRUARY = 12, 31, 29
_FEBRUARY = frozenset({2})
# So far ahead is looked, and at the least at so many periods: until then each of them has come once.
_AHEAD, _LEAST = 8, 12
_LAST_YEAR = 8_999
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class _Bounds:
    """The first and the last date on which a rule may fire."""

    first: date
    last: date


def month_end_of_cron(schedule: Cron, day: date) -> Iterator[Finding]:
    """Yield that an expression names a day which some of its months do not have."""
    days = cron.split(schedule.expression)[-3]
    fields = cron.fields(schedule.expression)
    named = {each for term in days.split(",") for each in _late(term)} & fields.days
    if not named or _is_daily(fields):
        return
    bounds = _bounds(schedule, day)
    months = (
        (year, month)
        for year in range(bounds.first.year, bounds.first.year + _AHEAD + 1)
        for month in sorted(fields.months)
    )
    lacking = _lacking(months, bounds, max(named))
    if lacking:
        yield _month_end(lacking, max(named), "'L' is the last day of each month.")


def month_end_of_calendar(
    schedule: Calendar, day: date, anchored_at: datetime
) -> Iterator[Finding]:
    """Yield that a calendar names a day which some of its months, or of its years, do not have."""
    if schedule.missing_day != "skip":
        return
    phase = (schedule.start_at or anchored_at).astimezone(zone(schedule.timezone)).date()
    bounds = _bounds(schedule, day)
    advice = "missing_day: last takes the last day of the month instead."
    late = [each for each in schedule.days if isinstance(each, int) and each > SHORTEST_MONTH]
    if late:
        lacking = _lacking(_months_of(schedule, phase, bounds), bounds, max(late))
        if lacking:
            yield _month_end(lacking, max(late), advice)
    if LEAP_DAY in schedule.days:
        yield from _leap_day(schedule, phase, bounds, advice)


def _late(term: str) -> Iterator[int]:
    """Yield the days above 28 that a term names; what just continues until the end of the month names none."""
    found = _TERM.fullmatch(term)
    if found is None:
        return
    start, step = int(found[1]), int(found[3] or 1)
    end = int(found[2] or (_LONGEST_MONTH if found[3] else start))
    if start >= SHORTEST_MONTH or (step > 1 and start > 1 and found[2]):
        yield from (each for each in range(start, end + 1, step) if each > SHORTEST_MONTH)


def _is_daily(fields: cron.Fields) -> bool:
    """Return whether every day will do, so that no day is missed."""
    return fields.any_day or (fields.either_day and fields.any_weekday)


def _bounds(schedule: Cron | Calendar, day: date) -> _Bounds:
    place = zone(schedule.timezone)
    first = day
    if schedule.start_at is not None:
        first = max(day, schedule.start_at.astimezone(place).date())
    last = date(_LAST_YEAR, _MONTHS, 31)
    if schedule.end_at is not None:
        last = schedule.end_at.astimezone(place).date()
    return _Bounds(first, last)


def _months_of(schedule: Calendar, phase: date, bounds: _Bounds) -> Iterator[tuple[int, int]]:
    """Yield the months that a calendar comes to, so many of them that each kind has come."""
    origin = phase.year * _MONTHS + phase.month - 1
    begin = bounds.first.year * _MONTHS + bounds.first.month - 1
    first = begin + (origin - begin) % schedule.step
    for number in range(first, first + _AHEAD * _MONTHS * schedule.step, schedule.step):
        yield number // _MONTHS, number % _MONTHS + 1


def _lacking(months: Iterator[tuple[int, int]], bounds: _Bounds, day: int) -> set[int]:
    """Return the months of the year that do not have a day, where they end within the bounds."""
    known = ((year, month) for year, month in months if year <= _LAST_YEAR)
    ends = (date(year, month, monthrange(year, month)[1]) for year, month in known)
    return {end.month for end in ends if end.day < day and bounds.first <= end <= bounds.last}


def _month_end(months: set[int], day: int, advice: str) -> Finding:
    named = english.numbers({month - 1 for month in months}, english.MONTHS)
    if months == _FEBRUARY and day == _LEAP_FEBRUARY:
        named += " (except in leap years)"
    return Finding(
        "month_end",
        f"Not every month has a day {day}: nothing fires for it in {named}. {advice}",
    )


def _leap_day(schedule: Calendar, phase: date, bounds: _Bounds, advice: str) -> Iterator[Finding]:
    """Yield in which years there is a 29 February, unless it is in all of those that the calendar comes to."""
    begin, step = bounds.first.year, schedule.step
    first = begin + (phase.year - begin) % step
    last = min(first + max(_AHEAD, _LEAST * step), _LAST_YEAR, bounds.last.year)
    years = range(first, last + 1, step)
    with_it = [year for year in years if monthrange(year, 2)[1] == _LEAP_FEBRUARY]
    if len(with_it) == len(years):
        return
    if not with_it:
        when = "none of the years that it comes to is one"
    elif step == 1 and bounds.last.year == _LAST_YEAR:
        when = "it fires every four years"
    else:
        when = f"it fires for it in {english.and_list([str(year) for year in with_it[:_SHOWN]])}"
        when += " and so on" if len(with_it) > _SHOWN else ""
    yield Finding("month_end", f"Only leap years have a 29 February: {when}. {advice}")
