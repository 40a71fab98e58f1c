"""Numbers, dates and spans of time, in words as English has them."""

from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise

MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
#: The week of a reader ends with Sunday, that of crontab begins with it.
WEEK = (*WEEKDAYS[1:], WEEKDAYS[0])

_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_TEENS = (11, 12, 13)
_ENDINGS = {1: "st", 2: "nd", 3: "rd"}
_UNITS = (
    (timedelta(days=1), "day"),
    (timedelta(hours=1), "hour"),
    (timedelta(minutes=1), "minute"),
    (timedelta(seconds=1), "second"),
    (timedelta(milliseconds=1), "millisecond"),
)


def and_list(parts: Sequence[str], word: str = "and") -> str:
    """Return `a`, `a and b`, `a, b and c`; of nothing, nothing."""
    *head, last = parts or ("",)
    return f"{', '.join(head)} {word} {last}" if head else last


def plural(number: int, noun: str) -> str:
    """Return `1 day`, `2 days`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def nth(number: int) -> str:
    """Return `1st`, `2nd`, `31st`."""
    ending = "th" if number % 100 in _TEENS else _ENDINGS.get(number % 10, "th")
    return f"{number}{ending}"


def ordinal(number: int) -> str:
    """Return `first` to `fifth`."""
    return _ORDINALS[number - 1]


def duration(span: timedelta) -> str:
    """Return `15 minutes`, `1 hour and 30 minutes`."""
    parts = []
    for size, unit in _UNITS:
        number, span = divmod(span, size)
        if number:
            parts.append(plural(number, unit))
    return and_list(parts or ["0 seconds"])


def every(span: timedelta) -> str:
    """Return `every minute`, `every 15 minutes`."""
    words = duration(span)
    return f"every {words.removeprefix('1 ') if _is_one(span) else words}"


def numbers(values: Collection[int], names: Sequence[str] | None = None) -> str:
    """Return numbers, or what they are called, with runs of three and more as `1 to 5`."""
    ordered = sorted(values)
    parts: list[str] = []
    for first, last in _runs(ordered):
        one, other = (str(each) if names is None else names[each] for each in (first, last))
        if last - first > 1:
            parts.append(f"{one} to {other}")
        else:
            parts.extend([one] if first == last else [one, other])
    return and_list(parts)


def even_step(ordered: Sequence[int]) -> int | None:
    """Return by how much each number is above the one before it, if that is always the same."""
    steps = {later - earlier for earlier, later in pairwise(ordered)}
    return steps.pop() if len(steps) == 1 else None


def day_of(day: date) -> str:
    """Return `24 December 2026`."""
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def time_of(at: datetime) -> str:
    """Return `17:30`, or `17:30:05` where there are seconds."""
    if at.microsecond:
        return at.strftime("%H:%M:%S.") + f"{at.microsecond // 1000:03d}"
    return at.strftime("%H:%M:%S" if at.second else "%H:%M")


def moment(at: datetime) -> str:
    """Return `24 December 2026 at 17:30 UTC`; `at` is in UTC."""
    return f"{day_of(at)} at {time_of(at)} UTC"


def _is_one(span: timedelta) -> bool:
    return any(span == size for size, _ in _UNITS)


def _runs(ordered: Sequence[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for value in ordered:
        if runs and runs[-1][1] == value - 1:
            runs[-1] = (runs[-1][0], value)
        else:
            runs.append((value, value))
    return runs
