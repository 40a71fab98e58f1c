"""Recurrence rules of iCalendar (RFC 5545, 3.3.10), by days.

Only days matter here, so a rule is a walk over days whose steps are counted: what it costs does not depend on how often
something happens by it. Rules that repeat within a day are refused.
"""

from calendar import monthrange
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, date, timedelta
from enum import StrEnum
from itertools import count
from typing import Any, assert_never

from rota.domain.calendars.walk import Walk

_DAY = timedelta(days=1)
_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_DAYS_OF_WEEK = len(_WEEKDAYS)
_MONTHS = 12
# Days of the first week of a year that lie in it, at least (ISO 8601).
_MOST_OF_A_WEEK = 4
_PARTS = frozenset(
    {
        *("FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYMONTH", "BYWEEKNO", "BYYEARDAY"),
        *("BYMONTHDAY", "BYDAY", "BYSETPOS"),
    }
)


class Frequency(StrEnum):
    """The period of a rule."""

    DAILY = "DAILY"
    WEEKLY = "WEEKLY"
    MONTHLY = "MONTHLY"
    YEARLY = "YEARLY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrence:
    """A rule; empty fields leave nothing out. Weekdays are 0 (Monday) to 6, with the number of `1MO`, or 0."""

    frequency: Frequency
    interval: int = 1
    count: int | None = None
    #: The last day that may be one of its days.
    until: date | None = None
    week_start: int = 0
    months: frozenset[int] = frozenset()
    weeks: frozenset[int] = frozenset()
    year_days: frozenset[int] = frozenset()
    month_days: frozenset[int] = frozenset()
    weekdays: frozenset[tuple[int, int]] = frozenset()
    positions: tuple[int, ...] = ()

    def days(self, start: date, horizon: date, walk: Walk) -> Iterator[date]:
        """Yield the days of the rule from `start`, which is the first of them, up to `horizon`, in order.

        Raises ValueError when the steps of `walk` are used up.
        """
        rule = _with_days_of(self, start)
        last = horizon if self.until is None else min(horizon, self.until)
        left = self.count
        if start > last:
            return
        yield start
        for day in _all(rule, start, last, walk):
            if left is not None:
                left -= 1
                if left < 1:
                    return
            yield day


def parse(parts: Mapping[str, Sequence[Any]], until: date | None) -> Recurrence:
    """Return the rule of the parts that the library has read; `until` as a day. Raises ValueError."""
    given = {name.upper(): values for name, values in parts.items()}
    unknown = sorted(given.keys() - _PARTS)
    frequency = str(given.get("FREQ", [""])[0])
    if frequency not in set(Frequency):
        raise ValueError(
            f"it repeats by {', '.join(Frequency)}, not by {frequency[:20] or 'nothing'}"
        )
    if unknown:
        raise ValueError(f"{', '.join(unknown)[:60]} is not read here: only days count")
    rule = Recurrence(
        frequency=Frequency(frequency),
        interval=_number(given, "INTERVAL", 1) or 1,
        count=_number(given, "COUNT", 1),
        until=until,
        week_start=_WEEKDAYS.index(str(given.get("WKST", ["MO"])[0])),
        months=_numbers(given, "BYMONTH", 1, _MONTHS),
        weeks=_numbers(given, "BYWEEKNO", -53, 53),
        year_days=_numbers(given, "BYYEARDAY", -366, 366),
        month_days=_numbers(given, "BYMONTHDAY", -31, 31),
        weekdays=frozenset(map(_weekday, given.get("BYDAY", ()))),
        positions=tuple(sorted(_numbers(given, "BYSETPOS", -366, 366))),
    )
    _check(rule)
    return rule


def _check(rule: Recurrence) -> None:
    if rule.weeks and rule.frequency is not Frequency.YEARLY:
        raise ValueError("BYWEEKNO goes with FREQ=YEARLY")
    by_period = rule.frequency in {Frequency.MONTHLY, Frequency.YEARLY}
    if any(number for number, _ in rule.weekdays) and (not by_period or rule.weeks):
        raise ValueError(
            "a BYDAY with a number goes with FREQ=MONTHLY, or FREQ=YEARLY without BYWEEKNO"
        )


def _number(given: Mapping[str, Sequence[Any]], name: str, least: int) -> int | None:
    if name not in given:
        return None
    number = int(given[name][0])
    if number < least:
        raise ValueError(f"{name} is at least {least}")
    return number


def _numbers(
    given: Mapping[str, Sequence[Any]], name: str, least: int, most: int
) -> frozenset[int]:
    found = frozenset(int(each) for each in given.get(name, ()))
    if any(not least <= each <= most or not each for each in found):
        raise ValueError(f"{name} is from {least} to {most}, and not 0")
    return found


def _weekday(text: Any) -> tuple[int, int]:
    name = str(text)
    number = int(name[:-2] or 0)
    if abs(number) > 53:  # the weeks of a year
        raise ValueError("BYDAY has numbers from -53 to 53")
    return number, _WEEKDAYS.index(name[-2:].upper())


def _with_days_of(rule: Recurrence, start: date) -> Recurrence:
    """Return the rule with what it takes from its first day: a yearly one the month and the day, for example."""
    if rule.month_days or rule.weekdays or rule.year_days or rule.weeks:
        return rule
    changed: dict[str, Any] = {}
    match rule.frequency:
        case Frequency.YEARLY:
            changed = {"month_days": frozenset({start.day})}
            changed["months"] = rule.months or frozenset({start.month})
        case Frequency.MONTHLY:
            changed = {"month_days": frozenset({start.day})}
        case Frequency.WEEKLY:
            changed = {"weekdays": frozenset({(0, start.weekday())})}
        case Frequency.DAILY:
            pass
        case _:
            assert_never(rule.frequency)
    fields = {name: getattr(rule, name) for name in Recurrence.__slots__}
    return Recurrence(**fields | changed)


def _all(rule: Recurrence, start: date, last: date, walk: Walk) -> Iterator[date]:
    """Yield the days of a rule after `start`, up to `last`."""
    for period in _periods(rule, start, last, walk):
        days = [day for day in _days(rule, period, walk) if _fits(rule, day)]
        for day in _at_positions(days, rule.positions):
            if day > last:
                return
            if day > start:
                yield day


def _periods(rule: Recurrence, start: date, last: date, walk: Walk) -> Iterator[tuple[date, date]]:
    """Yield the periods of a rule, as their first day and the day after them."""
    for number in count(0, rule.interval):
        walk.step()
        period = _period(rule, start, number)
        if period is None or period[0] > last:
            return
        yield period


def _period(rule: Recurrence, start: date, number: int) -> tuple[date, date] | None:
    """Return the period that is so many after the one that holds `start`; None beyond the calendar."""
    try:
        match rule.frequency:
            case Frequency.DAILY:
                first = start + number * _DAY
                return first, first + _DAY
            case Frequency.WEEKLY:
                back = (start.weekday() - rule.week_start) % _DAYS_OF_WEEK
                first = start + (number * _DAYS_OF_WEEK - back) * _DAY
                return first, first + _DAYS_OF_WEEK * _DAY
            case Frequency.MONTHLY:
                months = start.year * _MONTHS + start.month - 1 + number
                return _month(months), _month(months + 1)
            case Frequency.YEARLY:
                return date(start.year + number, 1, 1), date(start.year + number + 1, 1, 1)
            case _:
                assert_never(rule.frequency)
    except (OverflowError, ValueError):
        return None


def _month(number: int) -> date:
    return date(number // _MONTHS, number % _MONTHS + 1, 1)


def _days(rule: Recurrence, period: tuple[date, date], walk: Walk) -> Iterator[date]:
    """Yield the days of a period that may fit; those of the month alone are found without a walk over all others."""
    day, end = period
    while day < end:
        in_month = _first_of_next_month(day)
        if rule.months and day.month not in rule.months and rule.frequency is not Frequency.DAILY:
            day = in_month
            continue
        walk.step()
        if rule.month_days and day.day == 1 and in_month <= end:
            yield from _of_month(day, rule.month_days)
            day = in_month
        else:
            yield day
            day += _DAY


def _of_month(first: date, numbers: frozenset[int]) -> list[date]:
    length = monthrange(first.year, first.month)[1]
    found = {number if number > 0 else length + 1 + number for number in numbers}
    return [first.replace(day=day) for day in sorted(found) if 1 <= day <= length]


def _first_of_next_month(day: date) -> date:
    if (day.year, day.month) == (MAXYEAR, _MONTHS):
        return date.max
    return _month(day.year * _MONTHS + day.month)


def _fits(rule: Recurrence, day: date) -> bool:
    if rule.months and day.month not in rule.months:
        return False
    length = monthrange(day.year, day.month)[1]
    if rule.month_days and not rule.month_days & {day.day, day.day - length - 1}:
        return False
    first, last = date(day.year, 1, 1), date(day.year, 12, 31)
    of_year = {(day - first).days + 1, (day - last).days - 1}
    if rule.year_days and not rule.year_days & of_year:
        return False
    if rule.weeks and not rule.weeks & _week_numbers(day, rule.week_start):
        return False
    return not rule.weekdays or bool(rule.weekdays & _weekday_numbers(rule, day, length))


def _weekday_numbers(rule: Recurrence, day: date, length: int) -> set[tuple[int, int]]:
    """Return as what weekdays a day counts: as any, as the n-th and as the n-th last one of its month or year."""
    weekday = day.weekday()
    in_year = rule.frequency is Frequency.YEARLY and not rule.months
    before = day.timetuple().tm_yday - 1 if in_year else day.day - 1
    after = (date(day.year, 12, 31) - day).days if in_year else length - day.day
    nth, nth_last = before // _DAYS_OF_WEEK + 1, after // _DAYS_OF_WEEK + 1
    return {(0, weekday), (nth, weekday), (-nth_last, weekday)}


def _week_numbers(day: date, week_start: int) -> set[int]:
    """Return the number of the week that holds a day, from the beginning and from the end of the week's year."""
    begins = day - (day.weekday() - week_start) % _DAYS_OF_WEEK * _DAY
    year = (begins + (_MOST_OF_A_WEEK - 1) * _DAY).year
    first, following = _first_week(year, week_start), _first_week(year + 1, week_start)
    number, weeks = (
        (begins - first).days // _DAYS_OF_WEEK + 1,
        (following - first).days // _DAYS_OF_WEEK,
    )
    return {number, number - weeks - 1}


def _first_week(year: int, week_start: int) -> date:
    """Return the first day of the first week of a year: the one with most of its days in it."""
    within = date(year, 1, _MOST_OF_A_WEEK)
    return within - (within.weekday() - week_start) % _DAYS_OF_WEEK * _DAY


def _at_positions(days: Sequence[date], positions: Sequence[int]) -> Sequence[date]:
    if not positions:
        return days
    at = {position - 1 if position > 0 else len(days) + position for position in positions}
    return [days[each] for each in sorted(at) if 0 <= each < len(days)]
