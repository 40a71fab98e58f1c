"""Fire times that an edit changes: what the previews before and after it differ in, and nothing else."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.domain.dry_runs.fire_times import DAYS, FireTimeDiff, diff_fire_times
from rota.domain.runs.upcoming import next_runs
from rota.domain.schedules.definitions import After, AnyOf
from rota.domain.schedules.first_runs import first_runs
from rota.domain.schedules.replanning.moved_fire_time import moved, taken_back
from rota.domain.step_budget import limited_to
from rota.domain.tasks.definition import TaskStatus
from rota.domain.tasks.task import Task
from rota.errors import TooCostly
from tests.domain.runs.test_upcoming import task_of
from tests.domain.schedules.rules import ALL, ANCHOR, read
from tests.support.factories import DAY, HOUR, MINUTE, NOON

NINE = {"type": "cron", "expression": "0 9 * * *", "timezone": "Europe/Berlin"}
TEN = NINE | {"expression": "0 10 * * *"}
# An outer limit, so that a pair that takes too many steps is compared less far, as in a request.
STEPS = 500_000


def _limited(schedule: Any, most: int | None) -> Any:
    if most is None or isinstance(schedule, AnyOf | After):
        return schedule
    return schedule.model_copy(update={"max_runs": most})


SCHEDULES = st.builds(_limited, ALL, st.none() | st.integers(1, 60))


def check(diff: FireTimeDiff, before: list[Any], after: list[Any]) -> None:
    """Check that a diff leads from one list to the other, and names nothing twice."""
    gone, come = {each.before for each in diff.move}, {each.after for each in diff.move}
    old, new = ({at for at in times if at <= diff.compared_until} for times in (before, after))
    assert set(diff.vanish) | gone == old - new
    assert set(diff.appear) | come == new - old
    assert len(diff.vanish) + len(diff.move) == len(old - new)
    assert len(diff.appear) + len(diff.move) == len(new - old)
    assert (old - set(diff.vanish) - gone) | set(diff.appear) | come == new
    for times in (diff.appear, diff.vanish, diff.move):
        assert list(times) == sorted(times)


@given(SCHEDULES, SCHEDULES, st.integers(1, 150))
def test_the_diff_of_two_schedules_is_what_their_previews_differ_in(
    old: Any, new: Any, most: int
) -> None:
    with limited_to(STEPS):
        try:
            diff = diff_fire_times(task_of(old), task_of(new), NOON, most)
        except TooCostly:
            return
    previews = [first_runs(schedule, ANCHOR, most) for schedule in (old, new)]

    check(diff, *previews)
    assert timedelta(DAYS) <= diff.until - NOON < timedelta(DAYS + 1, hours=2)
    for times in previews:  # each has all that there are until then
        assert old == new or len(times) < most or times[-1] >= diff.compared_until


@given(SCHEDULES, st.integers(-100_000, 2_000_000), st.integers(0, 200_000), st.booleans())
def test_the_diff_of_a_moved_fire_time_is_what_the_upcoming_ones_differ_in(
    schedule: Any, to: int, later: int, paused: bool
) -> None:
    now = NOON + timedelta(seconds=later)
    status = TaskStatus.PAUSED if paused else TaskStatus.ACTIVE
    task = task_of(schedule, status=status)
    if task.next_fire_at is None:
        return
    to_at = NOON + timedelta(seconds=to)
    edited = replace(task, **moved(schedule, ANCHOR, task.next_fire, to_at, now).columns)
    back = replace(edited, **taken_back(schedule, ANCHOR, edited.next_fire, now).columns)
    for one, other in ((task, edited), (edited, back)):
        try:
            with limited_to(STEPS):
                diff = diff_fire_times(one, other, now, 40)
        except TooCostly:
            return
        check(diff, next_runs(one, now, 40), next_runs(other, now, 40))


# ----------------------------------------------------------------------------------------------------------- cases
def edit(old: Any, new: Any, **fields: Any) -> FireTimeDiff:
    after: dict[str, Any] = {"next_fire_at": None} if new is None else {}
    return diff_fire_times(task_of(read(**old)), task_of(read(**new), **after | fields), NOON)


def test_another_hour_moves_each_fire_time_of_the_next_90_days() -> None:
    diff = edit(NINE, TEN)

    assert (len(diff.move), diff.appear, diff.vanish) == (90, [], [])
    assert all(move.after - move.before == HOUR for move in diff.move)
    assert diff.is_complete


def test_an_earlier_hour_today_has_passed_so_that_today_s_fire_time_vanishes() -> None:
    diff = edit(NINE | {"expression": "0 21 * * *"}, NINE)

    assert diff.vanish == [NOON + 8 * HOUR]
    assert len(diff.move) == 90
    assert {move.before - move.after for move in diff.move} == {12 * HOUR}


def test_a_rarer_rule_makes_fire_times_vanish_and_moves_the_nearest() -> None:
    diff = edit(
        {"type": "cron", "expression": "0 * * * *"}, {"type": "cron", "expression": "30 */2 * * *"}
    )

    assert not diff.appear
    assert (len(diff.vanish), len(diff.move)) == (1_085, 1_086)
    assert {move.after - move.before for move in diff.move[1:]} == {HOUR / 2}
    assert diff.move[0] == (NOON + HOUR, NOON + HOUR / 2)


def test_another_day_of_the_week_moves_if_it_is_near_enough() -> None:
    monday, tuesday, thursday = (
        {"type": "cron", "expression": f"0 9 * * {day}"} for day in (1, 2, 4)
    )

    near, far = edit(monday, tuesday), edit(monday, thursday)

    assert {move.after - move.before for move in near.move} == {DAY}
    assert {move.after - move.before for move in far.move} == {3 * DAY}
    both = {"type": "any_of", "schedules": [monday, tuesday]}
    assert len(edit(monday, both).appear) == 12


def test_a_time_set_by_hand_is_one_with_the_one_that_it_represents_however_far() -> None:
    task = task_of(read(**NINE))
    first = task.next_fire_at
    assert first is not None
    to = first + 5 * DAY + HOUR
    edited = replace(
        task, **moved(task.definition.schedule, ANCHOR, task.next_fire, to, NOON).columns
    )

    forth, back = diff_fire_times(task, edited, NOON), diff_fire_times(edited, task, NOON)

    assert forth.move == [(first, to)]
    assert back.move == [(to, first)]
    assert not [*forth.appear, *forth.vanish, *back.appear, *back.vanish]


def test_of_a_new_task_all_appear_and_of_one_that_has_ended_none_vanish() -> None:
    new = task_of(read(**NINE))

    made = diff_fire_times(None, new, NOON)
    ended = replace(new, status=TaskStatus.COMPLETED, next_fire_at=None)

    assert len(made.appear) == 90
    assert diff_fire_times(ended, new, NOON).appear == made.appear
    assert len(diff_fire_times(new, ended, NOON).vanish) == 90


def test_what_fires_too_often_is_compared_as_far_as_it_is_counted() -> None:
    diff = edit({"type": "interval", "every": 60}, {"type": "interval", "every": 120})

    assert not diff.is_complete
    assert diff.compared_until == NOON + 10_000 * MINUTE
    assert len(diff.vanish) == 5_000
    assert diff.appear == []


def test_what_takes_too_many_steps_is_compared_less_far_and_refused_if_nothing_can_be() -> None:
    often = {"type": "any_of", "schedules": [{"type": "interval", "every": 1, "jitter": 90}] * 20}
    old, new = task_of(read(**NINE)), task_of(read(**often))

    with limited_to(STEPS):
        diff = diff_fire_times(old, new, NOON)
    assert not diff.is_complete
    assert len(diff.appear) in {10, 100, 1_000}
    with limited_to(10), pytest.raises(TooCostly):
        diff_fire_times(old, new, NOON)


def test_an_edit_of_something_else_changes_no_fire_time_and_computes_none() -> None:
    task = task_of(read(type="interval", every=1))

    with limited_to(0):
        diff = diff_fire_times(task, replace(task, generation=2), NOON)

    assert not [*diff.appear, *diff.vanish, *diff.move]
    assert diff.is_complete


def test_a_paused_task_is_compared_as_if_it_were_resumed() -> None:
    old: Task = task_of(read(**NINE), status=TaskStatus.PAUSED)

    diff = diff_fire_times(old, task_of(read(**TEN), status=TaskStatus.PAUSED), NOON)

    assert len(diff.move) == 90
