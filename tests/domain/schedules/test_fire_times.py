"""Fire times of schedules: bounds, exclusions, jitter, unions, and their origins."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rota.domain.reasons import SkipReason
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.definitions import Unreadable
from rota.domain.schedules.exclusions import Dates, Instants
from rota.domain.schedules.fire_times import (
    after_finish,
    fire_times,
    fires_after_finish,
    first_fire,
    next_fire,
)
from rota.domain.schedules.interval_grid import leap
from rota.domain.schedules.rules import Interval
from rota.domain.schedules.running_times import MOST_STEPS, upcoming
from rota.domain.step_budget import limited_to
from rota.domain.time_zones.zone import LAST_INSTANT
from rota.errors import Unplannable
from tests.domain.schedules.rules import (
    AGES,
    ALL,
    ANCHOR,
    CRONS,
    GRIDS,
    INTERVALS,
    ONCES,
    SECOND,
    STARTS,
    read,
    take,
)
from tests.support.factories import DAY, HOUR, MINUTE, NOON

MANY = 40
TICK = timedelta(milliseconds=1)


def _runs(schedule: Any, after: datetime = NOON, number: int = 5) -> list[datetime]:
    return upcoming(schedule, ANCHOR, after, number)


# --- every schedule
@given(ALL, STARTS)
@settings(deadline=None)
def test_fire_times_rise_and_come_after_their_start(schedule: Any, after: datetime) -> None:
    times = take(schedule, after, MANY)

    instants = [after, *(time.at for time in times)]
    assert all(earlier < later for earlier, later in pairwise(instants))
    assert all(at.microsecond % 1_000 == 0 and at.tzinfo is UTC for at in instants[1:])
    assert next_fire(schedule, ANCHOR, after) == (times[0].at if times else None)


@given(ALL, STARTS, st.data())
@settings(deadline=None)
def test_from_wherever_one_looks_the_same_times_follow(
    schedule: Any, after: datetime, data: st.DataObject
) -> None:
    times = take(schedule, after, MANY)
    if not times:
        return
    passed = data.draw(st.integers(0, len(times) - 1))
    low = times[passed - 1].at if passed else after
    between = data.draw(st.integers(0, (times[passed].at - low) // TICK - 1))

    found = take(schedule, low + between * TICK, len(times) - passed)

    assert found == times[passed:]


@given(ALL, STARTS)
@settings(deadline=None)
def test_a_preview_shows_what_will_run(schedule: Any, after: datetime) -> None:
    times = take(schedule, after, MANY)
    run = [time.at for time in times if time.skip is None]

    shown = upcoming(schedule, ANCHOR, after, 10)

    assert shown[: len(run)] == run[:10]
    assert len(shown) >= len(run[:10])
    assert len(times) == MANY or len(shown) == len(run[:10])
    assert upcoming(schedule, ANCHOR, after, 10, left=3) == shown[:3]
    assert upcoming(schedule, ANCHOR, after, 10, left=0) == []


@given(ALL, STARTS)
@settings(max_examples=60, deadline=None)
def test_bounds_cut_and_move_nothing(schedule: Any, after: datetime) -> None:
    free = schedule.model_copy(update={"start_at": None, "end_at": None, "jitter": None})
    bound = schedule.model_copy(update={"jitter": None})
    start, end = schedule.start_at or after, schedule.end_at or LAST_INSTANT

    wanted = [
        time
        for time in takewhile(lambda time: time.at <= end, take(free, after, 200))
        if time.at >= start
    ]

    # A calendar's steps count from `start_at`; everything else keeps its phase.
    if getattr(schedule, "step", 1) == 1:
        assert take(bound, after, len(wanted) or 1)[: len(wanted)] == wanted


@given(ALL, STARTS)
@settings(deadline=None)
def test_excluded_times_are_skipped_and_no_others(schedule: Any, after: datetime) -> None:
    times = take(schedule.model_copy(update={"jitter": None}), after, MANY)
    allowed = take(schedule.model_copy(update={"jitter": None, "exclude": None}), after, MANY)

    assert [time.at for time in times] == [time.at for time in allowed]
    for time, before in zip(times, allowed, strict=True):
        excluded = _is_excluded(schedule, time.at)
        assert time.skip is (SkipReason.EXCLUDED if excluded else before.skip)


def _is_excluded(schedule: Any, at: datetime) -> bool:
    zone = getattr(schedule, "timezone", None) or "UTC"
    local = at.astimezone(ZoneInfo(zone)).date()
    return any(
        each.first <= local <= each.last if isinstance(each, Dates) else each.start <= at < each.end
        for each in schedule.exclude or ()
        if isinstance(each, Dates | Instants)
    )


# --- spreading
@given(ALL.filter(lambda schedule: schedule.jitter is not None), STARTS)
@settings(max_examples=60, deadline=None)
def test_jitter_moves_each_time_forward_but_not_to_the_next(schedule: Any, after: datetime) -> None:
    start = after - schedule.jitter
    nominal = take(schedule.model_copy(update={"jitter": None}), start, MANY + 1)
    moved = {time.at: time for time in take(schedule, start - schedule.jitter, 4 * MANY)}

    for this, following in pairwise(nominal):
        found = [time for at, time in moved.items() if this.at <= at < following.at]
        if moved and max(moved) >= following.at:
            assert len(found) == 1
            assert found[0].skip == this.skip
            assert found[0].at - this.at < schedule.jitter
            assert this.skip is None or found[0].at == this.at
            assert schedule.end_at is None or found[0].at <= schedule.end_at


def test_jitter_is_spread_over_its_window_and_differs_between_tasks() -> None:
    schedule = read(type="interval", every="1h", jitter="10m")

    shifts = [at - NOON - hour * HOUR for hour, at in enumerate(_runs(schedule, number=200), 1)]

    assert min(shifts) < MINUTE
    assert max(shifts) > 9 * MINUTE
    assert abs(sum(shifts, timedelta()) / 200 - 5 * MINUTE) < MINUTE
    other = upcoming(schedule, Anchor(NOON, "other"), NOON, 200)
    assert len(set(other) & set(_runs(schedule, number=200))) < 10


def test_the_shift_of_a_time_stays_for_ever() -> None:
    # A change of this function moves the fire times of every task that has a jitter: not without need.
    schedule = read(type="cron", expression="0 9 * * *", jitter="5m")

    assert upcoming(schedule, Anchor(NOON, "x"), NOON, 2) == [
        datetime(2026, 3, 11, 9, 0, 32, 611_000, tzinfo=UTC),
        datetime(2026, 3, 12, 9, 1, 20, 994_000, tzinfo=UTC),
    ]


@given(GRIDS.filter(lambda schedule: schedule.flex is not None), STARTS)
@settings(deadline=None)
def test_flex_fires_once_in_the_last_part_of_each_period(schedule: Any, after: datetime) -> None:
    origin = schedule.anchor or NOON + (schedule.initial_delay or timedelta())
    times = [time.at for time in take(schedule, after, MANY)]

    periods = [(at - origin) // schedule.every for at in times]
    ends = [origin + (period + 1) * schedule.every for period in periods]
    assert all(end - schedule.flex <= at < end for at, end in zip(times, ends, strict=True))
    assert all(later == earlier + 1 for earlier, later in pairwise(periods))
    assert all(period >= 0 for period in periods)


# --- intervals
@given(INTERVALS, AGES)
@settings(deadline=None)
def test_an_interval_keeps_its_phase(schedule: Interval, age: timedelta) -> None:
    origin = schedule.anchor or NOON + (schedule.initial_delay or timedelta())

    for at in _runs(schedule, NOON + age):
        assert (at - origin) % schedule.every == timedelta(0)


@pytest.mark.parametrize(
    ("fields", "minutes"),
    [
        ({}, 15),
        ({"anchor": NOON + HOUR}, 60),  # it lies ahead
        ({"anchor": NOON}, 15),
        ({"anchor": NOON - 5 * MINUTE}, 10),
        ({"initial_delay": 0}, 0),  # at once
        ({"initial_delay": "20m"}, 20),
        ({"start_at": NOON + 31 * MINUTE}, 45),
        ({"start_at": NOON + 30 * MINUTE}, 30),
        ({"mode": "fixed_delay"}, 15),
        ({"mode": "fixed_delay", "initial_delay": 0}, 0),
        ({"mode": "fixed_delay", "anchor": NOON + HOUR}, 60),
        ({"mode": "fixed_delay", "start_at": NOON + 31 * MINUTE}, 45),
        ({"end_at": NOON + 15 * MINUTE}, 15),
        ({"end_at": NOON + 14 * MINUTE}, None),
    ],
)
def test_the_first_fire_of_an_interval(fields: dict[str, Any], minutes: int | None) -> None:
    schedule = read(type="interval", every="15m", **fields)

    wanted = None if minutes is None else NOON + minutes * MINUTE
    assert first_fire(schedule, ANCHOR) == wanted


def test_an_interval_ends_with_the_calendar() -> None:
    schedule = read(type="interval", every="36500d")

    times = list(fire_times(schedule, ANCHOR, NOON))

    assert times[-1].at <= LAST_INSTANT < times[-1].at + schedule.every


@given(GRIDS, STARTS, st.integers(0, 60), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_a_leap_passes_over_what_stepping_finds(
    schedule: Interval, after: datetime, span: int, keep: int
) -> None:
    times = take(schedule, after, 200)
    if not times:
        return
    first = times[0].at
    until = first + span * schedule.every + MINUTE
    due = [time.at for time in times if time.at <= until]

    over = leap(schedule, ANCHOR, first, until, keep)

    passed = min(len(due) - keep, len(times) - 1)
    if len(due) == 200:
        return
    if passed <= 0:
        assert over is None
    else:
        assert over is not None
        assert (over.count, over.last) == (passed, times[passed - 1].at)
        assert over.following == times[passed].at


def test_ten_years_of_seconds_are_counted_at_once() -> None:
    schedule = read(type="interval", every=1, jitter=0.5)

    over = leap(schedule, ANCHOR, _runs(schedule)[0], NOON + 3_650 * DAY + SECOND / 2, 1)

    assert over is not None
    assert over.count == 3_650 * 86_400 - 1


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "cron", "expression": "* * * * *"},
        {"type": "interval", "every": 60, "exclude": ["2030-01-01"]},
        {"type": "interval", "every": 60, "mode": "fixed_delay"},
        {"type": "any_of", "schedules": [{"type": "interval", "every": 60}]},
        {"type": "manual"},
    ],
)
def test_what_cannot_be_counted_is_not_leapt_over(fields: dict[str, Any]) -> None:
    assert leap(read(**fields), ANCHOR, NOON + MINUTE, NOON + DAY, 1) is None


def test_from_a_time_that_is_none_of_its_own_an_interval_does_not_leap() -> None:
    schedule = read(type="interval", every=60)

    assert leap(schedule, ANCHOR, NOON + 61 * SECOND, NOON + DAY, 1) is None


# --- fixed_delay
def test_a_fixed_delay_counts_from_the_end_of_a_run() -> None:
    schedule = read(type="interval", every="15m", mode="fixed_delay")

    assert fires_after_finish(schedule)
    assert not fires_after_finish(read(type="interval", every="15m"))
    assert [time.at for time in take(schedule, NOON, 5)] == [NOON + 15 * MINUTE]
    assert take(schedule, NOON + 15 * MINUTE, 5) == []
    assert after_finish(schedule, ANCHOR, NOON + HOUR) == NOON + 75 * MINUTE


def test_a_fixed_delay_heeds_its_bounds_its_exclusions_and_its_jitter() -> None:
    schedule = read(
        type="interval",
        every="7h",
        mode="fixed_delay",
        start_at=NOON + DAY,
        end_at=NOON + 5 * DAY,
        exclude=["2026-03-12", "2026-03-13"],
        jitter="10m",
    )

    early, excluded, last, over = (
        after_finish(schedule, ANCHOR, NOON + hours * HOUR) for hours in (0, 38, 113, 114)
    )

    assert early is not None
    assert excluded is not None
    assert timedelta() <= early - (NOON + DAY) < 10 * MINUTE
    # The 12th at 09:00 is left out; whole intervals lead to the 14th at 03:00.
    assert timedelta() <= excluded - datetime(2026, 3, 14, 3, tzinfo=UTC) < 10 * MINUTE
    assert last == NOON + 5 * DAY
    assert over is None


def test_after_a_run_in_the_evening_a_fixed_delay_waits_until_the_exclusion_has_ended() -> None:
    schedule = read(type="interval", every="7h", mode="fixed_delay", exclude=["2026-03-12"])

    following = after_finish(schedule, ANCHOR, datetime(2026, 3, 11, 20, tzinfo=UTC))

    assert following == datetime(2026, 3, 13, 0, tzinfo=UTC)


# --- once
def test_a_once_fires_once() -> None:
    at = NOON + HOUR
    schedule = read(type="once", at=at.isoformat())

    assert _runs(schedule) == [at]
    assert next_fire(schedule, ANCHOR, at) is None
    assert first_fire(schedule, Anchor(at + DAY)) == at  # what is past is due at once


def test_a_delay_counts_from_the_registration() -> None:
    schedule = read(type="once", delay="2h")

    assert first_fire(schedule, ANCHOR) == NOON + 2 * HOUR
    assert next_fire(schedule, ANCHOR, NOON + 90 * MINUTE) == NOON + 2 * HOUR


@pytest.mark.parametrize(
    ("local", "dst", "times"),
    [
        ("2026-12-24T17:30:00", {}, [datetime(2026, 12, 24, 16, 30, tzinfo=UTC)]),
        ("2026-03-29T02:30:00", {}, [datetime(2026, 3, 29, 1, tzinfo=UTC)]),  # in the gap: after it
        ("2026-03-29T02:30:00", {"gap": "skip"}, []),
        ("2026-10-25T02:30:00", {}, [datetime(2026, 10, 25, 0, 30, tzinfo=UTC)]),  # the first
        (
            "2026-10-25T02:30:00",
            {"fold": "both"},
            [datetime(2026, 10, 25, hour, 30, tzinfo=UTC) for hour in (0, 1)],
        ),
    ],
)
def test_a_local_time_is_an_instant(local: str, dst: Any, times: list[datetime]) -> None:
    schedule = read(type="once", at=local, timezone="Europe/Berlin", dst=dst)

    assert _runs(schedule) == times
    assert _runs(schedule, NOON - 10_000 * DAY) == times


def test_a_once_in_a_skipped_gap_is_recorded_after_the_gap() -> None:
    schedule = read(
        type="once", at="2026-03-29T02:30:00", timezone="Europe/Berlin", dst={"gap": "skip"}
    )

    assert take(schedule, NOON, 5) == [(datetime(2026, 3, 29, 1, tzinfo=UTC), SkipReason.DST_GAP)]
    assert first_fire(schedule, ANCHOR) == datetime(2026, 3, 29, 1, tzinfo=UTC)


# --- any_of
@given(st.lists(INTERVALS | CRONS | ONCES, min_size=1, max_size=4), AGES)
@settings(deadline=None)
def test_any_of_fires_when_one_of_its_members_does(members: list[Any], age: timedelta) -> None:
    schedule = read(
        type="any_of", schedules=[member.model_dump(exclude_none=True) for member in members]
    )
    after = NOON + age
    every = {time.at for member in members for time in take(member, after, 10)}

    found = [time.at for time in take(schedule, after, 10)]

    assert found == sorted(every)[: len(found)]
    assert len(found) == min(10, len(every))


def test_the_members_of_any_of_keep_their_phase() -> None:
    schedule = read(
        type="any_of",
        schedules=[
            {"type": "cron", "expression": "0 * * * *"},
            {"type": "interval", "every": "25m"},
        ],
    )

    minutes = [(at - NOON) // MINUTE for at in _runs(schedule, number=8)]

    assert minutes == [25, 50, 60, 75, 100, 120, 125, 150]


def test_what_one_member_leaves_out_and_another_runs_is_run() -> None:
    daily = {"type": "calendar", "unit": "day", "time": "09:00"}
    weekly = {"type": "calendar", "unit": "week", "day": "fri", "time": "09:00"}
    schedule = read(
        type="any_of",
        schedules=[daily | {"exclude": [{"from": "2026-03-12", "to": "2026-03-14"}]}, weekly],
    )

    skips = [(time.at.day, time.skip) for time in take(schedule, NOON, 5)]

    assert skips == [
        (11, None),
        (12, SkipReason.EXCLUDED),
        (13, None),
        (14, SkipReason.EXCLUDED),
        (15, None),
    ]


def test_any_of_fires_at_once_if_a_member_does() -> None:
    now = {"type": "interval", "every": "1h", "initial_delay": 0}
    later = {"type": "interval", "every": "7m"}
    past = {"type": "once", "at": (NOON - HOUR).isoformat()}

    assert first_fire(read(type="any_of", schedules=[later, now]), ANCHOR) == NOON
    assert first_fire(read(type="any_of", schedules=[later, past]), ANCHOR) == NOON + 7 * MINUTE
    assert first_fire(read(type="any_of", schedules=[past]), ANCHOR) is None


# --- none
@pytest.mark.parametrize("fields", [{"type": "manual"}, {"type": "after", "tasks": ["a"]}])
def test_what_has_no_fire_times_never_fires(fields: dict[str, Any]) -> None:
    schedule = read(**fields)

    assert first_fire(schedule, ANCHOR) is None
    assert after_finish(schedule, ANCHOR, NOON) is None
    assert _runs(schedule) == []


def test_what_cannot_be_read_cannot_be_planned() -> None:
    with pytest.raises(Unplannable, match="from the future"):
        fire_times(Unreadable(reason="from the future"), ANCHOR, NOON)


# --- bounded work
@pytest.mark.parametrize(
    "rule",
    [
        {"type": "interval", "every": 1},
        {"type": "interval", "every": 1, "jitter": 0.5},
        {"type": "cron", "expression": "* * * * * *", "timezone": "Europe/Berlin"},
        {"type": "any_of", "schedules": [{"type": "interval", "every": 1}]},
    ],
)
def test_a_look_ahead_goes_over_a_century_of_exclusions_at_once(rule: dict[str, Any]) -> None:
    century = {"from": "2026-01-01", "to": "2125-12-31"}
    schedule = read(**rule, exclude=[century, "2126-01-02"])

    found = _runs(schedule, number=3)

    new_year = datetime(2126, 1, 1, tzinfo=UTC)
    assert all(new_year - DAY <= at < new_year + 4 * SECOND for at in found)
    assert len(found) == 3
    assert next_fire(schedule, ANCHOR, NOON) is not None  # recorded, not run


def test_a_look_ahead_passes_over_what_all_members_leave_out() -> None:
    century = {"from": "2026-01-01", "to": "2125-12-31"}
    every_second = {"type": "interval", "every": 1, "exclude": [century]}
    daily = {"type": "cron", "expression": "0 9 * * *", "exclude": [century]}

    found = upcoming(read(type="any_of", schedules=[every_second, daily]), ANCHOR, NOON, 1)

    assert found == [datetime(2126, 1, 1, tzinfo=UTC)]


def test_each_member_passes_over_what_it_leaves_out_by_itself() -> None:
    century = {"from": "2026-01-01", "to": "2125-12-31"}
    every_second = {"type": "interval", "every": 1, "exclude": [century]}
    far_off = {"type": "once", "at": "2100-01-01T00:00:00Z"}

    with limited_to(1_000):
        found = _runs(read(type="any_of", schedules=[every_second, far_off]), number=2)

    assert found == [datetime(2100, 1, 1, tzinfo=UTC), datetime(2126, 1, 1, tzinfo=UTC)]


def test_a_look_ahead_gives_up_where_jitter_needs_all_that_is_left_out() -> None:
    century = {"from": "2026-01-01", "to": "2125-12-31"}
    every_second = {"type": "interval", "every": 1, "exclude": [century]}
    far_off = {"type": "once", "at": "2100-01-01T00:00:00Z"}

    assert _runs(read(type="any_of", schedules=[every_second, far_off], jitter=5)) == []
    assert MOST_STEPS * SECOND < 70 * 365 * DAY


@pytest.mark.parametrize(
    "rule",
    [
        {"type": "interval", "every": 1},
        {"type": "interval", "every": 1, "flex": 0.5},
        {"type": "cron", "expression": "* * * * * *"},
        {"type": "calendar", "unit": "year", "day": "02-29", "time": "00:00"},
        {"type": "any_of", "schedules": [{"type": "interval", "every": 1}]},
    ],
)
def test_what_has_ended_yields_nothing(rule: dict[str, Any]) -> None:
    schedule = read(**rule, end_at=NOON - DAY)

    assert take(schedule, NOON, 1) == []
    assert first_fire(schedule, ANCHOR) is None


@pytest.mark.parametrize(
    "rule",
    [
        {"type": "interval", "every": 3600},
        {"type": "interval", "every": 3600, "jitter": "59m"},
        {"type": "interval", "every": 3600, "flex": "59m"},
        {"type": "cron", "expression": "59 23 31 12 *", "jitter": "10d"},
    ],
)
def test_nothing_fires_at_a_time_that_no_input_may_name(rule: dict[str, Any]) -> None:
    end = datetime(9000, 1, 1, tzinfo=UTC)

    last = [time.at for time in fire_times(read(**rule), ANCHOR, end - 2 * DAY)][-1]

    assert end - DAY < last < end


def test_an_interval_that_is_excluded_to_the_end_never_fires() -> None:
    rule = read(type="interval", every=3600, exclude=[{"from": "1970-01-01", "to": "8999-12-31"}])

    assert upcoming(rule, ANCHOR, NOON, 1) == []
