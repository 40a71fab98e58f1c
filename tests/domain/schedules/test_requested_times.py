"""Times that are asked about: instants, and dates and local times on the clock of a task."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rota.domain.schedules.requested_times import RequestedTime, parse_requested_time, zone_of
from rota.errors import Unplannable
from tests.domain.schedules.rules import ZONES, read
from tests.support.factories import DAY, HOUR

BERLIN = "Europe/Berlin"
WALL = datetime(2026, 1, 1)  # noqa: DTZ001  # a time on the wall


def at(value: str, zone: str | None = BERLIN) -> datetime:
    asked = parse_requested_time(value, zone)
    assert not asked.is_day
    assert asked.start == asked.end == asked.last
    return asked.start


@given(
    ZONES, st.integers(0, 700 * 24 * 60 * 60).map(lambda number: WALL + timedelta(seconds=number))
)
@settings(deadline=None, max_examples=60)
def test_a_local_time_is_the_instant_at_which_the_clock_shows_it_first(
    zone: str, local: datetime
) -> None:
    place = ZoneInfo(zone)

    found = at(local.isoformat(), zone)

    shown = found.astimezone(place).replace(tzinfo=None)
    if local.replace(tzinfo=place).astimezone(UTC).astimezone(place).replace(tzinfo=None) == local:
        assert shown == local
        assert found == local.replace(tzinfo=place, fold=0).astimezone(UTC)
    else:  # the clock never shows it: the instant at which it continues
        assert shown > local
        before = (found - timedelta(seconds=1)).astimezone(place).replace(tzinfo=None)
        assert before < local


def test_a_local_time_may_be_written_short() -> None:
    wanted = datetime(2026, 12, 24, 16, 30, tzinfo=UTC)

    assert at("2026-12-24T17:30") == at("2026-12-24 17:30:00") == wanted
    assert at("2026-12-24T17:30:00.250") == wanted + timedelta(milliseconds=250)
    assert at("2026-12-24T17:30:00+01:00", None) == wanted


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-07-01", 24)]
)
def test_a_date_is_all_of_its_day(day: str, hours: int) -> None:
    asked = parse_requested_time(day, BERLIN)

    assert asked.is_day
    assert asked.end - asked.start == hours * HOUR
    assert asked.start.astimezone(ZoneInfo(BERLIN)).isoformat().startswith(f"{day}T00:00:00")
    assert asked.last == asked.end - timedelta(milliseconds=1)


def test_a_day_that_begins_when_clocks_go_forward_begins_there() -> None:
    asked = parse_requested_time("2026-03-08", "America/Havana")  # from 00:00 to 01:00

    assert asked == RequestedTime(
        datetime(2026, 3, 8, 5, tzinfo=UTC), datetime(2026, 3, 8, 5, tzinfo=UTC) + DAY - HOUR
    )


@pytest.mark.parametrize(
    ("value", "zone", "says"),
    [
        ("2026-11-25T08:00:00 01:00", BERLIN, "'%2B', as in '2026-11-25T08:00:00%2B01:00'"),
        ("2026-11-25T08:00:00.5 01:00", None, "'2026-11-25T08:00:00.5%2B01:00'"),
        ("2026-11-25", None, "exactly one task that exists"),
        ("2026-11-25T08:00", None, "exactly one task that exists"),
        ("yesterday", BERLIN, "or a date, on the clock of Europe/Berlin"),
        ("yesterday", None, "RFC 3339 with an offset"),
        ("2026-02-30", BERLIN, "not a date that exists"),
        ("2026-02-30T08:00", BERLIN, "not a time that exists"),
        ("1969-12-31", BERLIN, "the years 1970 to 8999"),
        ("", BERLIN, "RFC 3339"),
    ],
)
def test_an_invalid_time_is_refused_with_a_suggestion(
    value: str, zone: str | None, says: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        parse_requested_time(value, zone)


def test_a_zone_that_is_gone_has_no_clock() -> None:
    with pytest.raises(Unplannable):
        parse_requested_time("2026-11-25", "Mars/Olympus")


def test_the_clock_of_several_rules_is_that_of_the_first_one_with_a_zone() -> None:
    hourly = {"type": "interval", "every": "1h"}
    daily = {"type": "cron", "expression": "0 9 * * *", "timezone": BERLIN}

    assert zone_of(read(**hourly)) == "UTC"
    assert zone_of(read(type="any_of", schedules=[hourly, daily])) == BERLIN
