"""Plans under holds: each fire time within one has exactly one fate, which a naive reading of the rules says too."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rota.domain.fire_time import FireTime
from rota.domain.holds.held import Holds
from rota.domain.holds.model import HeldFireTimes, Hold, HoldSelector
from rota.domain.policies import MOST_CAUGHT_UP, SKIP_GRACE, MisfirePolicy
from rota.domain.primitives.times.instants import format_instant
from rota.domain.reasons import SkipReason
from rota.domain.runs.plan import DueTask, Gap, Plan
from rota.domain.runs.planning import plan
from rota.domain.runs.status import RunStatus
from rota.domain.runs.upcoming import next_run_under
from rota.domain.schedules.fire_times import after_finish, first_fire
from rota.domain.schedules.replanning.moved_fire_time import NextFire, moved
from tests.domain.runs.test_planning import (
    EVERY_MINUTE,
    GRACES,
    MINUTELY_CRON,
    POLICIES,
    _plan_at,
    _spans,
    _times,
    due,
)
from tests.domain.runs.test_upcoming import task_of
from tests.domain.schedules.rules import ALL, ANCHOR, SECOND, read
from tests.support.factories import DAY, HOUR, MINUTE, NOON, numbered

SKIP, CATCH_UP = HeldFireTimes.SKIP, HeldFireTimes.CATCH_UP
#: A group of the oracle: why its fire times do not run, and which hold they are of.
Key = tuple[SkipReason, datetime | None]


def hold(start: timedelta, end: timedelta | None, fire_times: HeldFireTimes = SKIP) -> Hold:
    """Return a hold on everything, from when until when counted from NOON."""
    return Hold(
        id=numbered(9),
        name="freeze",
        selector=HoldSelector(),
        starts_at=NOON + start,
        ends_at=None if end is None else NOON + end,
        fire_times=fire_times,
        reason=None,
    )


# Multiples of ten minutes: some follow each other at once.
HOLDS = st.lists(
    st.builds(
        lambda start, length, fire_times: hold(
            start * 10 * MINUTE, length and (start + length) * 10 * MINUTE, fire_times
        ),
        st.integers(0, 25),
        st.none() | st.integers(1, 12),
        st.sampled_from(HeldFireTimes),
    ),
    max_size=4,
).map(tuple)
_GAPS = st.none() | st.builds(
    lambda seconds, catch_up: Gap(until=NOON + seconds * SECOND, catch_up=catch_up),
    st.integers(0, 20_000),
    st.sampled_from(["none", "once", "all"]),
)
_MOVED = st.none() | st.tuples(st.integers(0, 20_000), st.integers(1, 20_000))
_KEPT_OF_PAUSE = {"none": 0, "once": 1, "all": MOST_CAUGHT_UP}
_KEPT_OF_HOLD = {
    MisfirePolicy.RUN_ONCE: 1,
    MisfirePolicy.RUN_ALL: MOST_CAUGHT_UP,
    MisfirePolicy.SKIP: 0,
}


def _caught_up_from(holds: Sequence[Hold], at: datetime) -> datetime | None:
    """Return since when holds that catch up have lasted at `at` without a break; None: none does."""
    catching_up = [each for each in holds if each.fire_times is CATCH_UP]
    if not any(each.covers(at) for each in catching_up):
        return None
    since = at
    while earlier := [
        each.starts_at
        for each in catching_up
        if each.starts_at < since and (each.ends_at is None or each.ends_at >= since)
    ]:
        since = min(earlier)
    return since


def _seen(at: datetime) -> datetime:
    """Return when a hold sees a fire time: one before the registration (`once`) counts as at that time."""
    return max(at, ANCHOR.at)


def _group(task: DueTask, at: datetime, now: datetime) -> tuple[Key, int]:
    """Return the group of a fire time that the rule lets run, and how many of the group run."""
    if any(each.covers(_seen(at)) for each in task.holds if each.fire_times is SKIP):
        return (SkipReason.HELD, None), 0
    if task.gap is not None and at <= task.gap.until:
        return (SkipReason.PAUSED, None), _KEPT_OF_PAUSE[task.gap.catch_up]
    since = _caught_up_from(task.holds, _seen(at))
    if since is not None:
        return (SkipReason.HELD, since), _KEPT_OF_HOLD[task.misfire_policy]
    skips = task.misfire_policy is MisfirePolicy.SKIP
    late = task.misfire_grace or (SKIP_GRACE if skips else timedelta.max)
    if now - at > late:
        return (SkipReason.MISFIRE if skips else SkipReason.TOO_LATE, None), 0
    once = task.misfire_policy is MisfirePolicy.RUN_ONCE
    return (SkipReason.MISFIRE, NOON), 1 if once else MOST_CAUGHT_UP


def fates(
    task: DueTask, times: Sequence[FireTime], now: datetime
) -> list[tuple[datetime, SkipReason | None]]:
    """Return the reason for which each fire time up to now is skipped (None: it runs); what is deferred is left out."""
    deferred_from = _caught_up_from(task.holds, now)
    decided = [time for time in times if deferred_from is None or _seen(time.at) < deferred_from]
    members: dict[Key, list[datetime]] = defaultdict(list)
    kept: dict[Key, int] = {}
    for time in decided:
        if time.skip is None:
            key, number = _group(task, time.at, now)
            members[key].append(time.at)
            kept[key] = number
    runs = {at for key, all_of in members.items() for at in all_of[len(all_of) - kept[key] :]}
    runs |= {at for key, all_of in members.items() if kept[key] >= len(all_of) for at in all_of}
    return [
        (
            time.at,
            None if time.at in runs else time.skip or _group(task, time.at, now)[0][0],
        )
        for time in decided
    ]


def _as_spans(fated: Sequence[tuple[datetime, SkipReason | None]]) -> list[tuple[int, Any]]:
    spans: list[tuple[int, Any]] = []
    for reason, group in groupby(fated, key=lambda each: each[1]):
        number = len(list(group))
        spans.extend([(1, None)] * number if reason is None else [(number, reason)])
    return spans


def _until_deferred(task: DueTask, now: datetime, most: int) -> tuple[list[Any], Plan | None]:
    """Plan a task until it is not due or deferred, as firing passes do; return its runs and the last plan."""
    runs: list[Any] = []
    left, made = task, None
    while left.next_fire_at <= now:
        made = plan(left, now, most)
        runs.extend(made.runs)
        if made.next_fire_at is None:
            break
        if made.deferred_until is not None:
            assert made.deferred_until > now
            assert made.next_fire_at >= left.next_fire_at
            break
        assert made.next_fire_at > left.next_fire_at
        left = replace(left, next_fire_at=made.next_fire_at, gap=made.gap)
    return runs, made


@given(
    ALL,
    st.integers(0, 20_000),
    st.sampled_from([1, 10, 10_000]),
    POLICIES,
    GRACES,
    HOLDS,
    _GAPS,
    _MOVED,
)
@example(
    read(type="once", at=format_instant(NOON - SECOND)),
    *(0, 1, MisfirePolicy.RUN_ONCE, None, (hold(timedelta(0), None),), None, None),
)
@settings(deadline=None, max_examples=150)
def test_each_fire_time_has_the_fate_that_the_rules_give_it_one_by_one(
    schedule: Any,
    seconds: int,
    most: int,
    policy: MisfirePolicy,
    grace: timedelta | None,
    holds: tuple[Hold, ...],
    gap: Gap | None,
    shifts: tuple[int, int] | None,
) -> None:
    if first_fire(schedule, ANCHOR) is None or getattr(schedule, "max_runs", None):
        return
    now = NOON + seconds * SECOND
    if gap is not None and gap.until > now:
        gap = replace(gap, until=now)
    task = due(schedule, misfire_policy=policy, misfire_grace=grace, gap=gap, holds=holds)
    if task.fires_after_finish:
        return
    times = _times(task, now)
    if shifts is not None:
        at, by = (number * SECOND for number in shifts)
        made = moved(schedule, ANCHOR, NextFire(task.next_fire_at), NOON + at + by, NOON + at)
        assert made.at is not None
        assert made.move is not None
        task = replace(
            task, next_fire_at=made.at, overrides_at=made.move.of, moved_to_at=made.move.to
        )
        times = [time for time in times if time.at not in made.move]
        times = sorted([*times, *([FireTime(made.move.to)] if made.move.to <= now else [])])

    runs, last = _until_deferred(task, now, most)

    wanted = fates(task, times, now)
    assert _spans(runs) == _as_spans(wanted)
    assert [run.scheduled_for for run in runs if run.reason is None] == [
        at for at, reason in wanted if reason is None
    ]
    left_over = [time.at for time in times][len(wanted) :]
    if last is not None:
        assert (last.deferred_until is not None) == bool(left_over)
        assert not left_over or last.next_fire_at == left_over[0]


@pytest.mark.parametrize("fire_times", HeldFireTimes)
def test_a_fire_time_before_the_registration_counts_as_at_that_time(
    fire_times: HeldFireTimes,
) -> None:
    schedule = read(type="once", at=format_instant(NOON - SECOND))
    for start, is_held in ((timedelta(0), True), (10 * MINUTE, False)):
        task = due(schedule, holds=(hold(start, HOUR, fire_times),))

        runs, _ = _until_deferred(task, NOON + 2 * HOUR, 1)

        skipped = is_held and fire_times is SKIP
        assert [run.reason for run in runs] == [SkipReason.HELD if skipped else None]
        assert fates(task, _times(task, NOON), NOON + 2 * HOUR) == [(NOON - SECOND, runs[0].reason)]


@given(ALL, st.lists(st.integers(1, 6_000), min_size=1, max_size=6), POLICIES, HOLDS)
@settings(deadline=None, max_examples=75)
def test_what_is_held_has_the_same_fate_after_an_outage_over_the_end_of_the_hold(
    schedule: Any, steps: list[int], policy: MisfirePolicy, holds: tuple[Hold, ...]
) -> None:
    if first_fire(schedule, ANCHOR) is None or getattr(schedule, "max_runs", None):
        return
    task = due(schedule, misfire_policy=policy)
    if task.fires_after_finish:
        return
    passes = [NOON + sum(steps[: number + 1]) * SECOND for number in range(len(steps))]

    in_parts, at_once = (_history(task, holds, times) for times in (passes, passes[-1:]))

    held = [
        time.at for time in _times(task, passes[-1]) if any(each.covers(time.at) for each in holds)
    ]
    assert _ran(in_parts) & set(held) == _ran(at_once) & set(held)
    for runs in (in_parts, at_once):
        assert sum(run.count for run in runs) == len(
            fates(replace(task, holds=holds), _times(task, passes[-1]), passes[-1])
        )


def _history(task: DueTask, holds: tuple[Hold, ...], passes: Sequence[datetime]) -> list[Any]:
    """Return the runs of passes at several times, each of which sees the holds that have begun by then."""
    runs: list[Any] = []
    left: DueTask = task
    for now in passes:
        known = tuple(each for each in holds if each.meets(left.next_fire_at, now))
        while left.next_fire_at <= now:
            made = plan(replace(left, holds=known), now)
            runs.extend(made.runs)
            if made.next_fire_at is None:
                return runs
            left = replace(left, next_fire_at=made.next_fire_at)
            if made.deferred_until is not None:
                break
    return runs


def _ran(runs: Sequence[Any]) -> set[datetime]:
    return {run.scheduled_for for run in runs if run.status is RunStatus.QUEUED}


EACH_MINUTE = pytest.mark.parametrize("schedule", [EVERY_MINUTE, MINUTELY_CRON])


@EACH_MINUTE
def test_what_passes_during_a_hold_with_skip_is_one_span(schedule: Any) -> None:
    task = due(read(**schedule), holds=(hold(2 * MINUTE, 5 * MINUTE),))

    runs = _plan_at(task, [NOON + minute * MINUTE for minute in range(1, 8)], 100)

    assert _spans(runs) == [(1, None), (3, "held"), (1, None), (1, None), (1, None)]


@EACH_MINUTE
def test_a_hold_that_catches_up_stops_the_plan_before_it_and_says_until_when(schedule: Any) -> None:
    task = due(read(**schedule), holds=(hold(3 * MINUTE, HOUR, CATCH_UP),))

    made = plan(task, NOON + 5 * MINUTE)
    again = plan(replace(task, next_fire_at=NOON + 3 * MINUTE), NOON + 6 * MINUTE)

    assert [(run.count, run.reason) for run in made.runs] == [(1, "misfire"), (1, None)]
    assert (made.next_fire_at, made.deferred_until) == (NOON + 3 * MINUTE, NOON + HOUR)
    assert (again.runs, again.next_fire_at) == ((), NOON + 3 * MINUTE)
    assert (again.deferred_until, again.completed) == (NOON + HOUR, False)


@EACH_MINUTE
@pytest.mark.parametrize(
    ("policy", "spans"),
    [
        (MisfirePolicy.RUN_ONCE, [(59, "held"), (1, None), (1, None)]),
        (MisfirePolicy.RUN_ALL, [(1, None)] * 61),
        (MisfirePolicy.SKIP, [(60, "held"), (1, None)]),
    ],
)
def test_the_misfire_policy_says_which_of_the_fire_times_of_a_hold_that_has_ended_run(
    schedule: Any, policy: MisfirePolicy, spans: Any
) -> None:
    """However long they have waited: `misfire_grace` is about outages, and a hold was wanted."""
    until = HOUR + SECOND
    held = hold(timedelta(), until, CATCH_UP)
    task = due(read(**schedule), misfire_policy=policy, misfire_grace=2 * MINUTE, holds=(held,))

    runs = _plan_at(task, [NOON + until, NOON + until + MINUTE], 100)

    assert _spans(runs) == spans


def test_an_open_hold_that_catches_up_defers_for_good() -> None:
    task = due(read(**EVERY_MINUTE), holds=(hold(timedelta(), None, CATCH_UP),))

    deferred_until = plan(task, NOON + HOUR).deferred_until

    assert deferred_until is not None
    assert deferred_until > NOON + 1_000 * DAY


def test_holds_that_follow_each_other_catch_up_as_one() -> None:
    both = (hold(timedelta(), 10 * MINUTE, CATCH_UP), hold(10 * MINUTE, 21 * MINUTE, CATCH_UP))
    task = due(read(**EVERY_MINUTE), holds=both)

    assert plan(task, NOON + 15 * MINUTE).deferred_until == NOON + 21 * MINUTE
    assert _spans(_plan_at(task, [NOON + 21 * MINUTE], 100)) == [
        (19, "held"),
        (1, None),
        (1, None),
    ]


def test_each_of_two_holds_that_catch_up_lets_its_own_last_one_run() -> None:
    """Also if nobody could fire between them, so that an outage changes nothing."""
    both = (hold(timedelta(), 10 * MINUTE, CATCH_UP), hold(15 * MINUTE, 20 * MINUTE, CATCH_UP))
    task = due(read(**EVERY_MINUTE), holds=both)

    at_once = _plan_at(task, [NOON + 25 * MINUTE], 100)

    held, misfired = [(8, "held"), (1, None)], (5, "misfire")
    assert _spans(at_once) == [*held, misfired, (4, "held"), (1, None), misfired, (1, None)]


def test_a_hold_with_skip_wins_over_one_that_catches_up_and_over_the_pause() -> None:
    both = (hold(timedelta(), 20 * MINUTE, CATCH_UP), hold(5 * MINUTE, HOUR))
    gap = Gap(until=NOON + 30 * MINUTE, catch_up="all")
    skipped = (hold(5 * MINUTE, HOUR),)

    one_by_one = _plan_at(due(read(**EVERY_MINUTE), holds=both), [NOON + HOUR], 100)
    resumed = _plan_at(due(read(**EVERY_MINUTE), holds=skipped, gap=gap), [NOON + HOUR], 100)

    assert _spans(one_by_one) == [(3, "held"), (1, None), (55, "held"), (1, None)]
    assert _spans(resumed) == [*[(1, None)] * 4, (55, "held"), (1, None)]


@EACH_MINUTE
def test_what_the_rule_leaves_out_is_recorded_as_such_within_a_hold(schedule: Any) -> None:
    excluded = [{"from": (NOON + 2 * MINUTE).isoformat(), "to": (NOON + 4 * MINUTE).isoformat()}]
    task = due(read(**schedule, exclude=excluded), holds=(hold(timedelta(), HOUR),))

    runs = _plan_at(task, [NOON + 5 * MINUTE], 100)

    assert _spans(runs) == [(1, "held"), (2, "excluded"), (2, "held")]


def test_what_is_held_uses_up_none_of_max_runs() -> None:
    task = due(read(**EVERY_MINUTE, max_runs=2), holds=(hold(timedelta(), 10 * MINUTE),))

    runs = _plan_at(task, [NOON + minute * MINUTE for minute in range(1, 30)], 100)

    assert _spans(runs) == [(9, "held"), (1, None), (1, None)]


@pytest.mark.parametrize(("fire_times", "reason"), [(SKIP, "held"), (CATCH_UP, None)])
def test_a_fixed_delay_has_one_fire_time_within_a_hold_at_a_time(
    fire_times: HeldFireTimes, reason: Any
) -> None:
    schedule = read(type="interval", every=60, mode="fixed_delay")
    task = due(schedule, holds=(hold(timedelta(), HOUR, fire_times),))

    during, after = plan(task, NOON + 2 * MINUTE), plan(task, NOON + HOUR)

    assert [(run.count, run.reason) for run in after.runs] == [(1, reason)]
    if fire_times is SKIP:
        wanted = after_finish(schedule, ANCHOR, NOON + 2 * MINUTE)
        assert (during.runs, during.next_fire_at) == (after.runs, wanted)
    else:
        assert (during.runs, during.next_fire_at) == ((), task.next_fire_at)
        assert during.deferred_until == NOON + HOUR


@pytest.mark.parametrize("fire_times", list(HeldFireTimes))
def test_a_hold_of_a_week_is_few_plans_for_an_interval_of_a_second(
    fire_times: HeldFireTimes,
) -> None:
    """The arithmetic passes over it at once; an outage before and after it costs one plan more."""
    now = NOON + 9 * DAY
    task = due(read(type="interval", every=1), holds=(hold(DAY, 8 * DAY, fire_times),), fired=0)

    plans, left = [], task
    while left.next_fire_at <= now:
        plans.append(plan(left, now, most=10))
        assert plans[-1].next_fire_at is not None
        left = replace(left, next_fire_at=plans[-1].next_fire_at)

    runs = [run for made in plans for run in made.runs]
    day, week = DAY // SECOND, 7 * DAY // SECOND
    kept = 1 if fire_times is CATCH_UP else 0
    assert len(plans) <= 4
    assert sum(run.count for run in runs if run.reason is SkipReason.HELD) == week - kept
    assert sum(run.count for run in runs) == 2 * day + week
    assert [run.scheduled_for for run in runs if run.reason is None] == [
        *([NOON + 8 * DAY - SECOND] if kept else []),
        now,
    ]


@pytest.mark.parametrize(
    ("fire_times", "policy", "until", "shown"),
    [
        ("skip", "run_once", 150, 180),
        ("skip", "run_once", None, None),
        ("catch_up", "run_once", 150, 150),
        ("catch_up", "run_once", 90, 90),
        ("catch_up", "skip", 150, 180),
        ("catch_up", "run_once", None, None),
        ("catch_up", "run_once", 30, 60),
    ],
)
@pytest.mark.parametrize("is_interval", [True, False])
def test_under_a_hold_a_task_fires_next_when_the_hold_lets_it(
    fire_times: str, policy: str, until: int | None, shown: int | None, is_interval: bool
) -> None:
    cron = read(**MINUTELY_CRON)
    task = task_of(read(**EVERY_MINUTE) if is_interval else cron)
    policies = {"misfire_policy": MisfirePolicy(policy)}
    task = replace(task, definition=task.definition.model_copy(update=policies))
    held = hold(timedelta(), None if until is None else until * SECOND, HeldFireTimes(fire_times))
    other = replace(held, selector=HoldSelector(name_prefix="other"))

    found = next_run_under(task, Holds((held, other)))

    assert found == (None if shown is None else NOON + shown * SECOND)
    assert next_run_under(task, Holds((other,))) == NOON + MINUTE


@pytest.mark.parametrize("until", [150, 180, 181])
@pytest.mark.parametrize("policy", ["run_once", "skip"])
@pytest.mark.parametrize("fire_times", list(HeldFireTimes))
def test_a_fixed_delay_fires_next_when_the_plans_within_the_hold_come_to_its_end(
    fire_times: HeldFireTimes, policy: str, until: int
) -> None:
    """With `skip` each one that is skipped counts as the end of a run; what was caught up fires when the hold ends."""
    schedule = read(type="interval", every=60, mode="fixed_delay")
    task = task_of(schedule)
    policies = {"misfire_policy": MisfirePolicy(policy)}
    task = replace(task, definition=task.definition.model_copy(update=policies))
    held = hold(timedelta(), until * SECOND, fire_times)
    left, fires_at = DueTask.of(task, input="").under(Holds((held,))), None
    at = left.next_fire_at
    while fires_at is None:
        made = plan(left, at)
        fires_at = at if any(run.reason is None for run in made.runs) else None
        assert made.next_fire_at is not None or fires_at is not None
        left = replace(left, next_fire_at=made.next_fire_at or at)
        at = made.deferred_until or left.next_fire_at

    assert next_run_under(task, Holds((held,))) == fires_at
