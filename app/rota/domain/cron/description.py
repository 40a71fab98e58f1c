"""Cron expressions in plain English. A sentence states the values of the fields, not their notation.

Tests read the sentences back and compare them with the fire times. tests/domain/cron/test_description.py compares them
with those of cron-descriptor, and so justifies this module.
"""

from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache
from itertools import pairwise, product

from rota.domain.cron import expression as cron
from rota.domain.cron.expression import Fields
from rota.domain.cron.fields import LAST, LAST_WEEKDAY
from rota.domain.primitives.texts import english

_MINUTES, _WEEK, _MONTHS = 60, 7, 12
_HOUR, _DAY = 3_600, 86_400
# How many times of day are listed; more, and many that are evenly spaced, are described by their step.
_MOST_TIMES = 6
_MANY = 5
_MOST_SPANS = 4
# Numbers that are evenly apart are a span from so many on.
_SPAN = 3
_TOP = frozenset({0})
_NAMES = (*english.WEEKDAYS, *english.MONTHS)


@lru_cache(maxsize=1024)
def describe_cron(expression: str) -> str:
    """Return when an expression fires, such as `at 09:00 on Monday to Friday`; without its zone."""
    fields = cron.fields(expression)
    times, days = _times(fields), _days(fields)
    if fields.every_day and "every" not in times:
        times += " every day"
    return times + _joined(times, days)


def _joined(times: str, days: str) -> str:
    """Return days as they follow times: not as if they belonged to the last of those only, nor as one span of both."""
    listed = ", and at " in times or "hours beginning at " in times
    spanned = " from " in times and days.startswith("from ")
    if spanned and days.startswith(_NAMES, len("from ")):
        days = days.removeprefix("from ")
    return days and f"{', ' if listed or spanned else ' '}{days}"


def _times(fields: Fields) -> str:
    if fields.every_hour:
        return _in_every_hour(fields)
    of_hour = _seconds_of_hour(fields)
    at = [hour * _HOUR + each for hour in sorted(fields.hours) for each in of_hour]
    if len(at) < _MANY or (len(at) <= _MOST_TIMES and english.even_step(at) is None):
        return f"at {english.and_list(_clock(at))}"
    return _spans(at) or _by_hours(fields, at)


def _seconds_of_hour(fields: Fields) -> list[int]:
    return sorted(
        60 * minute + second for minute, second in product(fields.minutes, fields.seconds)
    )


def _clock(at: Sequence[int]) -> list[str]:
    """Return times of day as clocks show them, all of them with seconds if one has some."""
    times = [(each // _HOUR, each // 60 % 60, each % 60) for each in at]
    if any(each % 60 for each in at):
        return [f"{hour:02d}:{minute:02d}:{second:02d}" for hour, minute, second in times]
    return [f"{hour:02d}:{minute:02d}" for hour, minute, _ in times]


def _spans(at: Sequence[int]) -> str | None:
    """Return the times of a day as spans in which they are evenly apart, if there are not many, and single times."""
    step = min(later - earlier for earlier, later in pairwise(at))
    runs = _runs(at, step)
    every = english.every(timedelta(seconds=step))
    if len(runs) == 1 and at[0] == 0 and at[-1] + step == _DAY:
        return every
    spans = [run for run in runs if len(run) >= _SPAN]
    single = [each for run in runs if len(run) < _SPAN for each in run]
    if not spans or len(spans) > _MOST_SPANS or len(single) > _MOST_TIMES:
        return None
    shown = dict(zip(at, _clock(at), strict=True))
    named = english.and_list([f"from {shown[run[0]]} to {shown[run[-1]]}" for run in spans])
    others = english.and_list([shown[each] for each in single])
    return f"{every} {named}" + (f", and at {others}" if single else "")


def _runs(at: Sequence[int], step: int) -> list[list[int]]:
    runs: list[list[int]] = []
    for each in at:
        if runs and each - runs[-1][-1] == step:
            runs[-1].append(each)
        else:
            runs.append([each])
    return runs


def _in_every_hour(fields: Fields) -> str:
    if fields.seconds == fields.minutes == _TOP:
        return "every hour"
    words = _in_an_hour(fields)
    if len(fields.minutes) == _MINUTES or (fields.seconds == _TOP and _is_rate(words)):
        return words
    return f"{words} of every hour"


def _by_hours(fields: Fields, at: Sequence[int]) -> str:
    """Return what it does in an hour, and the hours in which it does that."""
    shown = _clock(at)
    if len(at) == len(fields.hours):
        return f"at {english.and_list(shown)}"
    words = _in_an_hour(fields)
    hours = sorted(fields.hours)
    step = english.even_step(hours)
    if len(hours) >= (_SPAN if step == 1 else _MANY) and step is not None:
        every = "every hour" if step == 1 else f"every {english.nth(step)} hour"
        return f"{words} of {every} from {shown[0]} to {shown[-1]}"
    begins = english.and_list(_clock([hour * _HOUR for hour in hours]))
    return f"{words} {_of(words)} the hour{'s' * (len(hours) > 1)} beginning at {begins}"


def _in_an_hour(fields: Fields) -> str:
    """Return what it does in an hour: at which minutes or, where there are some, at which seconds of them."""
    if fields.seconds == _TOP:
        return _part(fields.minutes, "minute")
    words = _part(fields.seconds, "second")
    if len(fields.minutes) == _MINUTES:
        return words if _is_rate(words) else f"{words} of every minute"
    return f"{words} {_of(words)} {_minutes(fields.minutes)}"


def _part(values: frozenset[int], unit: str) -> str:
    ordered = sorted(values)
    step = english.even_step(ordered)
    if step is not None and ordered[0] == 0 and ordered[-1] + step == _MINUTES:
        return f"every {unit}" if step == 1 else f"every {step} {unit}s"
    if _is_span(ordered, step):
        every = unit if step == 1 else f"{step} {unit}s"
        return f"every {every} from {unit} {ordered[0]} to {unit} {ordered[-1]}"
    return f"at {unit}{'s' * (len(values) > 1)} {english.numbers(values)}"


def _minutes(values: frozenset[int]) -> str:
    ordered = sorted(values)
    step = english.even_step(ordered)
    if step is not None and step > 1 and _is_span(ordered, step):
        return f"every {english.nth(step)} minute from minute {ordered[0]} to minute {ordered[-1]}"
    return f"minute{'s' * (len(values) > 1)} {english.numbers(values)}"


def _is_span(ordered: list[int], step: int | None) -> bool:
    return step is not None and len(ordered) >= (_SPAN if step == 1 else _MOST_TIMES)


def _is_rate(words: str) -> bool:
    """Return whether a phrase is a rate without a beginning and an end."""
    return words.startswith("every") and " from " not in words


def _of(words: str) -> str:
    return "in" if _is_rate(words) else "of"


def _days(fields: Fields) -> str:
    """Return the days and the months, such as `on the 1st of May`; of each day of each month, nothing."""
    in_months = _in_months(fields)
    if fields.every_day:
        return in_months
    if not fields.either_day and fields.any_weekday:
        return _of_months(_dates(fields), fields)
    if not fields.either_day and fields.any_day:
        if fields.weekdays:
            return f"{_weekdays(fields)} {in_months}".rstrip()
        return _of_months(_nth_weekdays(fields), fields)
    dates, weekdays = f"{_dates(fields)} of the month", _weekdays(fields)
    both = f"{dates} and also {weekdays}" if fields.either_day else f"{weekdays}, but only {dates}"
    return f"{both}, {in_months}" if in_months else both


def _of_months(days: str, fields: Fields) -> str:
    months = _months(fields)
    if not months or any(map(english.is_a_span, months)):
        return f"{days} of the month {_in_months(fields)}".rstrip()
    return f"{days} of {english.and_list(months)}"


def _in_months(fields: Fields) -> str:
    months = _months(fields)
    return english.placed(months, "in") if months else ""


def _months(fields: Fields) -> list[str]:
    """Return the months, of many of them those in a row as a span; of all of them, nothing."""
    months = sorted(month - 1 for month in fields.months)
    if len(months) == _MONTHS:
        return []
    if len(months) < _MANY:
        return [english.MONTHS[month] for month in months]
    return english.ring_parts(months, english.MONTHS)


def _dates(fields: Fields) -> str:
    parts = english.days_of_month({day for day in fields.days if day > 0})
    if LAST in fields.days:
        parts.append("the last day")
    if LAST_WEEKDAY in fields.days:
        parts.append("the last working day (Monday to Friday)")
    return english.placed(parts, "on")


def _weekdays(fields: Fields) -> str:
    days = {(day - 1) % _WEEK for day in fields.weekdays}
    parts = english.ring_parts(days, english.WEEK) if days else []
    if not fields.nth_weekdays:
        return english.placed(parts, "on")
    return f"{english.placed([*parts, *_nth_parts(fields)], 'on')} of the month"


def _nth_weekdays(fields: Fields) -> str:
    return english.placed(_nth_parts(fields), "on")


def _nth_parts(fields: Fields) -> list[str]:
    """Return the parts of a list: `the first and last Monday`, `the third Wednesday`."""
    found: dict[int, list[int]] = {}
    for day, number in sorted(fields.nth_weekdays, key=_in_month):
        found.setdefault(day, []).append(number)
    return [
        f"the {english.and_list([_which(each) for each in numbers])} {english.WEEKDAYS[day]}"
        for day, numbers in found.items()
    ]


def _in_month(nth_weekday: tuple[int, int]) -> tuple[bool, int, int]:
    day, number = nth_weekday
    return number == LAST, number, day or _WEEK


def _which(number: int) -> str:
    return "last" if number == LAST else english.ordinal(number)
