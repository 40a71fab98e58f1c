from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from rota.domain.primitives.times.durations import (
    MAX_DURATION,
    Duration,
    parse_duration,
    to_seconds,
)

ADAPTER: TypeAdapter[timedelta] = TypeAdapter(Duration)


@pytest.mark.parametrize(
    ("given_as", "seconds"),
    [
        (900, 900),
        (0.412, 0.412),
        (0, 0),
        ("0", 0),
        ("15m", 900),
        ("1h30m", 5_400),
        ("90s", 90),
        ("1.5h", 5_400),
        ("250ms", 0.25),
        ("2d1h1m1s1ms", 176_461.001),
        ("PT15M", 900),
        ("P1D", 86_400),
        ("P1DT12H", 129_600),
        ("PT0.5S", 0.5),
        (timedelta(minutes=1), 60),
        (1e-4, 0),
    ],
)
def test_a_duration_is_read_in_any_of_its_forms(given_as: Any, seconds: float) -> None:
    read = ADAPTER.validate_python(given_as)

    assert read == timedelta(seconds=seconds)
    assert ADAPTER.dump_python(read) == seconds


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "P",
        "PT",
        "P1DT",
        "P1W",
        "P1M",
        "P1Y",
        "1w",
        "15",
        "15 m",
        "1m1h",
        "-5s",
        "-PT5S",
        "5S",
        "pt5s",
        "1,5h",
        "1e3s",
        "٣s",
        " 5s",
        "5s\n",
        "1" * 41 + "s",
        True,
        None,
        [],
        -1,
        float("nan"),
        float("inf"),
        10**400,
        3_153_600_001,
        timedelta(days=-1),
        timedelta.max,
    ],
    ids=lambda wrong: repr(wrong)[:20],
)
def test_what_is_not_a_duration_is_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        ADAPTER.validate_python(wrong)

    assert refused.value.errors()[0]["type"] == "duration"


def test_a_refusal_says_what_would_be_right() -> None:
    with pytest.raises(ValueError, match="weeks, months and years have no fixed length"):
        parse_duration("P1M")


def test_a_century_is_the_longest_duration() -> None:
    assert parse_duration(MAX_DURATION) == parse_duration("36500d") == MAX_DURATION


@given(st.integers(0, 3_153_600_000_000).map(lambda ms: timedelta(milliseconds=ms)))
def test_what_goes_out_can_be_read_back(duration: timedelta) -> None:
    out = to_seconds(duration)

    assert ADAPTER.validate_json(ADAPTER.dump_json(duration)) == duration
    assert isinstance(out, int) == (duration % timedelta(seconds=1) == timedelta(0))


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read = parse_duration(text)
    except ValueError:
        return
    assert timedelta(0) <= read <= MAX_DURATION
