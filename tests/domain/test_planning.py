"""Plans: every fire time in exactly one run or one span, none early."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.planning import DueTask, PlannedRun, plan, plan_gap
from app.domain.policies import MisfirePolicy, OverlapPolicy, SkipReason
from app.domain.runs import RunStatus
from app.domain.schedules import fire_times, first_fire
from tests.domain.test_schedules import SCHEDULES, _read
from tests.factories import MINUTE, NOON

SPANS = st.lists(
    st.integers(0, 5_000).map(lambda seconds: timedelta(seconds=seconds)), min_size=1, max_size=4
)


def _due(schedule: Any) -> DueTask:
    first = first_fire(schedule, NOON)
    assert first is not None
    return DueTask(
        id=UUID(int=1),
        name="t",
        generation=1,
        handler="noop",
        schedule=schedule,
        anchored_at=NOON,
        next_fire_at=first,
        misfire_policy=MisfirePolicy.RUN_ONCE,
        overlap_policy=OverlapPolicy.SKIP,
        queue="default",
        priority=0,
        input="{}",
    )


def _covered(task: DueTask, runs: list[PlannedRun]) -> list[datetime]:
    """Return the fire times that the runs stand for."""
    covered: list[datetime] = []
    for run in runs:
        last = run.scheduled_until or run.scheduled_for
        later = fire_times(task.schedule, task.anchored_at, run.scheduled_for)
        times = [run.scheduled_for, *takewhile(lambda at, last=last: at <= last, later)]  # type: ignore[misc]
        assert len(times) == run.count
        covered.extend(times)
    return covered


def _plan_at(task: DueTask, times: list[datetime], most: int) -> list[PlannedRun]:
    """Plan a task at each time until it is not due any more, as firing passes do."""
    runs: list[PlannedRun] = []
    next_fire_at: datetime | None = task.next_fire_at
    for now in times:
        while next_fire_at is not None and next_fire_at <= now:
            made = plan(replace(task, next_fire_at=next_fire_at), now, most)
            assert made.next_fire_at is None or made.next_fire_at > next_fire_at
            assert all(run.scheduled_for <= now for run in made.runs), "early"
            runs.extend(made.runs)
            next_fire_at = made.next_fire_at
    assert next_fire_at is None or next_fire_at > times[-1]
    return runs


@given(SCHEDULES, SPANS, st.sampled_from([1, 2, 7, 10_000]))
@settings(deadline=None)
def test_every_fire_time_is_in_exactly_one_run_however_the_time_is_cut(
    schedule: Any, spans: list[timedelta], most: int
) -> None:
    task = _due(schedule)
    now, times = NOON, []
    for span in spans:
        now += span
        times.append(now)

    in_parts = _covered(task, _plan_at(task, times, most))
    at_once = _covered(task, _plan_at(task, times[-1:], most))

    later = takewhile(lambda at: at <= now, fire_times(schedule, NOON, task.next_fire_at))
    wanted = [task.next_fire_at, *later] if task.next_fire_at <= now else []
    assert in_parts == at_once == wanted


def test_the_last_fire_time_runs_and_those_before_it_are_one_span() -> None:
    task = _due(_read(type="interval", every=60))

    made = plan(task, NOON + 5 * MINUTE)

    gap, last = made.runs
    assert gap == PlannedRun(
        scheduled_for=NOON + MINUTE,
        scheduled_until=NOON + 4 * MINUTE,
        count=4,
        status=RunStatus.SKIPPED,
        reason=SkipReason.MISFIRE,
    )
    assert last == PlannedRun(scheduled_for=NOON + 5 * MINUTE)
    assert made.next_fire_at == NOON + 6 * MINUTE


def test_one_missed_fire_time_has_no_end() -> None:
    task = _due(_read(type="interval", every=60))

    gap, _ = plan(task, NOON + 2 * MINUTE).runs

    assert (gap.count, gap.scheduled_until) == (1, None)


def test_a_long_outage_is_planned_in_bounded_parts() -> None:
    task = _due(_read(type="cron", expression="* * * * *"))

    made = plan(task, NOON + 100 * MINUTE, most=10)

    assert [(run.status, run.count) for run in made.runs] == [(RunStatus.SKIPPED, 10)]
    assert made.next_fire_at == NOON + 11 * MINUTE


@pytest.mark.parametrize(("minutes", "spans"), [(1, []), (2, [1]), (5, [4])])
def test_a_gap_of_a_pause_can_be_skipped_or_caught_up_once(minutes: int, spans: list[int]) -> None:
    task = _due(_read(type="interval", every=60))
    now = NOON + minutes * MINUTE

    skipped = plan_gap(task, now, catch_up="none")
    caught_up = plan_gap(task, now, catch_up="once")

    assert [(run.reason, run.count) for run in skipped.runs] == [(SkipReason.PAUSED, minutes)]
    assert [run.count for run in caught_up.runs] == [*spans, 1]
    assert [run.status for run in caught_up.runs][-1] is RunStatus.QUEUED
    assert skipped.next_fire_at == caught_up.next_fire_at == now + MINUTE
    assert _covered(task, [*skipped.runs]) == _covered(task, [*caught_up.runs])
