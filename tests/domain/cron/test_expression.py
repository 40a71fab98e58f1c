"""Cron, also around every kind of change of the clocks."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rota.domain.cron.expression import MACROS, normalise
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.fire_times import fire_times as all_fire_times
from rota.domain.schedules.rules import Cron

HALF_AN_HOUR = timedelta(minutes=30)
# One hour or half an hour, at 02:00, at midnight or in the evening, and a zone that left a whole day out.
ZONES = {
    "Europe/Berlin": 2026,
    "Australia/Lord_Howe": 2026,
    "Pacific/Chatham": 2026,
    "America/Santiago": 2026,
    "Asia/Beirut": 2026,
    "Africa/Casablanca": 2026,
    "Pacific/Apia": 2011,
}
EXPRESSIONS = [
    "30 2 * * *",
    "0 0 * * *",
    "*/20 * * * *",
    "*/7 1-3 * * *",
    "15 * * * *",
    "0 9 * * 1-5",
    "0 0 13 * 5",
    "30 0 2 * * *",
    "*/20 30 2 * * *",
    "*/30 * * * * *",
    "45 1 * * 0",
]


def fire_times(expression: str, timezone: str, after: datetime) -> Iterator[datetime]:
    schedule = Cron(type="cron", expression=expression, timezone=timezone)
    return (time.at for time in all_fire_times(schedule, Anchor(after), after))


@cache
def _changes(zone: str) -> list[datetime]:
    """Return when the clocks of a zone are changed in its year."""
    start = datetime(ZONES[zone], 1, 1, tzinfo=UTC)
    steps = [start + number * HALF_AN_HOUR for number in range(366 * 48)]
    offsets = [step.astimezone(ZoneInfo(zone)).utcoffset() for step in steps]
    return [
        later
        for (_, later), (before, after) in zip(pairwise(steps), pairwise(offsets), strict=True)
        if before != after
    ]


@cache
def _around(zone: str, change: datetime, expression: str) -> list[datetime]:
    """Return the fire times from two days before a change to two days after it."""
    times = fire_times(expression, zone, change - timedelta(days=2))
    return list(takewhile(lambda at: at <= change + timedelta(days=2), times))


def _take(number: int, expression: str, zone: str, after: datetime) -> list[datetime]:
    return list(islice(fire_times(expression, zone, after), number))


def _local(times: list[datetime], zone: str) -> list[str]:
    return [at.astimezone(ZoneInfo(zone)).strftime("%m-%d %H:%M:%S") for at in times]


def _utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


CHANGES = st.sampled_from(sorted(ZONES)).flatmap(
    lambda zone: st.tuples(st.just(zone), st.sampled_from(_changes(zone)))
)


@given(CHANGES, st.sampled_from(EXPRESSIONS), st.integers(-4 * 3_600, 4 * 3_600))
@settings(max_examples=250, deadline=None)
def test_from_every_start_around_a_change_the_same_times_follow(
    change: tuple[str, datetime], expression: str, seconds: int
) -> None:
    zone, changed_at = change
    start = changed_at + timedelta(seconds=seconds)
    wanted = [at for at in _around(zone, changed_at, expression) if at > start]

    found = _take(4, expression, zone, start)

    assert all(earlier < later for earlier, later in pairwise([start, *found]))
    assert found[: len(wanted)] == wanted[:4]


@pytest.mark.parametrize("zone", sorted(ZONES.keys() - {"Pacific/Apia"}))
@pytest.mark.parametrize("expression", ["30 2 * * *", "0 0 * * *", "0 30 2 * * *", "15 0 * * *"])
def test_a_daily_job_fires_once_on_every_day(zone: str, expression: str) -> None:
    for changed_at in _changes(zone):
        days = [day[:5] for day in _local(_around(zone, changed_at, expression), zone)]
        hours = [changed_at + number * HALF_AN_HOUR for number in range(-60, 60)]
        exist = {day[:5] for day in _local(hours, zone)}

        assert len(set(days)) == len(days)
        assert exist <= set(days) | {min(exist), max(exist)}


def test_berlin_at_half_past_two_fires_once_on_both_days_of_the_year() -> None:
    spring = _take(3, "30 2 * * *", "Europe/Berlin", _utc(2026, 3, 27, 12))
    autumn = _take(3, "30 2 * * *", "Europe/Berlin", _utc(2026, 10, 23, 12))

    assert spring == [_utc(2026, 3, 28, 1, 30), _utc(2026, 3, 29, 1), _utc(2026, 3, 30, 0, 30)]
    assert autumn == [
        _utc(2026, 10, 24, 0, 30),
        _utc(2026, 10, 25, 0, 30),
        _utc(2026, 10, 26, 1, 30),
    ]


def test_an_hourly_job_follows_the_hours_that_pass() -> None:
    spring = _take(3, "0 * * * *", "Europe/Berlin", _utc(2026, 3, 28, 23, 59))
    autumn = _take(4, "0 * * * *", "Europe/Berlin", _utc(2026, 10, 24, 23, 30))

    assert spring == [_utc(2026, 3, 29, hour) for hour in (0, 1, 2)]
    assert autumn == [_utc(2026, 10, 25, hour) for hour in (0, 1, 2, 3)]


def test_zero_and_seven_are_sunday() -> None:
    sundays = [_utc(2026, 3, day) for day in (15, 22)]

    for day in ("0", "7", "SUN", "sun"):
        assert _take(2, f"0 0 * * {day}", "UTC", _utc(2026, 3, 10)) == sundays
    assert _take(1, "0 0 * * 1", "UTC", _utc(2026, 3, 10)) == [_utc(2026, 3, 16)]


def test_both_day_fields_are_or_ed_when_both_are_restricted() -> None:
    either = _take(5, "0 0 13 * 5", "UTC", _utc(2026, 3, 1))
    only = _take(2, "0 0 13 * *", "UTC", _utc(2026, 3, 1))

    assert either == [_utc(2026, 3, day) for day in (6, 13, 20, 27)] + [_utc(2026, 4, 3)]
    assert only == [_utc(2026, 3, 13), _utc(2026, 4, 13)]


def test_of_six_fields_the_first_is_the_seconds() -> None:
    assert _take(3, "*/20 5 12 * * *", "UTC", _utc(2026, 3, 10, 12, 5, 1)) == [
        _utc(2026, 3, 10, 12, 5, 20),
        _utc(2026, 3, 10, 12, 5, 40),
        _utc(2026, 3, 11, 12, 5),
    ]


@pytest.mark.parametrize(
    ("macro", "first"),
    [
        ("@hourly", _utc(2026, 3, 10, 13)),
        ("@daily", _utc(2026, 3, 11)),
        ("@midnight", _utc(2026, 3, 11)),
        ("@weekly", _utc(2026, 3, 15)),
        ("@monthly", _utc(2026, 4, 1)),
        ("@yearly", _utc(2027, 1, 1)),
        ("@ANNUALLY", _utc(2027, 1, 1)),
    ],
)
def test_macros(macro: str, first: datetime) -> None:
    assert normalise(macro) == macro.lower()
    assert _take(1, normalise(macro), "UTC", _utc(2026, 3, 10, 12)) == [first]


def test_every_macro_has_a_test() -> None:
    assert len(MACROS) == 7


@pytest.mark.parametrize(
    ("expression", "times"),
    [
        ("0 0 L * *", [_utc(2026, 3, 31), _utc(2026, 4, 30)]),
        ("0 0 * * 5L", [_utc(2026, 3, 27), _utc(2026, 4, 24)]),
        ("0 0 * * 1#2", [_utc(2026, 4, 13), _utc(2026, 5, 11)]),
        ("0 0 29 2 *", [_utc(2028, 2, 29), _utc(2032, 2, 29)]),
        ("0 9 * jan-mar mon-fri", [_utc(2026, 3, 11, 9), _utc(2026, 3, 12, 9)]),
    ],
)
def test_further_forms(expression: str, times: list[datetime]) -> None:
    assert _take(2, expression, "UTC", _utc(2026, 3, 10, 12)) == times


def test_an_expression_is_normalised() -> None:
    assert normalise("  0   9 * *\t1-5 ") == "0 9 * * 1-5"


def _fields() -> Iterator[st.SearchStrategy[str]]:
    for low, high in ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7)):
        number = st.integers(low, high).map(str)
        step = st.integers(1, high).map(lambda by: f"*/{by}")
        span = st.tuples(st.integers(low, high), st.integers(low, high)).map(
            lambda ends: f"{min(ends)}-{max(ends)}"
        )
        yield st.just("*") | number | step | span


@given(st.tuples(*_fields()).map(" ".join), st.sampled_from(sorted(ZONES)))
@settings(max_examples=100, deadline=None)
def test_any_expression_fires_in_its_minutes_or_is_refused(expression: str, zone: str) -> None:
    try:
        normalise(expression)
    except ValueError:
        return

    for at in _take(3, expression, zone, _utc(2026, 3, 1)):
        assert at.second == at.microsecond == 0
        assert at > _utc(2026, 3, 1)
