"""What the fields of a cron expression let through, against an evaluator written from crontab(5) and cron.c."""

from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile

import pytest
from hypothesis import example, given, settings

from rota.domain.cron.expression import normalise
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.fire_times import fire_times
from tests.domain.cron.crontab import EXPRESSIONS, STARTS, Crontab
from tests.domain.schedules.rules import read

DAY = timedelta(days=1)
#: So many days are checked, and so many fire times compared.
WINDOW = 800
MOST = 300


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
@example("* * * * * 0-sun", datetime(2026, 1, 1, tzinfo=UTC))
@settings(deadline=None, max_examples=120)
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
