"""The spacing of fire times is reported exactly."""

from datetime import timedelta
from itertools import islice, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rota.domain.lint.definition import lint_definition
from rota.domain.lint.dst_changes import AHEAD
from rota.domain.lint.spacing import closer_than
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.fire_times import fire_times
from tests.domain.lint.test_facts import BEGIN, CHANGING, DSTS, cron_of, from_to
from tests.domain.schedules.rules import read
from tests.support.factories import DAY, HOUR, MINUTE, define

SECOND = timedelta(seconds=1)

CLOSE = st.builds(
    lambda minutes, hours, days, weekdays, zone, dst: cron_of(
        f"{minutes} {hours} {days} * {weekdays}", timezone=zone, dst=dst
    ),
    st.sampled_from(["0", "30", "*/5,59", "*/7", "0,58", "15,45"]),
    st.sampled_from(["*", "9", "1,3,5,7,9,11,13,15,16", "*/5", "0,23", "2", "1-3"]),
    st.sampled_from(["*", "1,15", "1,31", "*/10", "28,1"]),
    st.sampled_from(["*", "1", "0,6"]),
    CHANGING,
    DSTS,
) | st.builds(
    lambda days, step, zone, dst: read(
        type="calendar", **days, step=step, time="02:30", timezone=zone, dst=dst
    ),
    st.sampled_from(
        [
            {"unit": "day"},
            {"unit": "week", "day": ["mon", "thu", "sun"]},
            {"unit": "month", "day": [1, 2]},
            {"unit": "month", "day": [1, 31, "last"]},
            {"unit": "year", "day": ["02-28", "03-01", "10-25"]},
        ]
    ),
    st.integers(1, 3),
    CHANGING,
    DSTS,
)


@given(
    CLOSE,
    st.sampled_from(
        [30 * SECOND, 2 * MINUTE, 50 * MINUTE, 90 * MINUTE, 23 * HOUR, 30 * HOUR, 5 * DAY]
    ),
)
@settings(deadline=None, max_examples=40)
def test_fire_times_are_reported_as_closer_than_a_span_exactly_where_they_are(
    schedule: Any, span: timedelta
) -> None:
    # Days apart are compared for as many years as it takes a leap day to come.
    years = 12 if schedule.type == "calendar" and schedule.unit == "year" else 1
    until = BEGIN + AHEAD + years * 366 * DAY
    times = [each.at for each in from_to(schedule, BEGIN, until, 12_000)]
    by_day = [later - earlier for earlier, later in pairwise(times)]

    found = closer_than(schedule, span, BEGIN.date(), BEGIN)

    # Beyond the year ahead, clocks are not looked at.
    year = [later - earlier for earlier, later in pairwise(times) if later < BEGIN + AHEAD]
    if found is None:
        assert all(apart >= span for apart in year)
    else:
        assert found.gap < span
        assert min(by_day) <= found.gap
        assert found.gap in by_day


@pytest.mark.parametrize(
    ("schedule", "timeout", "warned"),
    [
        ({"type": "cron", "expression": "*/5,59 * * * *"}, "2m", "1 minute apart"),
        ({"type": "cron", "expression": "0 1,3,5,7,9,11,13,15,16 * * *"}, "90m", "1 hour apart"),
        (
            {
                "type": "any_of",
                "schedules": [
                    {"type": "cron", "expression": "0 * * * *"},
                    {"type": "cron", "expression": "55 23 * * *"},
                ],
            },
            "15m",
            "5 minutes apart",
        ),
        (
            {"type": "calendar", "unit": "month", "step": 3, "day": [1, 2], "time": "09:00"},
            "30h",
            "1 day apart",
        ),
        ({"type": "interval", "every": 60, "jitter": 50}, 40, "10 seconds and 1 millisecond apart"),
        ({"type": "interval", "every": 60, "flex": 50}, 40, "10 seconds and 1 millisecond apart"),
        ({"type": "interval", "every": 60, "jitter": 10}, 40, None),
        (
            {"type": "cron", "expression": "0 1,3 * * *", "timezone": "Europe/Berlin"},
            "90m",
            "1 hour apart where the clocks are changed, on 2026-03-29",
        ),
        ({"type": "cron", "expression": "0 1,3 * * *"}, "90m", None),
        (
            {"type": "cron", "expression": "*/5 * * * *", "end_at": "2026-03-10T00:04:00Z"},
            "1h",
            None,
        ),
        ({"type": "cron", "expression": "*/5 * * * *", "max_runs": 1}, "1h", None),
        ({"type": "interval", "every": 10, "mode": "fixed_delay"}, "1h", None),
    ],
)
def test_a_timeout_is_compared_with_the_closest_of_all_fire_times(
    schedule: Any, timeout: Any, warned: str | None
) -> None:
    definition = define(schedule=schedule, timeout=timeout)

    found = lint_definition(definition, BEGIN, [BEGIN], BEGIN)

    messages = [each.message for each in found if each.code == "timeout_longer_than_interval"]
    assert len(messages) == (warned is not None)
    assert warned is None or warned in messages[0]


@given(
    st.sampled_from(["interval", "cron", "any_of"]),
    st.integers(2, 100),
    st.booleans(),
)
@settings(deadline=None, max_examples=20)
def test_moved_fire_times_are_never_closer_than_reported_and_some_nearly_are(
    kind: str,
    window: int,
    flexed: bool,  # hypothesis draws it
) -> None:
    moved = {"flex" if flexed and kind == "interval" and window <= 60 else "jitter": window}
    rules: dict[str, dict[str, Any]] = {
        "interval": {"type": "interval", "every": 60},
        "cron": {"type": "cron", "expression": "* * * * *"},
        "any_of": {"type": "any_of", "schedules": [{"type": "interval", "every": 60}]},
    }
    schedule = read(**rules[kind] | moved)

    warned = closer_than(schedule, HOUR, BEGIN.date(), BEGIN)
    apart = [
        later.at - earlier.at
        for name in "abcd"
        for earlier, later in pairwise(
            islice(fire_times(schedule, Anchor(BEGIN, name), BEGIN), 400)
        )
    ]

    assert warned is not None
    assert warned.moved
    assert warned.gap <= min(apart) <= warned.gap + 15 * SECOND


def test_a_timeout_that_was_asked_for_counts_also_if_it_is_the_default() -> None:
    definition = define(schedule={"type": "interval", "every": 10}, timeout=300)

    silent = lint_definition(definition, BEGIN, [BEGIN], BEGIN)
    (warned,) = lint_definition(definition, BEGIN, [BEGIN], BEGIN, timeout_given=True)

    assert silent == []
    assert warned.code == "timeout_longer_than_interval"


def test_a_look_at_how_close_fire_times_come_is_bounded() -> None:
    members = [{"type": "cron", "expression": f"{number} * * * *"} for number in range(20)]
    union = read(type="any_of", schedules=members)
    looks = 0

    def counted(*given: Any) -> Any:
        nonlocal looks
        for each in fire_times(*given):
            looks += 1
            yield each

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rota.domain.lint.spacing.fire_times", counted)
        assert closer_than(union, 2 * SECOND, BEGIN.date(), BEGIN) is None

    assert looks < 1_000
