"""Recurrence rules by days: the same days as dateutil finds, in counted steps."""

import sys
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from datetime import time as clock
from itertools import takewhile
from types import ModuleType
from typing import Any

import pytest
from dateutil.rrule import rrulestr
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from icalendar.prop import vRecur

from rota.domain.calendars.recurrence import parse
from rota.domain.calendars.walk import Walk

#: The clock of this test has no zone, as dateutil has it here.
MIDNIGHT = clock()
HORIZON = date(2040, 12, 31)
START = date(2000, 1, 1)


def _some(name: str, values: Sequence[Any]) -> st.SearchStrategy[str]:
    chosen = st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True)
    return chosen.map(lambda each: f";{name}={','.join(map(str, each))}")


NOTHING = st.just("")
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
NUMBERED = [f"{number}{day}" for number in (-5, -2, -1, 1, 2, 5) for day in WEEKDAYS]
MONTHS = NOTHING | _some("BYMONTH", range(1, 13))
MONTH_DAYS = NOTHING | _some("BYMONTHDAY", (-31, -3, -1, 1, 2, 15, 28))
PERIODS = st.builds(lambda n: f";INTERVAL={n}", st.integers(1, 5)) | NOTHING
ENDS = st.integers(1, 30).map(lambda n: f";COUNT={n}") | NOTHING
WEEK_STARTS = st.sampled_from(["", ";WKST=SU", ";WKST=TH"])
DAYS = NOTHING | _some("BYDAY", WEEKDAYS)
SHORT = st.tuples(st.sampled_from(["DAILY", "WEEKLY"]), PERIODS, ENDS, MONTHS, DAYS, WEEK_STARTS)
LONG = st.tuples(
    st.sampled_from(["MONTHLY", "YEARLY"]),
    PERIODS,
    ENDS,
    MONTHS,
    MONTH_DAYS | DAYS | _some("BYDAY", NUMBERED),
    st.sampled_from(["", ";BYSETPOS=1", ";BYSETPOS=-1", ";BYSETPOS=2"]),
)
RULES = (SHORT | LONG).map(lambda parts: "FREQ=" + "".join(parts))
STARTS = st.integers(0, 4_000).map(lambda days: START + timedelta(days))


def days(rule: str, start: date, walk: Walk | None = None) -> list[date]:
    return list(parse(vRecur.from_ical(rule), None).days(start, HORIZON, walk or Walk()))


@pytest.fixture(autouse=True, scope="module")
def _in_this_century() -> Iterator[None]:
    """Let dateutil give up rules that have no day; it looks for one until the last year otherwise."""
    bounded = ModuleType("datetime")
    vars(bounded).update(vars(sys.modules["datetime"]))
    vars(bounded)["MAXYEAR"] = HORIZON.year + 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dateutil.rrule.datetime", bounded)
        yield


def oracle(rule: str, start: date) -> list[date]:
    end = "" if "COUNT" in rule else ";UNTIL=20401231T000000"
    try:
        found = rrulestr(rule + end, dtstart=datetime.combine(start, MIDNIGHT))
    except ValueError:  # a BYSETPOS alone
        return []
    return [at.date() for at in takewhile(lambda at: at.date() <= HORIZON, found)]


@settings(max_examples=60)
@given(RULES, STARTS)
def test_a_rule_has_the_days_that_dateutil_finds(rule: str, start: date) -> None:
    first = next(iter(oracle(rule, start)), None)
    assume(first is not None)
    assert first is not None
    expected = oracle(rule, first)
    assume(expected[0] == first)  # RFC 5545 defines no other start

    assert days(rule, first) == expected


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("FREQ=YEARLY;BYWEEKNO=1;BYDAY=MO;COUNT=3", [date(2024, 12, 30), date(2025, 12, 29)]),
        ("FREQ=YEARLY;BYYEARDAY=-1;COUNT=3", [date(2024, 12, 31), date(2025, 12, 31)]),
        ("FREQ=YEARLY;COUNT=2", []),
    ],
)
def test_weeks_and_days_of_a_year_count_from_both_ends(rule: str, expected: list[date]) -> None:
    found = days(rule, date(2024, 2, 29))

    assert found[0] == date(2024, 2, 29)
    assert found[1:] == (expected or [date(2028, 2, 29)])


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("FREQ=SECONDLY", "not by SECONDLY"),
        ("FREQ=HOURLY;COUNT=1", "not by HOURLY"),
        ("FREQ=DAILY;BYHOUR=1,2,3", "BYHOUR"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL is at least 1"),
        ("FREQ=MONTHLY;BYMONTHDAY=32", "BYMONTHDAY is from"),
        ("FREQ=WEEKLY;BYDAY=1MO", "BYDAY with a number"),
        ("FREQ=MONTHLY;BYWEEKNO=1", "BYWEEKNO goes with"),
        ("INTERVAL=2", "not by nothing"),
    ],
)
def test_a_rule_that_is_not_read_says_what_is_wrong(rule: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        days(rule, START)


@pytest.mark.parametrize("rule", ["FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "FREQ=DAILY"])
def test_a_walk_ends_when_its_steps_are_used_up(rule: str) -> None:
    with pytest.raises(ValueError, match="more than"):
        days(rule, START, Walk(1_000))
