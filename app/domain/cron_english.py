"""Cron expressions in plain English. What the fields let through is told, not how they are written."""

from itertools import product

from app.domain import cron, english
from app.domain.cron import LAST, LAST_WEEKDAY, Fields

_HOURS, _MINUTES, _WEEK, _MONTHS, _DAYS = 24, 60, 7, 12, 31
# So many times of day are listed; of more, the hours and minutes are told apart.
_MOST_TIMES = 6
_TOP = frozenset({0})
_NIGHTLY = frozenset(range(_HOURS))


def describe_cron(expression: str) -> str:
    """Return when an expression fires, such as `at 09:00 on Monday to Friday`; without its zone."""
    fields = cron.fields(expression)
    return f"{_times(fields)}{_days(fields)}"


def every_hour(fields: Fields) -> bool:
    """Return whether it fires in each hour of its days."""
    return fields.hours == _NIGHTLY


def every_day(fields: Fields) -> bool:
    """Return whether any day of the month, and any weekday, will do."""
    return _any_day(fields) and _any_weekday(fields)


def _times(fields: Fields) -> str:
    if every_hour(fields):
        return _within_hours(fields)
    if len(fields.seconds) == 1 and len(fields.hours) * len(fields.minutes) <= _MOST_TIMES:
        return f"at {english.and_list(_clock(fields))}"
    if _hourly(fields) and (step := _step(fields.hours, _HOURS)):
        past = "" if fields.minutes == _TOP else f" at minute {min(fields.minutes)}"
        return f"every {step} hours{past}"
    if _hourly(fields) and _in_a_row(fields.hours):
        return f"every hour {_hours(fields)}"
    return f"{_within_hours(fields, of_every_hour=False)} {_hours(fields)}"


def _clock(fields: Fields) -> list[str]:
    (second,) = fields.seconds
    times = product(sorted(fields.hours), sorted(fields.minutes))
    seconds = f":{second:02d}" if second else ""
    return [f"{hour:02d}:{minute:02d}{seconds}" for hour, minute in times]


def _hourly(fields: Fields) -> bool:
    return fields.seconds == _TOP and len(fields.minutes) == 1


def _hours(fields: Fields) -> str:
    hours, minutes = fields.hours, fields.minutes
    if fields.seconds == _TOP and (len(hours) == 1 or _in_a_row(hours)):
        return f"from {min(hours):02d}:{min(minutes):02d} to {max(hours):02d}:{max(minutes):02d}"
    return f"of the hour{'s' * (len(hours) > 1)} {english.numbers(hours)}"


def _in_a_row(values: frozenset[int]) -> bool:
    return english.even_step(sorted(values)) == 1


def _within_hours(fields: Fields, *, of_every_hour: bool = True) -> str:
    """Return what it does in an hour: its minutes, with the seconds of those before them."""
    hourly = " of every hour" if of_every_hour else ""
    if fields.seconds == _TOP:
        if of_every_hour and fields.minutes == _TOP:
            return "every hour"
        return _part(fields.minutes, "minute", hourly)
    seconds = _part(fields.seconds, "second", "")
    if len(fields.minutes) == _MINUTES:
        every = "" if seconds.startswith("every") else " of every minute"
        return f"{seconds}{every}"
    return f"{seconds} of {_named(fields.minutes, 'minute')}{hourly}"


def _part(values: frozenset[int], unit: str, of: str) -> str:
    if len(values) == _MINUTES:
        return f"every {unit}"
    if step := _step(values, _MINUTES):
        return f"every {step} {unit}s"
    return f"at {_named(values, unit)}{of}"


def _named(values: frozenset[int], unit: str) -> str:
    ordered = sorted(values)
    step = english.even_step(ordered)
    if len(ordered) > _MOST_TIMES and step is not None and step > 1:
        return f"every {english.nth(step)} {unit} from {ordered[0]} to {ordered[-1]}"
    return f"{unit}{'s' * (len(values) > 1)} {english.numbers(values)}"


def _step(values: frozenset[int], size: int) -> int | None:
    """Return the step that takes these values from 0 round to 0 again, if there is one above 1."""
    step = size // len(values)
    return step if 1 < step < size and values == frozenset(range(0, size, step)) else None


def _days(fields: Fields) -> str:
    months = english.numbers({each - 1 for each in fields.months}, english.MONTHS)
    in_months = f" in {months}" if len(fields.months) < _MONTHS else ""
    if every_day(fields):
        return ("" if "every" in _times(fields) else " every day") + in_months
    if _any_weekday(fields):
        return f" on {_dates(fields, months if in_months else 'the month')}"
    if _any_day(fields):
        of_months = bool(in_months) and not fields.weekdays
        weekdays = _weekdays(fields, months if of_months else "the month")
        return f" on {weekdays}{'' if of_months else in_months}"
    dates, weekdays = _dates(fields, "the month"), _weekdays(fields, "the month")
    both = (
        f" on {dates} or on {weekdays}"
        if fields.either_day
        else f" on {dates} if that is {weekdays}"
    )
    return both + (f",{in_months}" if in_months else "")


def _dates(fields: Fields, of: str) -> str:
    numbered = {day for day in fields.days if day > 0}
    parts = []
    if numbered:
        parts.append(_numbered(sorted(numbered)))
    if LAST in fields.days:
        parts.append("the last day")
    if LAST_WEEKDAY in fields.days:
        parts.append("the last working day (Monday to Friday)")
    return f"{english.and_list(parts)} of {of}"


def _numbered(days: list[int]) -> str:
    step = english.even_step(days)
    if len(days) > _MOST_TIMES and step is not None and step > 1:
        ends = (english.nth(day) for day in (days[0], days[-1]))
        return f"every {english.nth(step)} day from the {' to the '.join(ends)}"
    names = ["", *(english.nth(day) for day in range(1, _DAYS + 1))]
    return f"the {english.numbers(days, names)}"


def _weekdays(fields: Fields, of: str) -> str:
    parts = []
    if fields.weekdays:
        parts.append(english.numbers({(day - 1) % _WEEK for day in fields.weekdays}, english.WEEK))
    for day, number in sorted(fields.nth_weekdays):
        which = "last" if number == LAST else english.ordinal(number)
        parts.append(f"the {which} {english.WEEKDAYS[day]} of {of}")
    return english.and_list(parts)


def _any_day(fields: Fields) -> bool:
    return len([day for day in fields.days if day > 0]) == _DAYS


def _any_weekday(fields: Fields) -> bool:
    return len(fields.weekdays) == _WEEK
