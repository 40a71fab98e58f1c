"""Every n-th day, week, month or year at a time of day."""

from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta
from itertools import takewhile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rota.domain.schedules.calendar import WEEKDAYS, Pattern, Unit, local_times
from tests.domain.schedules.rules import read, take
from tests.support.factories import DAY, NOON

SPAN = 900 * DAY
UNITS: list[Unit] = ["day", "week", "month", "year"]
DAYS: dict[str, st.SearchStrategy[Any]] = {
    "day": st.just(()),
    "week": st.sets(st.sampled_from(WEEKDAYS), min_size=1).map(tuple),
    "month": st.sets(st.integers(1, 31) | st.just("last"), min_size=1, max_size=4).map(tuple),
    "year": st.sets(st.sampled_from(["01-01", "02-28", "02-29", "12-31"]), min_size=1).map(tuple),
}


@st.composite
def patterns(draw: st.DrawFn) -> Pattern:
    unit = draw(st.sampled_from(UNITS))
    days = draw(DAYS[unit])
    ordered = sorted(days, key=WEEKDAYS.index) if unit == "week" else days
    return Pattern(
        unit,
        draw(st.integers(1, 5)),
        time(draw(st.integers(0, 23)), draw(st.integers(0, 59))),
        tuple(ordered),
        keep_missing=draw(st.booleans()),
    )


def _fires_on(pattern: Pattern, phase: date, day: date) -> bool:
    """Look at one date, and count the periods from the phase to it one by one."""
    return _periods_between(pattern.unit, phase, day) % pattern.step == 0 and any(
        _is_meant(pattern, wanted, day) for wanted in pattern.days or ("",)
    )


def _periods_between(unit: Unit, phase: date, day: date) -> int:
    match unit:
        case "day":
            return (day - phase).days
        case "week":
            mondays = [each - each.weekday() * DAY for each in (phase, day)]
            return (mondays[1] - mondays[0]).days // 7
        case "month":
            return 12 * (day.year - phase.year) + day.month - phase.month
        case "year":
            return day.year - phase.year


def _is_meant(pattern: Pattern, wanted: int | str, day: date) -> bool:
    last = monthrange(day.year, day.month)[1]
    match pattern.unit:
        case "day":
            return True
        case "week":
            return WEEKDAYS[day.weekday()] == wanted
        case "month" if wanted == "last":
            return day.day == last
        case "month":
            return day.day == wanted or (
                pattern.keep_missing and day.day == last and int(wanted) > last
            )
        case "year":
            leaps = pattern.keep_missing and wanted == "02-29" and last == 28
            return f"{day:%m-%d}" == wanted or (leaps and f"{day:%m-%d}" == "02-28")


@given(patterns(), st.integers(-1_000, 1_000), st.integers(0, 86_399))
@settings(max_examples=60, deadline=None)
def test_a_calendar_fires_on_the_days_that_a_look_at_each_day_finds(
    pattern: Pattern, days: int, seconds: int
) -> None:
    phase = NOON.date()
    start = NOON.replace(tzinfo=None) + days * DAY + timedelta(seconds=seconds)
    dates = (start.date() + number * DAY for number in range(SPAN.days))

    found = list(
        takewhile(lambda at: at.date() < start.date() + SPAN, local_times(pattern, phase, start))
    )

    wanted = [datetime.combine(day, pattern.at) for day in dates if _fires_on(pattern, phase, day)]
    assert found == [at for at in wanted if at >= start]


def _days(number: int = 4, **fields: Any) -> list[str]:
    schedule = read(type="calendar", time="09:00", **fields)
    return [f"{each.at:%Y-%m-%d}" for each in take(schedule, NOON, number)]


@pytest.mark.parametrize(
    ("fields", "days"),
    [
        ({"unit": "day"}, ["2026-03-11", "2026-03-12", "2026-03-13", "2026-03-14"]),
        ({"unit": "day", "step": 3}, ["2026-03-13", "2026-03-16", "2026-03-19", "2026-03-22"]),
        (
            {"unit": "week", "day": "tue", "step": 2},  # registered on a Tuesday at noon
            ["2026-03-24", "2026-04-07", "2026-04-21", "2026-05-05"],
        ),
        (
            {"unit": "month", "day": 31},
            ["2026-03-31", "2026-05-31", "2026-07-31", "2026-08-31"],
        ),
        (
            {"unit": "month", "day": 31, "missing_day": "last"},
            ["2026-03-31", "2026-04-30", "2026-05-31", "2026-06-30"],
        ),
        (
            {"unit": "month", "day": [30, "last"]},
            ["2026-03-30", "2026-03-31", "2026-04-30", "2026-05-30"],
        ),
        (
            {"unit": "month", "day": 1, "step": 3, "start_at": "2026-05-20T00:00:00Z"},
            ["2026-08-01", "2026-11-01", "2027-02-01", "2027-05-01"],
        ),
        (
            {"unit": "year", "day": "02-29"},
            ["2028-02-29", "2032-02-29", "2036-02-29", "2040-02-29"],
        ),
        (
            {"unit": "year", "day": "02-29", "missing_day": "last"},
            ["2027-02-28", "2028-02-29", "2029-02-28", "2030-02-28"],
        ),
        (
            {"unit": "year", "day": ["12-24", "01-06"], "end_at": "2027-06-01T00:00:00Z"},
            ["2026-12-24", "2027-01-06"],
        ),
    ],
)
def test_calendars(fields: dict[str, Any], days: list[str]) -> None:
    assert _days(**fields) == days


def test_the_time_of_day_stays_when_the_clocks_are_changed() -> None:
    schedule = read(type="calendar", unit="day", time="09:00:30", timezone="Europe/Berlin")

    times = [each.at for each in take(schedule, datetime(2026, 3, 28, tzinfo=UTC), 2)]

    assert times == [
        datetime(2026, 3, 28, 8, 0, 30, tzinfo=UTC),
        datetime(2026, 3, 29, 7, 0, 30, tzinfo=UTC),
    ]


def test_the_phase_is_the_local_date_of_the_registration() -> None:
    # At 12:00 UTC it is the 11th on Kiritimati (UTC+14), so the 11th, the 13th … count.
    schedule = read(
        type="calendar", unit="day", step=2, time="12:00", timezone="Pacific/Kiritimati"
    )

    days = [f"{each.at:%d %H}" for each in take(schedule, NOON, 2)]

    assert days == ["10 22", "12 22"]


def test_a_day_that_never_comes_ends_with_the_calendar() -> None:
    schedule = read(
        type="calendar",
        unit="month",
        day=31,
        step=12,
        time="09:00",
        start_at="2026-04-01T00:00:00Z",
    )

    assert take(schedule, NOON, 1) == []
