"""Plans: every fire time in exactly one run or one span, none early."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise, takewhile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rota.domain.fire_time import FireTime
from rota.domain.policies import MOST_CAUGHT_UP, MisfirePolicy
from rota.domain.reasons import SkipReason
from rota.domain.runs.plan import DueTask, Gap, Plan, PlannedRun
from rota.domain.runs.planning import plan
from rota.domain.runs.status import RunStatus
from rota.domain.schedules.fire_times import after_finish, fire_times, first_fire
from rota.domain.schedules.replanning.moved_fire_time import NextFire, moved
from rota.domain.tasks.definition import TaskDefinition
from tests.domain.schedules.rules import ALL, ANCHOR, SECOND, read
from tests.support.factories import DAY, HOUR, MINUTE, NOON, numbered

SPANS = st.lists(
    st.integers(0, 5_000).map(lambda seconds: timedelta(seconds=seconds)), min_size=1, max_size=4
)
POLICIES = st.sampled_from(MisfirePolicy)
GRACES = st.none() | st.integers(1, 4_000).map(lambda seconds: timedelta(seconds=seconds))
EVERY_MINUTE = {"type": "interval", "every": 60}
MINUTELY_CRON = {"type": "cron", "expression": "* * * * *"}


def due(schedule: Any, **fields: Any) -> DueTask:
    """Return a task whose first fire time has come."""
    first = first_fire(schedule, ANCHOR)
    assert first is not None
    defaults: dict[str, Any] = {
        "id": numbered(1),
        "name": ANCHOR.name,
        "generation": 1,
        "input": "{}",
        "anchored_at": ANCHOR.at,
        "next_fire_at": first,
    }
    policies = {name: fields.pop(name) for name in list(fields) if name.startswith("misfire_")}
    return DueTask(definition=_definition(schedule, **policies), **defaults | fields)


def _definition(schedule: Any, **policies: Any) -> TaskDefinition:
    return TaskDefinition.model_construct(handler="noop", schedule=schedule, **policies)


def _times(task: DueTask, until: datetime) -> list[FireTime]:
    """Return the fire times of a task from the one that is due up to `until`."""
    all_of_them = fire_times(
        task.schedule, task.anchor, task.next_fire_at - timedelta(milliseconds=1)
    )
    return list(takewhile(lambda time: time.at <= until, all_of_them))


def _check_that_they_cover(runs: list[PlannedRun], times: list[FireTime]) -> None:
    """Every fire time lies in exactly one run, and those that the rule leaves out in a run that says so."""
    left = list(times)
    for run in runs:
        covered, left = left[: run.count], left[run.count :]
        assert covered[0].at == run.scheduled_for
        assert covered[-1].at == (run.scheduled_until or run.scheduled_for)
        assert {time.skip for time in covered} <= {None, run.reason}
        if run.reason in {SkipReason.EXCLUDED, SkipReason.DST_GAP}:
            assert {time.skip for time in covered} == {run.reason}
    assert left == []


def _spans(runs: list[PlannedRun]) -> list[tuple[int, str | None]]:
    """Return what was planned, spans of one reason in a row as the one that the store makes of them."""
    spans: list[tuple[int, str | None]] = []
    for run in runs:
        count = run.count
        if spans and run.reason is not None and spans[-1][1] == run.reason:
            count += spans.pop()[0]
        spans.append((count, run.reason))
    return spans


def _go_on(task: DueTask, made: Plan) -> DueTask | None:
    """Return the task as the store leaves it after a plan; None: it waits for nothing."""
    if made.next_fire_at is None:
        return None
    return replace(
        task,
        next_fire_at=made.next_fire_at,
        fired=task.fired + made.fired,
        gap=made.gap,
    )


def _plan_at(task: DueTask, times: list[datetime], most: int) -> list[PlannedRun]:
    """Plan a task at each time until it is not due any more, as firing passes do."""
    runs: list[PlannedRun] = []
    left: DueTask | None = task
    for now in times:
        while left is not None and left.next_fire_at <= now:
            made = plan(left, now, most)
            assert made.next_fire_at is None or made.next_fire_at > left.next_fire_at
            assert all(run.scheduled_for <= now for run in made.runs), "early"
            runs.extend(made.runs)
            left = _go_on(left, made)
    return runs


@given(ALL, SPANS, st.sampled_from([1, 2, 7, 10_000]), POLICIES, GRACES)
@settings(deadline=None)
def test_every_fire_time_is_in_exactly_one_run_however_the_time_is_cut(
    schedule: Any,
    spans: list[timedelta],
    most: int,
    policy: MisfirePolicy,
    grace: timedelta | None,
) -> None:
    if first_fire(schedule, ANCHOR) is None:
        return
    task = due(schedule, misfire_policy=policy, misfire_grace=grace)
    now, times = NOON, []
    for span in spans:
        now += span
        times.append(now)

    in_parts = _plan_at(task, times, most)
    at_once = _plan_at(task, times[-1:], most)

    if getattr(schedule, "max_runs", None) is None and not task.fires_after_finish:
        wanted = _times(task, now)
        _check_that_they_cover(in_parts, wanted)
        _check_that_they_cover(at_once, wanted)
    for runs in (in_parts, at_once):
        assert all(one.scheduled_for < other.scheduled_for for one, other in pairwise(runs))


_GAPS = st.none() | st.builds(
    lambda seconds, catch_up: Gap(until=NOON + seconds * SECOND, catch_up=catch_up),
    st.integers(0, 20_000),
    st.sampled_from(["none", "once", "all"]),
)
_MOVED = st.none() | st.tuples(st.integers(0, 20_000), st.integers(1, 20_000))


@given(
    ALL,
    st.integers(0, 20_000),
    st.sampled_from([1, 10, 100]),
    POLICIES,
    GRACES,
    _GAPS,
    _MOVED,
    st.none() | st.integers(1, 150),
)
@settings(deadline=None, max_examples=200)
def test_several_small_plans_have_the_runs_of_one_large_plan(
    schedule: Any,
    seconds: int,
    most: int,
    policy: MisfirePolicy,
    grace: timedelta | None,
    gap: Gap | None,
    shifts: tuple[int, int] | None,
    max_runs: int | None,
) -> None:
    if first_fire(schedule, ANCHOR) is None:
        return
    limited = schedule.model_copy(update={"max_runs": max_runs})
    now = NOON + seconds * SECOND
    if gap is not None and gap.until > now:
        gap = replace(gap, until=now)
    task = due(limited, misfire_policy=policy, misfire_grace=grace, gap=gap)
    wanted = _times(task, now)
    if shifts is not None:
        at, by = (number * SECOND for number in shifts)
        made = moved(limited, ANCHOR, NextFire(task.next_fire_at), NOON + at + by, NOON + at)
        assert made.at is not None
        assert made.move is not None
        task = replace(
            task, next_fire_at=made.at, overrides_at=made.move.of, moved_to_at=made.move.to
        )
        wanted = [time for time in wanted if time.at not in made.move]
        wanted = sorted([*wanted, *([FireTime(made.move.to)] if made.move.to <= now else [])])

    in_parts = _plan_at(task, [now], most)
    at_once = _plan_at(task, [now], 10**9)

    assert _spans(in_parts) == _spans(at_once)
    ran = [
        [run.scheduled_for for run in runs if run.reason is None] for runs in (in_parts, at_once)
    ]
    assert ran[0] == ran[1]
    if max_runs is None and not task.fires_after_finish:
        _check_that_they_cover(at_once, wanted)


@given(ALL, st.integers(0, 20_000), st.sampled_from([4, 50, 10_000]))
@settings(deadline=None)
def test_the_policy_says_which_of_the_fire_times_of_an_outage_run(
    schedule: Any, seconds: int, most: int
) -> None:
    if first_fire(schedule, ANCHOR) is None or getattr(schedule, "max_runs", None):
        return
    now = NOON + seconds * SECOND
    wanted = [time.at for time in _times(due(schedule), now) if time.skip is None]

    for policy, kept in (
        (MisfirePolicy.RUN_ONCE, wanted[-1:]),
        (MisfirePolicy.RUN_ALL, wanted[-MOST_CAUGHT_UP:]),
        (MisfirePolicy.SKIP, [at for at in wanted if now - at <= MINUTE][-MOST_CAUGHT_UP:]),
    ):
        runs = _plan_at(due(schedule, misfire_policy=policy), [now], most)
        ran = [run.scheduled_for for run in runs if run.status is RunStatus.QUEUED]
        assert ran == kept


def test_the_last_fire_time_runs_and_those_before_it_are_one_span() -> None:
    made = plan(due(read(**EVERY_MINUTE)), NOON + 5 * MINUTE)

    gap, last = made.runs
    assert gap == PlannedRun(
        scheduled_for=NOON + MINUTE,
        scheduled_until=NOON + 4 * MINUTE,
        count=4,
        status=RunStatus.SKIPPED,
        reason=SkipReason.MISFIRE,
    )
    assert last == PlannedRun(scheduled_for=NOON + 5 * MINUTE)
    assert (made.next_fire_at, made.completed, made.fired) == (NOON + 6 * MINUTE, False, 1)


def test_one_missed_fire_time_has_no_end() -> None:
    gap, _ = plan(due(read(**EVERY_MINUTE)), NOON + 2 * MINUTE).runs

    assert (gap.count, gap.scheduled_until) == (1, None)


def test_a_long_outage_is_planned_in_bounded_parts_that_leave_open_what_may_still_run() -> None:
    made = plan(due(read(**MINUTELY_CRON)), NOON + 100 * MINUTE, most=10)

    assert [(run.status, run.count) for run in made.runs] == [(RunStatus.SKIPPED, 9)]
    assert made.next_fire_at == NOON + 10 * MINUTE
    assert made.leaves_open


@pytest.mark.parametrize("schedule", [EVERY_MINUTE, {"type": "interval", "every": 1}])
def test_the_outage_of_a_month_is_one_plan_for_an_interval(schedule: Any) -> None:
    now = NOON + 31 * DAY

    made = plan(due(read(**schedule)), now, most=10)

    every = timedelta(seconds=schedule["every"])
    assert [run.count for run in made.runs] == [31 * DAY // every - 1, 1]
    assert made.next_fire_at == now + every


def test_run_all_runs_the_last_ones_oldest_first() -> None:
    task = due(read(**EVERY_MINUTE), misfire_policy=MisfirePolicy.RUN_ALL)

    gap, *rest = plan(task, NOON + 250 * MINUTE).runs

    assert (gap.reason, gap.count) == (SkipReason.MISFIRE, 250 - MOST_CAUGHT_UP)
    assert [run.scheduled_for for run in rest] == [NOON + n * MINUTE for n in range(151, 251)]


def test_what_passed_longer_ago_than_the_grace_is_too_late() -> None:
    task = due(read(**EVERY_MINUTE), misfire_policy=MisfirePolicy.RUN_ALL, misfire_grace=2 * MINUTE)

    gap, *rest = plan(task, NOON + 5 * MINUTE + SECOND).runs

    assert (gap.reason, gap.count) == (SkipReason.TOO_LATE, 3)
    assert [run.scheduled_for for run in rest] == [NOON + 4 * MINUTE, NOON + 5 * MINUTE]


@pytest.mark.parametrize(("late", "status"), [(59, "queued"), (61, "skipped")])
def test_skip_takes_what_is_a_minute_late_for_on_time(late: int, status: str) -> None:
    task = due(read(type="interval", every="1h"), misfire_policy=MisfirePolicy.SKIP)

    (run,) = plan(task, NOON + HOUR + late * SECOND).runs

    assert (run.status, run.reason) == (status, None if status == "queued" else "misfire")


@pytest.mark.parametrize("schedule", [EVERY_MINUTE, MINUTELY_CRON])
@pytest.mark.parametrize(
    ("catch_up", "counts"), [("none", [5]), ("once", [4, 1]), ("all", [1, 1, 1, 1, 1])]
)
def test_what_passed_during_a_pause_is_skipped_or_caught_up(
    schedule: Any, catch_up: Any, counts: list[int]
) -> None:
    now = NOON + 5 * MINUTE
    task = due(read(**schedule), gap=Gap(until=now, catch_up=catch_up))

    made = plan(task, now)

    skipped = [run for run in made.runs if run.status is RunStatus.SKIPPED]
    assert [run.count for run in made.runs] == counts
    assert {run.reason for run in skipped} <= {SkipReason.PAUSED}
    assert (made.next_fire_at, made.gap) == (now + MINUTE, None)


def test_what_passed_after_the_resumption_is_no_gap_of_the_pause() -> None:
    gap = Gap(until=NOON + 3 * MINUTE, catch_up="once")
    task = due(read(**EVERY_MINUTE), gap=gap, misfire_policy=MisfirePolicy.SKIP)

    made = plan(task, NOON + 6 * MINUTE + SECOND)

    spans = [(run.count, run.reason) for run in made.runs]
    assert spans == [(2, "paused"), (1, None), (2, "misfire"), (1, None)]


@pytest.mark.parametrize("most", [10, 100, 10_000])
@pytest.mark.parametrize("schedule", [EVERY_MINUTE, MINUTELY_CRON])
def test_a_resumption_catches_up_with_the_last_hundred_in_parts_of_any_size(
    schedule: Any, most: int
) -> None:
    """With 500 tasks due, each of them is planned in parts of a hundred."""
    gap = Gap(until=NOON + 180 * MINUTE, catch_up="all")
    task = due(read(**schedule), gap=gap)

    runs = _plan_at(task, [NOON + 180 * MINUTE + SECOND], most)

    assert _spans(runs) == [(80, "paused"), *[(1, None)] * MOST_CAUGHT_UP]


@pytest.mark.parametrize("most", [10, 100, 10_000])
def test_run_once_runs_one_however_much_is_excluded_after_it(most: int) -> None:
    """The candidate before the exclusion runs only if none comes after it."""
    excluded = [{"from": (NOON + 15 * MINUTE).isoformat(), "to": (NOON + 8 * DAY).isoformat()}]
    schedule = read(**MINUTELY_CRON, exclude=excluded)

    beyond = _plan_at(due(schedule), [NOON + 8 * DAY + 3 * MINUTE], most)
    within = _plan_at(due(schedule), [NOON + 5 * DAY], most)

    spans = (14, "misfire"), (8 * 24 * 60 - 15, "excluded"), (3, "misfire"), (1, None)
    assert _spans(beyond) == list(spans)
    assert _spans(within) == [(13, "misfire"), (1, None), (5 * 24 * 60 - 14, "excluded")]


def test_a_gap_that_takes_several_plans_stays_the_gap_of_the_pause() -> None:
    gap = Gap(until=NOON + HOUR, catch_up="once")
    task = due(read(**MINUTELY_CRON), gap=gap)

    first = plan(task, NOON + HOUR, most=10)
    runs = _plan_at(task, [NOON + HOUR], most=10)

    assert first.gap == gap
    assert sum(run.count for run in runs) == 60
    assert {run.reason for run in runs[:-1]} == {"paused"}
    assert runs[-1] == PlannedRun(scheduled_for=NOON + HOUR)


def test_the_last_of_max_runs_completes_the_task() -> None:
    task = due(read(**EVERY_MINUTE, max_runs=3), fired=1, misfire_policy=MisfirePolicy.RUN_ALL)

    made = plan(task, NOON + 5 * MINUTE)

    assert [run.scheduled_for for run in made.runs] == [NOON + MINUTE, NOON + 2 * MINUTE]
    assert (made.next_fire_at, made.completed, made.fired) == (None, True, 2)


def test_what_is_skipped_uses_up_none_of_max_runs() -> None:
    task = due(read(**EVERY_MINUTE, max_runs=3), misfire_policy=MisfirePolicy.SKIP)

    made = plan(task, NOON + HOUR)

    assert (made.fired, made.completed) == (2, False)


def test_a_fixed_delay_waits_for_the_end_of_its_run() -> None:
    schedule = read(type="interval", every=60, mode="fixed_delay")

    made = plan(due(schedule), NOON + 10 * MINUTE)

    assert [run.count for run in made.runs] == [1]
    assert (made.next_fire_at, made.completed) == (None, False)


def test_a_fixed_delay_whose_run_is_skipped_continues_from_then() -> None:
    schedule = read(type="interval", every=60, mode="fixed_delay")
    now = NOON + 10 * MINUTE
    task = due(schedule, misfire_policy=MisfirePolicy.SKIP)

    made = plan(task, now)

    assert [run.reason for run in made.runs] == ["misfire"]
    assert made.next_fire_at == after_finish(schedule, ANCHOR, now) == now + MINUTE


@pytest.mark.parametrize(("at", "following"), [(90, 180), (150, 180), (10, 120)])
def test_an_override_stands_in_for_one_fire_time(at: int, following: int) -> None:
    """The regular one at 2 minutes is replaced; those that follow are regular again."""
    task = due(
        read(**EVERY_MINUTE),
        next_fire_at=NOON + at * SECOND,
        overrides_at=NOON + (120 if at > 60 else 60) * SECOND,
        moved_to_at=NOON + at * SECOND,
    )

    made = plan(task, NOON + at * SECOND)

    assert [run.scheduled_for for run in made.runs] == [NOON + at * SECOND]
    assert made.next_fire_at == NOON + following * SECOND


def test_a_manual_task_with_a_fire_time_is_not_completed_by_it() -> None:
    task = replace(
        due(read(**EVERY_MINUTE)),
        definition=_definition(read(type="manual")),
        next_fire_at=NOON,
        moved_to_at=NOON,
    )

    made = plan(task, NOON)

    assert ([run.count for run in made.runs], made.completed) == ([1], False)


def test_excluded_times_are_recorded_and_not_run() -> None:
    excluded = [{"from": (NOON + 2 * MINUTE).isoformat(), "to": (NOON + 4 * MINUTE).isoformat()}]
    task = due(read(**EVERY_MINUTE, exclude=excluded), misfire_policy=MisfirePolicy.RUN_ALL)

    made = plan(task, NOON + 4 * MINUTE)

    spans = [(run.count, run.reason) for run in made.runs]
    assert spans == [(1, None), (2, "excluded"), (1, None)]
