"""Numbers, dates and spans of time, in words as English has them."""

from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta
from itertools import groupby, pairwise

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

#: So many of a unit are read more easily than the same in larger ones.
_SMALL = 120
_FEW, _SECOND = timedelta(minutes=2), timedelta(seconds=1)
# Longer lists of evenly spaced days are described by their step.
_MOST_LISTED = 6
_ODD_AND_EVEN = (list(range(1, 32, 2)), list(range(2, 31, 2)))


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
    return f"{number:,}{ending}"


def ordinal(number: int) -> str:
    """Return `first` to `fifth`."""
    return _ORDINALS[number - 1]


def duration(span: timedelta) -> str:
    """Return `15 minutes`, `1 hour and 30 minutes`."""
    return _in_units(span, _UNITS)


def _in_units(span: timedelta, units: Sequence[tuple[timedelta, str]]) -> str:
    parts = []
    for size, unit in units:
        number, span = divmod(span, size)
        if number:
            parts.append(plural(number, unit))
    return and_list(parts or ["0 seconds"])


def every(span: timedelta) -> str:
    """Return `every minute`, `every 90 minutes`, `every 2 hours and 40 minutes`."""
    return f"every {_each(span)}"


def last_of(span: timedelta) -> str:
    """Return `the last minute`, `the last 90 minutes`."""
    return f"the last {_each(span)}"


def one_measure(span: timedelta) -> str:
    """Return `1 hour`, `90 minutes`, `1.5 seconds`: as one number, if that is small."""
    for size, unit in _UNITS[:-1]:
        if not span % size and span // size <= _SMALL:
            return plural(span // size, unit)
    return _in_seconds(span) if _SECOND < span < _FEW else duration(span)


def _each(span: timedelta) -> str:
    """Return what comes after `every`, which goes with no 1: `24 hours and 1 minute`."""
    words = one_measure(span)
    if " and " not in words or not words.startswith("1 "):
        return words.removeprefix("1 ")
    return _in_units(span, [each for each in _UNITS if 2 * each[0] <= span])


def _in_seconds(span: timedelta) -> str:
    return f"{span.total_seconds():,.3f}".rstrip("0").rstrip(".") + " seconds"


def numbers(values: Collection[int], names: Sequence[str] | None = None) -> str:
    """Return numbers, or what they are called, with runs of three and more as `1 to 5`."""
    return and_list(number_parts(values, names))


def placed(parts: Sequence[str], word: str) -> str:
    """Return `on Monday and Friday`, `from Monday to Friday`, `on Monday and from Friday to Sunday`."""
    groups: list[str] = []
    for is_span, members in groupby(parts, is_a_span):
        listed = list(members)
        groups += [f"from {each}" for each in listed] if is_span else [f"{word} {and_list(listed)}"]
    *head, last = groups
    if not any(" and " in each for each in head):
        return and_list(groups)
    return f"{', '.join(head)}, and {last}"


def is_a_span(part: str) -> bool:
    """Return whether a part of a list is a run, such as `Monday to Friday`, and no day that has one in its name."""
    return " to " in part and " from " not in part and "(" not in part


def number_parts(values: Collection[int], names: Sequence[str] | None = None) -> list[str]:
    """Return the parts of such a list, each a number or a run."""
    return _parts(_runs(sorted(values)), names)


def ring_parts(values: Collection[int], names: Sequence[str]) -> list[str]:
    """Return such parts for what goes round, as the week does: `Friday to Monday`."""
    runs = _runs(sorted(values))
    (first, end), (begin, last) = runs[0], runs[-1]
    around = first == 0 and last == len(names) - 1
    if len(runs) > 1 and around and last - begin + end - first > 0:
        runs = [(begin, end + len(names)), *runs[1:-1]]
    return _parts(runs, names)


def _parts(runs: Sequence[tuple[int, int]], names: Sequence[str] | None) -> list[str]:
    parts: list[str] = []
    for first, last in runs:
        one, other = (
            str(each) if names is None else names[each % len(names)] for each in (first, last)
        )
        if last - first > 1:
            parts.append(f"{one} to {other}")
        else:
            parts.extend([one] if first == last else [one, other])
    return parts


def days_of_month(days: Collection[int]) -> list[str]:
    """Return the parts of a list: `the 1st` and `the 15th`, `odd days`, `every 3rd day from the 1st to the 31st`."""
    ordered = sorted(days)
    if ordered in _ODD_AND_EVEN:
        return ["odd days" if ordered[0] == 1 else "even days"]
    step = even_step(ordered)
    if len(ordered) > _MOST_LISTED and step is not None and step > 1:
        ends = f"the {nth(ordered[0])} to the {nth(ordered[-1])}"
        return [f"every {nth(step)} day from {ends}"]
    return number_parts(ordered, _DAYS_OF_MONTH)


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


_DAYS_OF_MONTH = ["", *(f"the {nth(day)}" for day in range(1, 32))]


def _runs(ordered: Sequence[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for value in ordered:
        if runs and runs[-1][1] == value - 1:
            runs[-1] = (runs[-1][0], value)
        else:
            runs.append((value, value))
    return runs
