"""Steps of cron fields that do not do what they look like: each field starts anew where it ends."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice, pairwise

from rota.domain.cron import expression as cron
from rota.domain.primitives.finding import Finding
from rota.domain.primitives.texts import english

_STEP = re.compile(r"(?:\*|(\d+)(?:-(\d+))?)/(\d+)", re.ASCII)
_MONTHS, _LEAP_FEBRUARY = 12, 29
# The lengths that a month may have.
_LENGTHS = ((31,), (28, 29), (31,), (30,), (31,), (30,), (31,), (31,), (30,), (31,), (30,), (31,))
# How many days of a rule are checked for two in a row.
_MOST_DAYS = 400
_ANY_START = datetime(2024, 1, 1)  # noqa: DTZ001  # a local time


@dataclass(frozen=True, slots=True)
class _Part:
    """A field: what it counts, its first and last value, and what it starts anew in."""

    name: str
    first: int
    last: int
    whole: str
    unit: str

    @property
    def size(self) -> int:
        return self.last - self.first + 1


_SECOND = _Part("second", 0, 59, "minute", "second")
_MINUTE = _Part("minute", 0, 59, "hour", "minute")
_HOUR = _Part("hour", 0, 23, "day", "hour")
_DAY = _Part("day", 1, 31, "month", "day")
_MONTH = _Part("month", 1, 12, "year", "month")
_WEEKDAY = _Part("weekday", 0, 6, "week", "day")
_PARTS = (_SECOND, _MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY)


@dataclass(frozen=True, slots=True)
class _Step:
    """A term with a step, such as `*/7`, `5/10` or `0-59/7`; `end` is where it stops."""

    written: str
    start: int
    end: int
    step: int

    @property
    def values(self) -> range:
        return range(self.start, self.end + 1, self.step)


def uneven_steps(expression: str) -> Iterator[Finding]:
    """Yield what is not even about the steps of an expression: those that reach beyond their field, or end short."""
    fields = ["0", *cron.split(expression)][-len(_PARTS) :]
    for part, field in zip(_PARTS, fields, strict=True):
        terms = field.split(",")
        for step in filter(None, (_read(term, part) for term in terms)):
            if len(step.values) == 1:
                yield from _too_long(step, part)
            elif len(terms) == 1 and _goes_round(step, part):
                yield from _uneven(step, part, expression)


def _read(term: str, part: _Part) -> _Step | None:
    """Return a term with a step above 1; of weekdays only one that goes through the week."""
    found = _STEP.fullmatch(term)
    if found is None or int(found[3]) <= 1 or (part is _WEEKDAY and found[1]):
        return None
    start, end, step = found.groups()
    if start is None:
        return _Step(term, part.first, part.last, int(step))
    return _Step(term, int(start), part.last if end is None else int(end), int(step))


def _too_long(step: _Step, part: _Part) -> Iterator[Finding]:
    """Yield that a step leads beyond its end at once; not of a range of one value, which has no other."""
    if step.start == step.end:
        return
    wanted = english.plural(step.step, part.unit)
    wrong = f", so this is not every {wanted}" if step.step > part.size else ""
    yield Finding(
        "uneven_interval",
        f"The step of '{step.written}' leads beyond its end: of each {part.whole} only "
        f"{_named(step.start, part)} is left{wrong}. An interval may be of any length; if this is meant, "
        "give the one value.",
    )


def _goes_round(step: _Step, part: _Part) -> bool:
    """Return whether a step goes through its whole field; one within narrower bounds is meant to begin and end."""
    return step.start - step.step < part.first and step.values[-1] + step.step > part.last


def _uneven(step: _Step, part: _Part, expression: str) -> Iterator[Finding]:
    day, _, weekday = cron.split(expression)[-3:]
    if part is _DAY:
        yield from _uneven_days(step, expression) if weekday == "*" else ()
        return
    if part.size % step.step == 0 or (part is _WEEKDAY and day != "*"):
        return
    if not _starts_anew(part, expression):
        return
    last, first = (_named(each, part) for each in (step.values[-1], step.start))
    yield _starting_anew(
        step,
        f"each {part.whole}: after {last} comes {first}",
        part.size - (step.values[-1] - step.start),
        part.unit,
    )


def _uneven_days(step: _Step, expression: str) -> Iterator[Finding]:
    """Yield the first month after which the next day comes too soon."""
    months = cron.fields(expression).months
    for month in sorted(months):
        following = month % _MONTHS + 1
        for length in _LENGTHS[month - 1]:
            within = [each for each in step.values if each <= length]
            if following not in months or not within:
                continue
            rest = length - within[-1] + step.start
            if rest != step.step:
                names = [english.MONTHS[each - 1] for each in (month, following)]
                leap = " of a leap year" if length == _LEAP_FEBRUARY else ""
                after = f"after {within[-1]} {names[0]}{leap} comes {step.start} {names[1]}"
                yield _starting_anew(step, f"each month: {after}", rest, "day")
                return


def _starting_anew(step: _Step, what: str, rest: int, unit: str) -> Finding:
    later = ("only " if rest < step.step else "") + english.plural(rest, unit)
    return Finding(
        "uneven_interval",
        f"'{step.written}' starts anew in {what}, {later} later. An interval keeps its step.",
    )


def _starts_anew(part: _Part, expression: str) -> bool:
    """Return whether one whole of a field follows upon another, so that its last value is followed by its first."""
    fields = cron.fields(expression)
    if part in {_MONTH, _WEEKDAY}:
        return True
    if part is _HOUR:
        return _has_neighbours(expression)
    around = _HOUR if part is _MINUTE else _MINUTE
    wholes, top = (fields.hours, 23) if part is _MINUTE else (fields.minutes, 59)
    if any(value + 1 in wholes for value in wholes):
        return True
    return {0, top} <= wholes and _starts_anew(around, expression)


def _has_neighbours(expression: str) -> bool:
    """Return whether two days in a row have fire times."""
    days = " ".join(cron.split(expression)[-3:])
    found = islice(cron.local_times(f"0 0 {days}", _ANY_START), _MOST_DAYS)
    return any((later - earlier).days == 1 for earlier, later in pairwise(found))


def _named(value: int, part: _Part) -> str:
    if part is _MONTH:
        return english.MONTHS[value - 1]
    return english.WEEKDAYS[value] if part is _WEEKDAY else f"{part.name} {value}"
