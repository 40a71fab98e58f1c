"""Cron with crontab's meaning: 0 and 7 are Sunday, both day fields restricted are OR-ed.

The fields are read and matched by cronsim, on the clock of the wall; `zones` turns local times into instants. Over DST
that gives what Debian's cron does: a job at a fixed time fires once on both days, one with a wildcard in its minute or
hour follows the time that passes.
"""

from collections.abc import Iterator
from copy import copy
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from cronsim import CronSim, CronSimError

from app.domain.zones import FIXED, WILD, Changes

MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

LAST: int = CronSim.LAST
LAST_WEEKDAY: int = CronSim.LAST_WEEKDAY

_FIELDS = 5
_WEEK = 7
_SECOND = timedelta(seconds=1)
_ANY_TIME = datetime(2024, 1, 1)  # noqa: DTZ001  # a time on the wall
_MAX_LENGTH = 256


class Fields(NamedTuple):
    """What the fields of an expression let through; weekdays are 0 (Sunday) to 6."""

    seconds: frozenset[int]
    minutes: frozenset[int]
    hours: frozenset[int]
    #: LAST is the last day of the month, LAST_WEEKDAY the last of Monday to Friday in it.
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    #: The n-th of a weekday in the month; LAST for the last one.
    nth_weekdays: frozenset[tuple[int, int]]
    #: A day that fits one of the two day fields is enough; else it has to fit both.
    either_day: bool


class _Parsed(NamedTuple):
    minutes: CronSim  # copied and set to where it starts
    seconds: tuple[timedelta, ...]
    changes: Changes


def normalise(expression: str) -> str:
    """Return the expression with single spaces and `@` names in lower case.

    Raises ValueError, which says what would be right, for one that cannot be read or never fires.
    """
    text = " ".join(expression.split())
    if text.startswith("@"):
        text = text.lower()
        if text not in MACROS:
            raise ValueError(f"{text[:40]!r} is not known; use one of {', '.join(MACROS)}")
    _parse(text)
    return text


def local_times(expression: str, start: datetime) -> Iterator[datetime]:
    """Yield the local times that match from `start` (local, included) on, strictly rising."""
    parsed = _parse(expression)
    rule = copy(parsed.minutes)
    rule.dt = start.replace(second=0, microsecond=0) - _SECOND  # it steps on by a second first
    for minute in rule:
        for second in parsed.seconds:
            local = minute + second
            if local >= start:
                yield local


@lru_cache(maxsize=1024)
def fields(expression: str) -> Fields:
    """Return what the fields of a readable expression let through."""
    parsed = _parse(expression)
    rule = parsed.minutes
    weekdays = {day % _WEEK for day in rule.weekdays if isinstance(day, int)}
    nth = {(day[0] % _WEEK, day[1]) for day in rule.weekdays if isinstance(day, tuple)}
    return Fields(
        seconds=frozenset(second.seconds for second in parsed.seconds),
        minutes=frozenset(rule.minutes),
        hours=frozenset(rule.hours),
        days=frozenset(rule.days),
        months=frozenset(rule.months),
        weekdays=frozenset(weekdays),
        nth_weekdays=frozenset(nth),
        either_day=not rule.day_and,
    )


def usual_changes(expression: str) -> Changes:
    """Return what crontab does with this expression when the clocks are changed."""
    return _parse(expression).changes


@lru_cache(maxsize=4096)
def _parse(expression: str) -> _Parsed:
    """Read an expression: its 5-field rule, the seconds at which it fires, and what it does over DST.

    cronsim repairs DST for 5 fields only, so 6 fields (seconds first) are the 5-field rule times the seconds.
    """
    fields = MACROS.get(expression, expression).split()
    if len(expression) > _MAX_LENGTH or len(fields) not in {_FIELDS, _FIELDS + 1}:
        raise ValueError(
            "a cron expression has 5 fields (minute hour day month weekday), or 6 with the seconds first"
        )
    minutes = " ".join(fields[-_FIELDS:])
    try:
        seconds = _seconds(fields[0]) if len(fields) > _FIELDS else (timedelta(),)
        next(CronSim(minutes, _ANY_TIME))
    except StopIteration:
        raise ValueError("this expression never fires") from None
    except CronSimError as error:
        raise ValueError(_explain(minutes, str(error))) from None
    wild = any(field.startswith("*") for field in fields[-_FIELDS:][:2])
    return _Parsed(CronSim(minutes, _ANY_TIME), seconds, WILD if wild else FIXED)


def _seconds(field: str) -> tuple[timedelta, ...]:
    every = CronSim(" ".join([field, *["*"] * _FIELDS]), _ANY_TIME).seconds
    return tuple(timedelta(seconds=second) for second in sorted(every))


def _explain(minutes: str, message: str) -> str:
    day, month = minutes.split()[2:4]
    if message == "Bad day-of-month" and day.isdigit() and 1 <= int(day) <= 31:
        return f"this expression never fires: month {month} has no day {day}"
    return f"{message}: this is not a cron field as crontab knows it"
