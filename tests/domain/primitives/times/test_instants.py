from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.domain.primitives.times.instants import format_instant, parse_instant, parse_local
from tests.support.factories import NOON

OFFSETS = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@pytest.mark.parametrize(
    ("text", "out"),
    [
        ("2026-12-24T17:30:00+01:00", "2026-12-24T16:30:00.000Z"),
        ("2026-12-24T17:30:00Z", "2026-12-24T17:30:00.000Z"),
        ("2026-12-24t17:30:00z", "2026-12-24T17:30:00.000Z"),
        ("2026-12-24 17:30:00.5-00:30", "2026-12-24T18:00:00.500Z"),
        ("2026-12-24T17:30:00.123456789Z", "2026-12-24T17:30:00.123Z"),
        ("2026-12-24T17:30:00.9999Z", "2026-12-24T17:30:00.999Z"),
    ],
)
def test_an_instant_is_read_with_its_offset_and_shown_in_utc(text: str, out: str) -> None:
    assert format_instant(parse_instant(text)) == out


@pytest.mark.parametrize(
    "wrong",
    [
        "2026-12-24T17:30:00",
        "2026-12-24T17:30Z",
        "2026-12-24",
        "2026-02-30T00:00:00Z",
        "2026-12-24T25:00:00Z",
        "2026-12-24T17:30:00+25:00",
        "2026-12-24T17:30:00 +01:00",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-12:00",
        "٢٠٢٦-12-24T17:30:00Z",
        "2026-12-24T17:30:00Z\n",
        1_700_000_000,
        None,
        "",
    ],
)
def test_what_is_not_an_instant_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"RFC 3339|exists|years"):
        parse_instant(wrong)


@given(st.datetimes(datetime(1970, 1, 3), datetime(8999, 12, 29), timezones=OFFSETS))  # noqa: DTZ001  # given a zone
def test_what_goes_out_can_be_read_back(instant: datetime) -> None:
    read = parse_instant(instant.isoformat())

    assert read.tzinfo is UTC
    assert timedelta(0) <= instant - read < timedelta(milliseconds=1)
    assert parse_instant(format_instant(read)) == read


@pytest.mark.parametrize(
    "text", ["2026-12-24T17:30", "2026-12-24T17:30:00", "2026-12-24T17:30:00.5"]
)
def test_a_local_time_has_no_offset(text: str) -> None:
    assert parse_local(text).tzinfo is None


@pytest.mark.parametrize(
    "wrong",
    [
        "2026-12-24T17:30:00Z",
        "2026-12-24 17:30",
        "2026-12-24",
        "2026-02-30T00:00",
        "0001-01-01T00:00",
        "",
    ],
)
def test_what_is_not_a_local_time_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"local time|exists|years"):
        parse_local(wrong)


def test_an_instant_stays_an_instant() -> None:
    assert parse_instant(NOON) is NOON
