"""Backfills: the fire times of a span, counted, and read in both directions from anywhere."""

from datetime import timedelta
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rota.domain import backfills
from rota.domain.backfills import SHOWN, Span, survey, times_from
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.fire_times import fire_times
from rota.domain.schedules.running_times import running_times
from rota.domain.step_budget import limited_to
from rota.errors import Invalid
from tests.support.factories import DAY, HOUR, MINUTE, NOON, define

_TICK = timedelta(milliseconds=1)
SCHEDULES: list[dict[str, Any]] = [
    {"type": "cron", "expression": "*/7 * * * *"},
    {"type": "cron", "expression": "*/5 9-10 * * 1"},  # bursts with a week between them
    {"type": "cron", "expression": "30 2 * * *", "timezone": "Europe/Berlin"},
    {"type": "interval", "every": "13m"},
    {"type": "interval", "every": 3600, "anchor": "2026-03-09T00:10:00Z"},
    {"type": "once", "at": "2026-03-10T18:00:00Z"},
    {"type": "cron", "expression": "*/20 * * * *", "jitter": "9m", "exclude": ["2026-03-11"]},
    {"type": "calendar", "unit": "day", "step": 2, "time": "09:00"},
    {
        "type": "any_of",
        "schedules": [
            {"type": "interval", "every": "50m"},
            {"type": "cron", "expression": "30 2 * * *", "timezone": "Europe/Berlin"},
        ],
        "exclude": [{"from": "2026-03-10T15:00:00Z", "to": "2026-03-10T19:00:00Z"}],
    },
]


def _span(schedule: dict[str, Any], starts_at: Any = NOON, length: timedelta = DAY) -> Span:
    return Span(
        schedule=define(schedule=schedule).schedule,
        anchor=Anchor(NOON, "t"),
        starts_at=starts_at,
        ends_at=starts_at + length,
    )


def _times(span: Span) -> list[Any]:
    """Return the fire times of a span as the rule itself has them."""
    found = []
    for time in fire_times(span.schedule, span.anchor, span.starts_at - _TICK):
        if time.at > span.ends_at:
            break
        if time.skip is None:
            found.append(time.at)
    return found


spans = st.builds(
    _span,
    st.sampled_from(SCHEDULES),
    st.integers(-100, 5_000).map(lambda minutes: NOON + minutes * MINUTE),
    st.integers(0, 20_000).map(lambda minutes: minutes * MINUTE),
)


@settings(max_examples=60, deadline=None)
@given(spans, st.booleans(), st.data())
def test_from_any_fire_time_the_rest_follows_in_either_order(
    span: Span, newest_first: bool, data: st.DataObject
) -> None:
    wanted = _times(span)
    found = survey(span, newest_first=newest_first)
    ordered = wanted[::-1] if newest_first else wanted

    assert (found.runs, list(found.shown)) == (len(ordered), ordered[:SHOWN])
    if ordered:
        at = data.draw(st.integers(0, len(ordered) - 1))
        rest = times_from(span, ordered[at], newest_first=newest_first, expected=found.runs)
        assert list(rest) == ordered[at:]


def test_both_ends_of_a_span_are_in_it() -> None:
    hourly = _span({"type": "cron", "expression": "0 * * * *"}, NOON, 2 * HOUR)

    assert list(survey(hourly, newest_first=False).shown) == [NOON, NOON + HOUR, NOON + 2 * HOUR]


def test_going_backwards_over_a_long_pause_takes_few_looks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[Any] = []
    span = _span({"type": "cron", "expression": "0 0 1 1 *"}, NOON - 3_000 * DAY, 3_000 * DAY)
    first = survey(span, newest_first=True).first
    assert first is not None

    def looked(*given: Any) -> Any:
        looks.append(given)
        return running_times(*given)

    monkeypatch.setattr(backfills, "running_times", looked)

    # As if there were thousands of fire times in the span, that is with small windows.
    found = list(islice(times_from(span, first, newest_first=True, expected=3_000), 3))

    assert [at.year for at in found] == [2026, 2025, 2024]
    assert len(looks) < 30


def test_more_fire_times_than_a_backfill_may_have_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backfills, "MOST_FIRE_TIMES", 24)
    survey(_span({"type": "interval", "every": 3600}), newest_first=False)

    with pytest.raises(Invalid, match="more than 24 fire times") as refused:
        survey(_span({"type": "interval", "every": 3000}), newest_first=False)

    assert [fault.pointer for fault in refused.value.faults] == ["/to"]


def test_members_that_come_together_count_as_steps_but_not_as_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    minutely = [{"type": "interval", "every": 60} for _ in range(20)]
    span = _span({"type": "any_of", "schedules": minutely}, length=HOUR)

    assert survey(span, newest_first=False).runs == 60

    monkeypatch.setattr(backfills, "MOST_STEPS", 1_000)
    with pytest.raises(Invalid, match="more than 1,000 steps") as refused:
        survey(span, newest_first=False)
    assert [fault.pointer for fault in refused.value.faults] == ["/to"]


def test_what_is_left_out_is_passed_over_at_once() -> None:
    out = [{"from": "2026-01-01", "to": "2026-12-31"}]
    every_second = {"type": "interval", "every": 1, "exclude": out}
    once = {"type": "once", "at": "2026-11-01T00:00:00Z"}
    span = _span({"type": "any_of", "schedules": [every_second, once]}, length=290 * DAY)

    with limited_to(1_000):
        assert survey(span, newest_first=False).runs == 1
