"""Deadlines leave out the times in which nobody watched."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from rota.domain.alerts.unwatched import (
    MOMENT,
    UnwatchedSpan,
    cut_at,
    deadline,
    start_deadline,
)
from tests.support.factories import HOUR, MINUTE, NOON

SECOND = timedelta(seconds=1)
minutes = st.integers(0, 300)


@st.composite
def spans(draw: st.DrawFn) -> list[UnwatchedSpan]:
    """Spans that do not overlap, in any order, in whole minutes after NOON."""
    bounds = sorted(draw(st.sets(minutes, max_size=10)))
    pairs = zip(bounds[::2], bounds[1::2], strict=False)
    made = [UnwatchedSpan(NOON + a * MINUTE, NOON + b * MINUTE) for a, b in pairs]
    return draw(st.permutations(made))


@given(since=minutes, within=st.integers(1, 300), spans=spans())
def test_so_many_minutes_were_watched_until_the_deadline(
    since: int, within: int, spans: list[UnwatchedSpan]
) -> None:
    begins_at = NOON + since * MINUTE

    at = deadline(begins_at, within * MINUTE, spans)

    passed = (at - begins_at) // MINUTE
    watched = [
        minute
        for minute in range(passed)
        if not any(a <= begins_at + minute * MINUTE < b for a, b in spans)
    ]
    assert len(watched) == within
    assert watched[-1] == passed - 1


@given(since=minutes, later=minutes, within=st.integers(1, 300), spans=spans())
def test_who_began_later_has_no_earlier_deadline(
    since: int, later: int, within: int, spans: list[UnwatchedSpan]
) -> None:
    first, second = NOON + since * MINUTE, NOON + (since + later) * MINUTE

    for of in (deadline, start_deadline):
        assert of(first, within * MINUTE, spans) <= of(second, within * MINUTE, spans)


def test_what_is_due_has_a_moment_to_start_after_an_outage() -> None:
    outage = UnwatchedSpan(NOON + 59 * SECOND, NOON + HOUR)

    assert start_deadline(NOON, MINUTE, [outage]) == NOON + HOUR + MOMENT
    assert start_deadline(NOON, 59 * SECOND, [outage]) == NOON + 59 * SECOND
    assert start_deadline(NOON + HOUR, MINUTE, [outage]) == NOON + HOUR + MINUTE


@given(spans=spans(), now=minutes)
def test_a_clock_that_is_set_back_leaves_no_span_ahead(
    spans: list[UnwatchedSpan], now: int
) -> None:
    at = NOON + now * MINUTE

    left = cut_at(at, spans)

    assert all(starts_at < ends_at <= at for starts_at, ends_at in left)
    since = [span for span in spans if span.ends_at <= at]
    assert set(since) <= set(left)
