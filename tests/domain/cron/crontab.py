"""Cron expressions as crontab(5) and cron.c have them: a generator, and an evaluator without code of the service."""

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from hypothesis import strategies as st

DAY = timedelta(days=1)

Field = tuple[int, int, tuple[str, ...]]
SECONDS: Field = (0, 59, ())
MINUTES: Field = (0, 59, ())
HOURS: Field = (0, 23, ())
DAYS: Field = (1, 31, ())
MONTHS: Field = (
    1,
    12,
    ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
)
WEEKDAYS: Field = (0, 7, ("sun", "mon", "tue", "wed", "thu", "fri", "sat"))


# ------------------------------------------------------------------------------------------------------- the evaluator
def number(text: str, field: Field) -> int:
    low, _, names = field
    text = text.lower()
    return names.index(text) + low if text in names else int(text)


def values(text: str, field: Field) -> set[int]:
    """Return the bits that cron.c sets: for (i = num1; i <= num2; i += num3). Terms with `L` or `#` set none."""
    low, high, _ = field
    found: set[int] = set()
    for term in text.split(","):
        if "#" in term or (field in {DAYS, WEEKDAYS} and term.upper().endswith(("L", "LW"))):
            continue
        span, _, step = term.partition("/")
        first, dash, last = span.partition("-")
        if span in {"*", "?"}:
            start, stop = low, high
        else:
            start = number(first, field)
            stop = number(last, field) if dash else high if step else start
        if field is WEEKDAYS and start > stop:
            start, stop = start % 7, stop if stop > start % 7 else stop + 7
        found.update(range(start, stop + 1, int(step or 1)))
    return {each % 7 for each in found} if field is WEEKDAYS else found


def fits_day(day: date, text: str) -> bool:
    last = monthrange(day.year, day.month)[1]
    working = max(each for each in range(1, last + 1) if day.replace(day=each).weekday() < 5)
    terms = text.upper().split(",")
    return (
        day.day in values(text, DAYS)
        or ("L" in terms and day.day == last)
        or ("LW" in terms and day.day == working)
    )


def fits_weekday(day: date, text: str) -> bool:
    return day.isoweekday() % 7 in values(text, WEEKDAYS) or any(
        _fits_nth(day, term) for term in text.split(",")
    )


def _fits_nth(day: date, term: str) -> bool:
    weekday = day.isoweekday() % 7
    if "#" in term:
        name, nth = term.split("#")
        return weekday == number(name, WEEKDAYS) % 7 and (day.day + 6) // 7 == int(nth)
    if term.upper().endswith("L"):
        return weekday == number(term[:-1], WEEKDAYS) % 7 and (day + 7 * DAY).month != day.month
    return False


@dataclass
class Crontab:
    """An expression as cron.c evaluates it, in UTC."""

    expression: str

    def times(self) -> list[int]:
        """Return the seconds of a day at which it fires, in order."""
        *seconds, minute, hour = self.expression.split()[:-3]
        return [
            3600 * at_hour + 60 * at_minute + at_second
            for at_hour in sorted(values(hour, HOURS))
            for at_minute in sorted(values(minute, MINUTES))
            for at_second in (sorted(values(seconds[0], SECONDS)) if seconds else [0])
        ]

    def fires(self, start: datetime, end: datetime) -> Iterator[datetime]:
        day, month, weekday = self.expression.split()[-3:]
        times = [timedelta(seconds=each) for each in self.times()]
        both = day[0] in "*?" or weekday[0] in "*?"
        midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
        while midnight < end:
            fits = (fits_day(midnight, day), fits_weekday(midnight, weekday))
            if midnight.month in values(month, MONTHS) and (all(fits) if both else any(fits)):
                yield from (midnight + each for each in times if start < midnight + each < end)
            midnight += DAY


# ------------------------------------------------------------------------------------------------------ the generators
def terms(field: Field) -> st.SearchStrategy[str]:
    low, high, names = field
    numbers = st.integers(low, high).map(str)
    if names:
        numbers |= st.sampled_from(names)
    steps = st.integers(1, high + 1) | st.sampled_from([1, 2, 90, 1_000])
    ranges = st.tuples(numbers, numbers).filter(lambda ends: _is_range(ends, field)).map("-".join)
    ranges |= numbers.map(lambda one: f"{one}-{one}")
    stepped = st.tuples(st.just("*") | ranges | numbers, steps).map(lambda of: f"{of[0]}/{of[1]}")
    return numbers | ranges | stepped


def _is_range(ends: tuple[str, str], field: Field) -> bool:
    first, last = (number(end, field) for end in ends)
    return first <= last or (field is WEEKDAYS and first % 7 != last)


def fields(field: Field, others: st.SearchStrategy[str] | None = None) -> st.SearchStrategy[str]:
    some = terms(field) if others is None else terms(field) | others
    return st.just("*") | st.lists(some, min_size=1, max_size=3).map(",".join)


WEEKDAY_NAMES = st.sampled_from(WEEKDAYS[2]) | st.integers(0, 7).map(str)
NTH = st.tuples(WEEKDAY_NAMES, st.sampled_from(["L", "l", "#1", "#2", "#5"])).map("".join)
EXPRESSIONS = st.tuples(
    st.just("") | fields(SECONDS),
    fields(MINUTES),
    fields(HOURS),
    fields(DAYS, st.sampled_from(["L", "LW", "lw"])) | st.just("?"),
    fields(MONTHS),
    fields(WEEKDAYS, NTH) | st.just("?"),
).map(lambda parts: " ".join(parts).strip())
STARTS = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)).map(  # noqa: DTZ001
    lambda at: at.replace(microsecond=0, tzinfo=UTC)
)
