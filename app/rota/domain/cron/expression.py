"""Cron with crontab's meaning: 0 and 7 are Sunday, both day fields restricted are OR-ed.

`cron.fields` reads the fields and cronsim matches them, in local time; `time_zones.zone` converts local times to
instants. Over DST the result is that of Debian's cron: a job at a fixed time fires once on both days, one with a
wildcard in its minute or hour follows elapsed time.
"""

from collections.abc import Iterator
from copy import copy
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from cronsim import CronSim

from rota.domain.cron import dialects as cron_dialects
from rota.domain.cron import fields as cron_fields
from rota.domain.cron.dialects import FIVE
from rota.domain.cron.fields import DAY, FIELDS, WEEKDAY, Item
from rota.domain.time_zones.zone import FIXED, WILD, Changes

MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

_WEEK, _DAYS, _HOURS = 7, 31, 24
_SECOND = timedelta(seconds=1)
_ANY_TIME = datetime(2024, 1, 1)  # noqa: DTZ001  # a local time
_MAX_LENGTH = 256
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class Fields(NamedTuple):
    """The values that the fields of an expression allow; weekdays are 0 (Sunday) to 6."""

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

    @property
    def any_day(self) -> bool:
        """Whether the day field allows every day of the month."""
        return len([day for day in self.days if day > 0]) == _DAYS

    @property
    def any_weekday(self) -> bool:
        """Whether the weekday field allows every weekday."""
        return len(self.weekdays) == _WEEK

    @property
    def every_day(self) -> bool:
        """Whether the expression fires on every day of its months."""
        complete = (self.any_day, self.any_weekday)
        return any(complete) if self.either_day else all(complete)

    @property
    def every_hour(self) -> bool:
        """Whether the expression fires in every hour of its days."""
        return len(self.hours) == _HOURS


class _Parsed(NamedTuple):
    minutes: CronSim  # copied and set to where it starts
    seconds: tuple[timedelta, ...]
    changes: Changes


def normalise(expression: str) -> str:
    """Return the expression with single spaces, `@` names in lower case, and `*` for `?`.

    Raises ValueError with a suggestion for an expression that is invalid or never fires.
    """
    if len(expression) > _MAX_LENGTH:
        raise ValueError(f"a cron expression has at most {_MAX_LENGTH} characters")
    text = " ".join(expression.split())
    if instead := cron_dialects.instead_of(text):
        raise ValueError(instead)
    if text.startswith("@"):
        text = text.lower()
        if text not in MACROS:
            raise ValueError(f"{text[:40]!r} is not known; use one of {', '.join(MACROS)}")
    _parse(text)
    return _without_question_marks(text)


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
    """Return the values that the fields of a valid expression allow."""
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


def split(expression: str) -> list[str]:
    """Return the fields of an expression as they are written; a macro such as `@daily` has those that it represents."""
    return MACROS.get(expression, expression).split()


def usual_changes(expression: str) -> Changes:
    """Return how crontab treats the local times of this expression when the clocks change."""
    return _parse(expression).changes


@lru_cache(maxsize=4096)
def _parse(expression: str) -> _Parsed:
    """Read an expression: its 5-field rule, the seconds at which it fires, and what it does over DST.

    cronsim repairs DST for 5 fields only, so 6 fields (seconds first) are the 5-field rule times the seconds.
    """
    written = split(expression)
    if len(written) not in {FIVE, FIVE + 1}:
        raise ValueError(cron_dialects.wrong_count(len(written)))
    kinds = FIELDS[-len(written) :]
    items = [cron_fields.parse(kind, text) for kind, text in zip(kinds, written, strict=True)]
    *seconds, minutes, hours, days, months, weekdays = items
    rule = CronSim("* * * * *", _ANY_TIME)
    rule.minutes, rule.hours, rule.days, rule.months = map(_numbers, (minutes, hours, days, months))
    rule.weekdays = set(weekdays)
    rule.day_and = any(text.startswith(("*", "?")) for text in (written[-3], written[-1]))
    _check_that_it_fires(rule, written[-2])
    wild = any(text.startswith("*") for text in written[-FIVE:][:2])
    at = sorted(_numbers(seconds[0])) if seconds else [0]
    return _Parsed(rule, tuple(timedelta(seconds=each) for each in at), WILD if wild else FIXED)


def _numbers(items: frozenset[Item]) -> set[int]:
    return {item for item in items if isinstance(item, int)}


def _check_that_it_fires(rule: CronSim, month: str) -> None:
    earliest = min(day if day > 0 else 1 for day in rule.days)
    if rule.day_and and earliest > max(_LONGEST[month - 1] for month in rule.months):
        raise ValueError(f"this expression never fires: month {month} has no day {earliest}")
    if next(copy(rule), None) is None:
        raise ValueError("this expression never fires")


def _without_question_marks(text: str) -> str:
    written = text.split()
    kinds = FIELDS[-len(written) :]
    return " ".join(
        "*" if each == "?" and kind in {DAY, WEEKDAY} else each
        for kind, each in zip(kinds, written, strict=True)
    )
