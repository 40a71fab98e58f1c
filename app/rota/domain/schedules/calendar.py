"""Calendar schedules: a time of day on every n-th day, week, month or year, as local times of a place."""

import re
from calendar import monthrange
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, date, datetime, time
from itertools import count
from typing import Any, Literal, LiteralString, assert_never

from pydantic_core import PydanticCustomError

Unit = Literal["day", "week", "month", "year"]
Day = int | str

#: Days up to this one are in every month, this one only in leap years.
SHORTEST_MONTH, LONGEST_MONTH, LEAP_DAY = 28, 31, "02-29"
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEKDAY_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_WEEKDAY = dict(zip((*WEEKDAYS, *_WEEKDAY_NAMES), WEEKDAYS * 2, strict=True))
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?", re.ASCII)
_MONTH_DAY = re.compile(r"\d\d-\d\d", re.ASCII)
_LEAP_YEAR = 2000
_WANTED: dict[Unit, str] = {
    "day": "every day has the time: 'day' goes with a week, month or year",
    "week": 'name days of the week in \'day\': "mon", or several: ["mon", "thu"]',
    "month": "name days of the month in 'day': 1 to 31 or \"last\", or several: [1, 15]",
    "year": 'name days of the year in \'day\': "12-24" (month-day), or several: ["06-30", "12-31"]',
}


@dataclass(frozen=True, slots=True)
class Pattern:
    """What a calendar schedule says, apart from its zone."""

    unit: Unit
    step: int
    at: time
    days: tuple[Day, ...]  # none with the unit `day`
    keep_missing: bool  # days that do not exist are the month's last one, not left out


def parse_time(value: Any) -> str:
    """Return a time of day as `HH:MM`, or `HH:MM:SS` if it has seconds; raises ValueError with what would be right."""
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise PydanticCustomError(
            "time", "give a time of day, 'HH:MM' or 'HH:MM:SS' (00:00 to 23:59:59)"
        )
    return value.removesuffix(":00") if len(value) > len("HH:MM") else value


def parse_days(value: Any, unit: Unit) -> Day | tuple[Day, ...] | None:
    """Return the days in order, each once, a single one by itself; raises ValueError with what would be right."""
    if unit == "day":
        if value is None:
            return None
        raise _wrong(unit)
    if value is None:
        raise _wrong(unit, kind="missing")
    several = value if isinstance(value, list | tuple) else [value]
    days = {_read_day(each, unit) for each in several}
    ordered = tuple(sorted(days, key=lambda day: _order(day, unit)))
    if not ordered:
        raise _wrong(unit)
    return ordered[0] if len(ordered) == 1 else ordered


def local_times(pattern: Pattern, phase: date, start: datetime) -> Iterator[datetime]:
    """Yield the local times from `start` (local, included) on, strictly rising.

    The period that holds `phase` is one with fire times; with a step above 1 every step-th period before and after it.
    """
    number, origin = (_number(pattern.unit, day) for day in (start.date(), phase))
    for step in count((number - origin) // pattern.step):
        days = _dates(pattern, origin + step * pattern.step)
        if days is None:
            return
        for day in days:
            at = datetime.combine(day, pattern.at)
            if at >= start:
                yield at


def _number(unit: Unit, day: date) -> int:
    """Return the number of the period that holds the day, counted from the year 1 (weeks from Monday)."""
    match unit:
        case "day":
            return day.toordinal()
        case "week":
            return (day.toordinal() - 1) // 7
        case "month":
            return day.year * 12 + day.month - 1
        case "year":
            return day.year
        case _:
            assert_never(unit)


def _dates(pattern: Pattern, number: int) -> Sequence[date] | None:
    """Return the dates of a period in order, or None if it lies beyond the calendar."""
    if number < 1 or number > _number(pattern.unit, date(MAXYEAR - 1, 1, 1)):
        return None if number > 0 else ()
    match pattern.unit:
        case "day":
            return (date.fromordinal(number),)
        case "week":
            monday = number * 7 + 1
            return [date.fromordinal(monday + WEEKDAYS.index(str(day))) for day in pattern.days]
        case "month":
            found = {_of_month(pattern, number, day) for day in pattern.days}
        case "year":
            found = {_of_year(pattern, number, str(day)) for day in pattern.days}
        case _:
            assert_never(pattern.unit)
    return sorted(day for day in found if day is not None)


def _of_month(pattern: Pattern, number: int, day: Day) -> date | None:
    year, month = number // 12, number % 12 + 1
    if isinstance(day, int):
        return _existing(year, month, day, keep_missing=pattern.keep_missing)
    return _existing(year, month, LONGEST_MONTH, keep_missing=True)


def _of_year(pattern: Pattern, year: int, day: str) -> date | None:
    return _existing(year, int(day[:2]), int(day[3:]), keep_missing=pattern.keep_missing)


def _existing(year: int, month: int, day: int, *, keep_missing: bool) -> date | None:
    """Return a date; if the month has no such day, its last one (`keep_missing`) or None."""
    last = monthrange(year, month)[1]
    if day <= last:
        return date(year, month, day)
    return date(year, month, last) if keep_missing else None


def _read_day(value: Any, unit: Unit) -> Day:
    word = value.lower() if isinstance(value, str) else ""
    match unit:
        case "week" if word in _WEEKDAY:
            return _WEEKDAY[word]
        case "month" if word == "last":
            return word
        case "month" if type(value) is int and 1 <= value <= LONGEST_MONTH:
            return value
        case "year" if _MONTH_DAY.fullmatch(word):
            return _read_month_day(word)
        case "day" | "week" | "month" | "year":
            raise _wrong(unit)
        case _:
            assert_never(unit)


def _read_month_day(value: str) -> str:
    month, day = int(value[:2]), int(value[3:])
    if not 1 <= month <= 12 or not 1 <= day <= monthrange(_LEAP_YEAR, month)[1]:
        raise PydanticCustomError("day", "{reason}", {"reason": f"no year has the day {value}"})
    return value


def _order(day: Day, unit: Unit) -> Any:
    if unit == "week":
        return WEEKDAYS.index(str(day))
    return (isinstance(day, str), day)


def _wrong(unit: Unit, kind: LiteralString = "day") -> PydanticCustomError:
    return PydanticCustomError(kind, "{reason}", {"reason": _WANTED[unit]})
