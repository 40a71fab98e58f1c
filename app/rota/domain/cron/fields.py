"""The fields of a cron expression: the values that each allows, and suggestions for invalid ones.

A range with a step, a-b/n, is a, a+n and so on up to b; a/n continues to the field's end. Weekdays may go round the end
of the week (FRI-MON), as there is no doubt what that means; other fields may not: 22-2 is as often a slip as a night.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from cronsim import CronSim

#: The last day of the month, and the last of Monday to Friday in it.
LAST: int = CronSim.LAST
LAST_WEEKDAY: int = CronSim.LAST_WEEKDAY

#: A number, or the n-th of a weekday in the month (LAST for the last one).
Item = int | tuple[int, int]

_WEEK = 7
_MOST_NTH = 5
_MOST_SHOWN = 40
_NUMBER = re.compile(r"\d{1,9}", re.ASCII)
_RANGE = re.compile(r"([^-]+)-([^-]+)")
_NTH = re.compile(r"([^#]+)#([1-5])", re.ASCII)
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


class Field(NamedTuple):
    """One of the fields of an expression: its name, the numbers it takes, and names for them."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    hint: str = ""


SECOND = Field("second", 0, 59)
MINUTE = Field("minute", 0, 59)
HOUR = Field("hour", 0, 23, hint="; midnight is 0")
DAY = Field("day of month", 1, 31, hint="; 'L' is the last day of the month")
MONTH = Field("month", 1, 12, _MONTHS)
WEEKDAY = Field("weekday", 0, 7, _WEEKDAYS, "; 0 and 7 are Sunday")
FIELDS = (SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY)


def parse(field: Field, text: str) -> frozenset[Item]:
    """Return the values that a field allows; raises ValueError with the name of the field and a suggestion."""
    if text == "?" and field in {DAY, WEEKDAY}:
        text = "*"
    found: set[Item] = set()
    for term in text.split(","):
        found.update(_special(field, term.upper()) or _numbers(field, term))
    return frozenset(found)


def has_weekday_name(text: str) -> bool:
    """Return whether a field holds the name of a weekday."""
    return any(name in text.upper() for name in _WEEKDAYS)


def _special(field: Field, term: str) -> tuple[Item, ...]:
    """Return what `L`, `LW`, `5L` and `1#2` represent, and nothing for other terms."""
    if field is DAY:
        return {"L": (LAST,), "LW": (LAST_WEEKDAY,)}.get(term, ())
    if field is WEEKDAY and term.endswith("L") and (day := _number(field, term[:-1])) is not None:
        return ((day, LAST),)
    nth = _NTH.fullmatch(term) if field is WEEKDAY else None
    if nth is not None and (day := _number(field, nth[1])) is not None:
        return ((day, int(nth[2])),)
    return ()


def _numbers(field: Field, term: str) -> Sequence[int]:
    span, slash, every = term.partition("/")
    values = _span(field, term, span, open_ended=bool(slash))
    if not slash:
        return values
    if not _NUMBER.fullmatch(every) or int(every) == 0:
        raise _wrong(field, term, f"a step is a whole number above 0, as in {span + '/5'!r}")
    return values[:: int(every)]


def _span(field: Field, term: str, span: str, *, open_ended: bool) -> Sequence[int]:
    if span == "*":
        return range(field.low, field.high + 1)
    ends = _RANGE.fullmatch(span)
    if ends is None:
        first = _within(field, term, span)
        return range(first, (field.high if open_ended else first) + 1)
    first, last = (_within(field, term, end) for end in ends.groups())
    if first <= last:
        return range(first, last + 1)
    if field is WEEKDAY:
        return _round_the_week(term, first, last)
    raise _wrong(field, term, f"the range ends before it begins; write {_cut(field, term)!r}")


def _round_the_week(term: str, first: int, last: int) -> Sequence[int]:
    start = first % _WEEK
    if start == last:
        raise _wrong(
            WEEKDAY, term, "0 and 7 are both Sunday; write '0' for Sundays, '*' for any day"
        )
    end = last if last > start else last + _WEEK
    return [day % _WEEK for day in range(start, end + 1)]


def _cut(field: Field, term: str) -> str:
    """Return a range that goes round the end of its field as ranges, or values, that do not."""
    span, slash, every = term.partition("/")
    first, last = span.upper().split("-")
    start, end = _within(field, term, first), _within(field, term, last)
    if slash:
        values = [*range(start, field.high + 1), *range(field.low, end + 1)]
        step = int(every) if _NUMBER.fullmatch(every) else 1
        return ",".join(str(value) for value in values[:: step or 1])
    names = [str(number) for number in range(field.low)] + list(field.names)
    low, high = (names[field.low], names[-1]) if not first.isdigit() else (field.low, field.high)
    return f"{_ends(first, str(high))},{_ends(str(low), last)}"


def _ends(first: str, last: str) -> str:
    return first if first == last else f"{first}-{last}"


def _within(field: Field, term: str, text: str) -> int:
    number = _number(field, text)
    if number is None:
        raise _wrong(field, term, _why(field, term, text))
    if not field.low <= number <= field.high:
        bounds = f"{field.low} to {field.high}"
        raise _wrong(field, term, f"{number} is out of range ({bounds}){field.hint}")
    return number


def _number(field: Field, text: str) -> int | None:
    if text.upper() in field.names:
        return field.names.index(text.upper()) + field.low
    return int(text) if _NUMBER.fullmatch(text) else None


def _wrong(field: Field, term: str, why: str) -> ValueError:
    return ValueError(f"{term[:_MOST_SHOWN]!r} in the {field.name} field: {why}")


def _why(field: Field, term: str, text: str) -> str:
    """Return what is wrong with a term of which `text` is no number, and what to write instead."""
    for form, says in _FORMS:
        found = form.fullmatch(term.upper())
        if found is not None:
            return says(field, found)
    name = text[:3].upper()
    if name in field.names and text.isalpha():
        return f"names have three letters; write {name!r}"
    if name in _WEEKDAYS or name in _MONTHS:
        right = WEEKDAY if name in _WEEKDAYS else MONTH
        return (
            f"{text} belongs in the {right.name} field; the order is minute hour day month weekday"
        )
    if not text.isascii():
        return "only plain ASCII characters can be read, with '-' for ranges and '*' for any value"
    names = f", names ('{field.names[1]}')" if field.names else ""
    bounds = f"{field.low} to {field.high}"
    return (
        f"give a number from {bounds}, '*', a list ('1,5'), a range ('1-5'), a step ('*/5'){names}"
    )


def _nearest(_: Field, found: re.Match[str]) -> str:
    day = found[1] or found[2]
    return (
        f"the working day nearest to a date (Quartz's W) is not supported; write {day!r} for the date itself, or 'LW' "
        "for the last working day of the month"
    )


def _before_last(_: Field, found: re.Match[str]) -> str:
    return (
        f"days before the last of the month (Quartz's L-n) are not supported; write 'L' for the last day, or a date "
        f"such as {str(max(28 - int(found[1]), 1))!r}"
    )


def _any(field: Field, found: re.Match[str]) -> str:
    instead = "*" + (found[1] or "")
    if field in {DAY, WEEKDAY}:
        return f"'?' stands alone; write {instead!r}"
    return f"'?' is for the day of month and the weekday; write {instead!r}"


def _last(field: Field, _: re.Match[str]) -> str:
    if field is WEEKDAY:
        return (
            "'L' needs a weekday before it: '5L' is the last Friday of the month; Saturday is '6'"
        )
    return "'L' is for the day of month ('L', 'LW') and the weekday ('5L', the last Friday of the month)"


def _nth(field: Field, _: re.Match[str]) -> str:
    if field is WEEKDAY:
        return f"the n-th weekday of the month is '1#1' to '1#{_MOST_NTH}' (Mondays), the last one '1L'"
    return "'#' is for the weekday: 'MON#2' is the second Monday of the month"


_Says = Callable[[Field, re.Match[str]], str]


def _always(text: str) -> _Says:
    return lambda _field, _found: text


#: Forms of other dialects, and slips, with what to say of them.
_FORMS: tuple[tuple[re.Pattern[str], _Says], ...] = tuple(
    (re.compile(form, re.ASCII), says)
    for form, says in (
        (r"(\d+)W|W(\d+)", _nearest),
        (r"L-(\d{1,9})W?", _before_last),
        (r"LW?/.*", _always("it is a single day, so no step goes with it; leave the step out")),
        (r"\?(/\d+)?", _any),
        (r"LW?|.+L", _last),
        (r".*#.*", _nth),
        (
            r"H(\(.*\))?(/\d+)?|R|\d*~\d*(/\d+)?",
            _always(
                "values chosen for you (Jenkins' H, cronie's ~) are not supported; give a number, "
                "and let 'jitter' spread the tasks"
            ),
        ),
        (r"", _always("an entry of the list is empty; leave out the comma")),
        (r"\d*-\d*(/.*)?", _always("a range has two numbers, as in '1-5'; leave no end out")),
        (r"/.*", _always("a step needs something to go through, as in '*/5'")),
        (r"\d+[.]\d+.*", _always("numbers are whole")),
    )
)
