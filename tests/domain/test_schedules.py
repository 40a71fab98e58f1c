from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from app.domain.schedules import (
    LAST_INSTANT,
    STORED,
    Cron,
    Interval,
    Schedule,
    due,
    fire_times,
    first_fire,
    next_fire,
    upcoming,
)
from app.errors import Unplannable
from tests.factories import DAY, HOUR, MINUTE, NOON

ADAPTER: TypeAdapter[Any] = TypeAdapter(Schedule)
SECOND = timedelta(seconds=1)
INTERVALS = st.builds(
    lambda every, anchor: ADAPTER.validate_python(
        {"type": "interval", "every": every}
        | ({} if anchor is None else {"anchor": NOON + timedelta(seconds=anchor)})
    ),
    st.integers(1, 10_000) | st.floats(1, 1_000),
    st.none() | st.integers(-100_000, 100_000),
)
CRONS = st.sampled_from(["* * * * *", "*/7 * * * *", "30 2 * * *", "*/25 * * * * *"]).map(
    lambda expression: Cron(type="cron", expression=expression, timezone="Europe/Berlin")
)
ONCES = st.integers(-1_000, 10_000).map(
    lambda seconds: ADAPTER.validate_python(
        {"type": "once", "at": (NOON + timedelta(seconds=seconds)).isoformat()}
    )
)
SCHEDULES = INTERVALS | CRONS | ONCES
AGES = st.integers(0, 20_000).map(lambda seconds: timedelta(seconds=seconds))


def _read(**members: Any) -> Any:
    return ADAPTER.validate_python(members)


# --- what is declared
@pytest.mark.parametrize(
    ("declared", "shown"),
    [
        ({"type": "once", "at": "2026-12-24T17:30:00+01:00"}, {"at": "2026-12-24T16:30:00.000Z"}),
        (
            {"type": "once", "at": "2026-12-24T17:30", "timezone": "Europe/Berlin"},
            {"at": "2026-12-24T17:30:00"},
        ),
        ({"type": "once", "delay": "2h"}, {"delay": 7_200}),
        ({"type": "interval", "every": "15m"}, {"every": 900, "mode": "fixed_rate"}),
        ({"type": "cron", "expression": " 0  9 * * 1-5 "}, {"expression": "0 9 * * 1-5"}),
        ({"type": "manual"}, {}),
    ],
)
def test_a_schedule_is_echoed_as_it_was_sent_but_normalised(declared: Any, shown: Any) -> None:
    once = ADAPTER.validate_python(declared)
    out = ADAPTER.dump_python(once, mode="json", exclude_none=True)

    assert out.items() >= shown.items()
    assert ADAPTER.validate_python(out) == once


@pytest.mark.parametrize(
    ("declared", "place"),
    [
        ({}, ()),
        ({"type": "hourly"}, ()),
        ({"type": "once"}, ("once",)),
        ({"type": "once", "at": "2026-12-24T17:30:00Z", "delay": 1}, ("once",)),
        ({"type": "once", "at": "2026-12-24T17:30:00"}, ("once", "at")),
        ({"type": "once", "at": "2026-12-24T17:30:00Z", "timezone": "UTC"}, ("once", "at")),
        ({"type": "once", "at": "2026-12-24T17:30:00", "timezone": "Bonn"}, ("once", "timezone")),
        ({"type": "once", "delay": 1, "timezone": "UTC"}, ("once",)),
        ({"type": "interval", "every": 0.999}, ("interval", "every")),
        (
            {"type": "interval", "every": "1m", "anchor": "2026-12-24T17:30:00"},
            ("interval", "anchor"),
        ),
        ({"type": "interval", "every": "1m", "mode": "fixed_delay"}, ("interval", "mode")),
        ({"type": "cron", "expression": "0 0 30 2 *"}, ("cron", "expression")),
        ({"type": "cron", "expression": "0 0 * * *", "timezone": "Bonn"}, ("cron", "timezone")),
        ({"type": "cron", "expression": "0 0 * * *", "time_zone": "UTC"}, ("cron", "time_zone")),
        ({"type": "manual", "every": 5}, ("manual", "every")),
    ],
)
def test_a_wrong_schedule_is_refused_at_the_place_of_its_fault(declared: Any, place: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        ADAPTER.validate_python(declared)

    assert [error["loc"] for error in refused.value.errors()] == [place]


def test_what_is_stored_can_be_read_though_its_zone_has_gone() -> None:
    declared = {"type": "cron", "expression": "0 0 * * *", "timezone": "Atlantis/Capital"}

    read = ADAPTER.validate_python(declared, context=STORED)

    with pytest.raises(Unplannable, match="Atlantis"):
        next_fire(read, NOON, NOON)


# --- fire times
@given(SCHEDULES, AGES)
@settings(deadline=None)
def test_fire_times_rise_and_come_after_their_start(schedule: Any, age: timedelta) -> None:
    times = upcoming(schedule, NOON, NOON + age, 5)

    assert times == sorted(set(times))
    assert all(at > NOON + age for at in times)
    assert next_fire(schedule, NOON, NOON + age) == (times[0] if times else None)


@given(INTERVALS, AGES)
def test_an_interval_keeps_its_phase(schedule: Interval, age: timedelta) -> None:
    origin = schedule.anchor or NOON

    for at in upcoming(schedule, NOON, NOON + age, 4):
        assert (at - origin) % schedule.every == timedelta(0)


def test_an_interval_first_fires_after_its_time_or_at_its_anchor() -> None:
    plain = _read(type="interval", every="15m")
    ahead = _read(type="interval", every="15m", anchor=NOON + HOUR)
    now = _read(type="interval", every="15m", anchor=NOON)
    past = _read(type="interval", every="15m", anchor=NOON - 5 * MINUTE)

    firsts = [first_fire(schedule, NOON) for schedule in (plain, ahead, now, past)]

    assert firsts == [NOON + minutes * MINUTE for minutes in (15, 60, 15, 10)]


def test_an_interval_ends_with_the_calendar() -> None:
    schedule = _read(type="interval", every="36500d")

    times = list(fire_times(schedule, NOON, NOON))

    assert times[-1] <= LAST_INSTANT < times[-1] + schedule.every


def test_a_once_fires_once() -> None:
    at = NOON + HOUR
    schedule = _read(type="once", at=at.isoformat())

    assert upcoming(schedule, NOON, NOON, 9) == [at]
    assert next_fire(schedule, NOON, at) is None
    assert first_fire(schedule, at + DAY) == at  # what is past is due at once


def test_a_delay_counts_from_the_registration() -> None:
    schedule = _read(type="once", delay="2h")

    assert first_fire(schedule, NOON) == NOON + 2 * HOUR
    assert next_fire(schedule, NOON, NOON + 90 * MINUTE) == NOON + 2 * HOUR


@pytest.mark.parametrize(
    ("local", "instant"),
    [
        ("2026-12-24T17:30:00", datetime(2026, 12, 24, 16, 30, tzinfo=UTC)),
        ("2026-03-29T02:30:00", datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),  # in the gap: after it
        ("2026-10-25T02:30:00", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),  # twice: the first
    ],
)
def test_a_local_time_is_one_instant(local: str, instant: datetime) -> None:
    schedule = _read(type="once", at=local, timezone="Europe/Berlin")

    assert first_fire(schedule, NOON) == instant


def test_a_manual_task_never_fires() -> None:
    schedule = _read(type="manual")

    assert first_fire(schedule, NOON) is None
    assert upcoming(schedule, NOON, NOON, 9) == []


# --- what is due
@given(SCHEDULES, AGES, st.integers(1, 40))
@settings(deadline=None)
def test_what_is_due_is_what_stepping_finds(schedule: Any, age: timedelta, most: int) -> None:
    first = first_fire(schedule, NOON)
    assert first is not None
    until = max(first, NOON + age)
    if isinstance(schedule, Interval):
        until, most = (
            min(until, first + 50 * schedule.every),
            1_000,
        )  # these are counted, not stepped

    found = due(schedule, NOON, first, until, most)

    later = takewhile(lambda at: at <= until, fire_times(schedule, NOON, first))
    times = [first, *islice(later, most - 1)]
    assert (found.first, found.last, found.count) == (times[0], times[-1], len(times))
    assert found.before_last == (times[-2] if len(times) > 1 else None)
    assert found.following == next_fire(schedule, NOON, times[-1])


def test_ten_years_of_seconds_are_counted_at_once() -> None:
    schedule = _read(type="interval", every=1)

    found = due(schedule, NOON, NOON + SECOND, NOON + 3_650 * DAY, most=1)

    assert found.count == 3_650 * 86_400
    assert found.following == NOON + 3_650 * DAY + SECOND
