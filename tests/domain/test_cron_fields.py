"""What the fields of a cron expression let through, against an evaluator written from crontab(5) and cron.c."""

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice, takewhile

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.domain.cron import normalise
from app.domain.fire_times import Anchor, fire_times
from tests.domain.rules import read

DAY = timedelta(days=1)
#: So many days are looked at, and so many fire times compared.
WINDOW = 800
MOST = 300

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
        if "#" in term or (term.upper().endswith(("L", "LW")) and term.lower() != "jul"):
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

    def fires(self, start: datetime, end: datetime) -> Iterator[datetime]:
        *seconds, minute, hour, day, month, weekday = self.expression.split()
        times = [
            timedelta(hours=at_hour, minutes=at_minute, seconds=at_second)
            for at_hour in sorted(values(hour, HOURS))
            for at_minute in sorted(values(minute, MINUTES))
            for at_second in (sorted(values(seconds[0], SECONDS)) if seconds else [0])
        ]
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


def fired(expression: str, start: datetime, end: datetime) -> list[datetime]:
    """Return the first fire times of a window."""
    schedule = read(type="cron", expression=expression)
    found = (time.at for time in fire_times(schedule, Anchor(start), start))
    return list(islice(takewhile(lambda at: at < end, found), MOST))


def refused(expression: str) -> str | None:
    """Return what is wrong with an expression, if something is."""
    try:
        normalise(expression)
    except ValueError as error:
        return str(error)
    return None


@given(EXPRESSIONS, STARTS)
@example("0 9-9/1 * * *", datetime(2026, 1, 1, tzinfo=UTC))
@example("0 12 22-22/1 * *", datetime(2026, 1, 1, tzinfo=UTC))
@example("0-0/5 * * * *", datetime(2026, 1, 1, tzinfo=UTC))
@example("0 0 * * 4-4/3", datetime(2026, 1, 1, tzinfo=UTC))
@example("7-7/1 0 0 1 3-3/2 *", datetime(2026, 1, 1, tzinfo=UTC))
@example("0 0 * * 7-7/1", datetime(2026, 1, 1, tzinfo=UTC))
@example("0 0 * * 5-7/1", datetime(2026, 1, 1, tzinfo=UTC))
@settings(deadline=None, max_examples=200)
def test_expressions_fire_as_crontab_fires_them(expression: str, start: datetime) -> None:
    end = start + WINDOW * DAY
    if (refusal := refused(expression)) is not None:
        assert "never fires" in refusal
        assert not list(Crontab(expression).fires(start, start + 5 * WINDOW * DAY))
        return

    expected = list(islice(Crontab(expression).fires(start, end), MOST))

    assert fired(expression, start, end) == expected


@pytest.mark.parametrize(
    ("stepped", "plain"),
    [
        ("0 9-9/1 * * *", "0 9 * * *"),
        ("0 12 22-22/1 * *", "0 12 22 * *"),
        ("0-0/5 * * * *", "0 * * * *"),
        ("0 0 * * 4-4/3", "0 0 * * 4"),
        ("0 0 * * thu-thu/3", "0 0 * * 4"),
        ("0 0 1 6-6/2 *", "0 0 1 6 *"),
        ("0 0 1 jun-jun/2 *", "0 0 1 6 *"),
        ("30-30/7 0 0 * * *", "30 0 0 * * *"),
        ("0 0 * * 7-7/1", "0 0 * * 0"),
        ("0 0 * * 5-7/1", "0 0 * * 5,6,0"),
        ("0 0 * * mon-fri/2", "0 0 * * 1,3,5"),
        ("0 0 1 jan-dec/3 *", "0 0 1 1,4,7,10 *"),
        ("20-40/30 * * * *", "20 * * * *"),
        ("*/90 * * * *", "0 * * * *"),
        ("50/5 * * * *", "50,55 * * * *"),
        ("0 0 * * */7", "0 0 * * 0"),
        ("0 0 * * fri/2", "0 0 * * 5,7"),
        ("0,9-9/3,30 * * * *", "0,9,30 * * * *"),
    ],
)
def test_a_step_goes_through_its_range_and_no_further(stepped: str, plain: str) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    end = start + WINDOW * DAY

    assert fired(stepped, start, end) == fired(plain, start, end)


@pytest.mark.parametrize(
    ("round_the_week", "plain"),
    [
        ("FRI-MON", "5,6,0,1"),
        ("fri-sun", "5,6,0"),
        ("mon-sun", "*"),
        ("sat-sun", "6,0"),
        ("5-1", "5,6,0,1"),
        ("6-0", "6,0"),
        ("7-2", "0,1,2"),
        ("fri-mon/2", "5,0"),
        ("sat-fri/3", "6,2,5"),
        ("wed,fri-mon", "3,5,6,0,1"),
    ],
)
def test_weekdays_go_round_the_end_of_the_week(round_the_week: str, plain: str) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    end = start + 60 * DAY

    found = fired(f"0 0 * * {round_the_week}", start, end)

    assert found == fired(f"0 0 * * {plain}", start, end)


@pytest.mark.parametrize(
    ("expression", "plain"),
    [
        ("0 9 ? * MON-FRI", "0 9 * * MON-FRI"),
        ("0 9 1 * ?", "0 9 1 * *"),
        ("0 9 ? * ?", "0 9 * * *"),
        ("30 0 9 ? 1-3 5L", "30 0 9 * 1-3 5L"),
    ],
)
def test_a_question_mark_is_any_day(expression: str, plain: str) -> None:
    assert normalise(expression) == plain


def test_the_last_weekday_of_a_month_may_be_named() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)

    assert fired("0 0 * * FRIL", start, start + 90 * DAY) == [
        datetime(2026, month, day, tzinfo=UTC) for month, day in ((1, 30), (2, 27), (3, 27))
    ]
