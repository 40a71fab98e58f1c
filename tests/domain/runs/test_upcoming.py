"""Upcoming fire times: they are what runs then."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice, pairwise
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rota.domain.fire_time import TICK
from rota.domain.policies import MisfirePolicy
from rota.domain.runs.plan import DueTask
from rota.domain.runs.planning import plan
from rota.domain.runs.status import RunStatus
from rota.domain.runs.upcoming import (
    has_times_that_do_not_run,
    next_run,
    next_runs,
    runs_left,
)
from rota.domain.schedules.definitions import Unreadable
from rota.domain.schedules.fire_times import after_finish, fires_after_finish, first_fire
from rota.domain.schedules.first_runs import first_runs
from rota.domain.schedules.replanning.moved_fire_time import moved
from rota.domain.tasks.definition import TaskStatus
from rota.domain.tasks.task import Task
from tests.domain.schedules.rules import ALL, ANCHOR, read
from tests.support.factories import DAY, HOUR, MINUTE, NOON, define, numbered

EVERY_MINUTE = {"type": "interval", "every": 60}
DAILY = {"type": "cron", "expression": "0 9 * * *"}
# More fire times in a row that are left out end a look at what happens.
_PATIENCE = 300


def task_of(schedule: Any, **fields: Any) -> Task:
    """Return a task as it is registered, unless given otherwise."""
    defaults: dict[str, Any] = {
        "id": numbered(1),
        "name": ANCHOR.name,
        "definition": define().model_copy(update={"schedule": schedule}),
        "status": TaskStatus.ACTIVE,
        "status_reason": None,
        "status_changed_at": NOON,
        "status_changed_by": "me",
        "generation": 1,
        "anchored_at": ANCHOR.at,
        "next_fire_at": None if "next_fire_at" in fields else first_fire(schedule, ANCHOR),
        "last_run": None,
        "last_success_at": None,
        "consecutive_failures": 0,
        "kv_revision": 0,
        "created_at": NOON,
        "updated_at": NOON,
    }
    return Task(**defaults | fields)


def _moved(task: Task, to: datetime) -> Task:
    made = moved(task.definition.schedule, ANCHOR, task.next_fire, to, NOON)
    assert made.move is not None
    return replace(task, next_fire_at=made.at, overrides_at=made.move.of, moved_to_at=made.move.to)


def _happens(task: Task, late: datetime = NOON) -> Iterator[tuple[Task, datetime]]:
    """Fire a task on time, but not before `late`, again and again; yield it as it was, with the fire time that ran."""
    quiet, shown = 0, task
    while task.next_fire_at is not None and quiet < _PATIENCE:
        made = plan(DueTask.of(task, input="{}"), max(task.next_fire_at, late))
        ran = [run.scheduled_for for run in made.runs if run.status is RunStatus.QUEUED]
        for at in ran:
            yield shown, at
        quiet = 0 if ran else quiet + 1
        following = made.next_fire_at
        if following is None and not made.completed:  # the run ends at once
            following = after_finish(task.definition.schedule, ANCHOR, task.next_fire_at)
        task = replace(task, next_fire_at=following, fired=task.fired + made.fired)
        shown = task if ran else shown


@given(ALL, st.none() | st.integers(1, 4))
@settings(deadline=None, max_examples=60)
def test_a_preview_equals_what_then_happens(schedule: Any, most: int | None) -> None:
    limited = schedule.model_copy(update={"max_runs": most})

    previewed = first_runs(limited, ANCHOR, 6)
    happened = [at for _, at in islice(_happens(task_of(limited)), 6)]

    assert previewed[: len(happened)] == happened
    assert most is None or len(previewed) <= most
    assert all(earlier < later for earlier, later in pairwise(previewed))


@given(ALL, st.none() | st.integers(1, 4), st.integers(1, 100_000))
@settings(deadline=None, max_examples=60)
def test_upcoming_times_are_what_runs_next_also_after_a_moved_time(
    schedule: Any, most: int | None, seconds: int
) -> None:
    task = task_of(schedule.model_copy(update={"max_runs": most}))
    by_hand = _moved(task, NOON + timedelta(seconds=seconds))

    for start in (task, by_hand):
        steps = list(islice(_happens(start), 4))
        times = [at for _, at in steps]
        for number, (shown, at) in enumerate(steps):
            assert next_run(shown) == at
            ahead = next_runs(shown, at, 4 - number)
            assert ahead[: len(times) - number] == times[number:]


@given(ALL, st.sampled_from(MisfirePolicy), st.none() | st.integers(1, 4), st.integers(0, 200))
@settings(deadline=None, max_examples=60)
def test_the_upcoming_times_of_an_overdue_task_are_what_the_next_firing_pass_runs(
    schedule: Any, misfire: MisfirePolicy, most: int | None, minutes: int
) -> None:
    task = task_of(schedule.model_copy(update={"max_runs": most}))
    assume(not fires_after_finish(schedule))
    definition = task.definition.model_copy(update={"misfire_policy": misfire})
    task, now = replace(task, definition=definition), NOON + minutes * MINUTE

    times = [at for _, at in islice(_happens(task, late=now), 5)]

    assert next_runs(task, now, 5)[: len(times)] == times


def test_misfires_do_not_count_for_max_runs() -> None:
    overdue = task_of(read(**EVERY_MINUTE, max_runs=3))

    ahead = next_runs(overdue, NOON + 10 * MINUTE, 5)

    assert ahead == [NOON + 10 * MINUTE, NOON + 11 * MINUTE, NOON + 12 * MINUTE]


def test_a_fixed_delay_has_one_upcoming_fire_time() -> None:
    schedule = read(**EVERY_MINUTE, mode="fixed_delay")
    task = task_of(schedule)
    paused = replace(task, status=TaskStatus.PAUSED)

    assert first_runs(schedule, ANCHOR, 5) == [NOON + MINUTE]
    assert next_runs(task, NOON, 5) == [NOON + MINUTE]
    assert next_runs(paused, NOON + HOUR, 5) == [NOON + HOUR + MINUTE]
    assert next_runs(replace(task, next_fire_at=None), NOON, 5) == []


def test_a_fixed_delay_that_begins_in_an_exclusion_has_its_first_run_after_it() -> None:
    until = {"from": NOON.isoformat(), "to": (NOON + 5 * MINUTE).isoformat()}
    schedule = read(**EVERY_MINUTE, mode="fixed_delay", exclude=[until])
    task = task_of(schedule)

    ((shown, at),) = islice(_happens(task), 1)

    assert first_runs(schedule, ANCHOR, 5) == [at]
    assert next_run(shown) == at >= NOON + 5 * MINUTE


def test_the_upcoming_times_of_a_paused_task_are_those_if_it_is_resumed_now() -> None:
    paused = task_of(read(**EVERY_MINUTE), status=TaskStatus.PAUSED)

    assert next_runs(paused, NOON, 2) == [NOON + MINUTE, NOON + 2 * MINUTE]
    assert next_runs(paused, NOON + 90 * MINUTE, 2) == [NOON + 91 * MINUTE, NOON + 92 * MINUTE]
    assert next_run(paused) is None


def test_a_task_that_does_not_fire_any_more_has_no_upcoming_times() -> None:
    schedule = read(**EVERY_MINUTE)

    assert next_runs(task_of(schedule, status=TaskStatus.CANCELLED), NOON, 3) == []
    assert next_runs(task_of(read(type="manual")), NOON, 3) == []
    assert first_runs(read(type="after", tasks=["a"]), ANCHOR, 3) == []


def test_max_runs_leaves_what_has_not_been_fired() -> None:
    schedule = read(**EVERY_MINUTE, max_runs=3)

    assert runs_left(task_of(schedule)) == 3
    assert next_runs(task_of(schedule, fired=1), NOON, 5) == [NOON + MINUTE, NOON + 2 * MINUTE]
    assert runs_left(task_of(schedule, fired=4)) == 0
    assert runs_left(task_of(read(**EVERY_MINUTE))) is None


def test_the_next_fire_time_that_is_shown_is_one_that_runs() -> None:
    schedule = read(**DAILY, exclude=[{"from": "2026-03-11", "to": "2026-03-12"}])
    task = task_of(schedule)

    assert task.next_fire_at == NOON + 21 * HOUR  # is recorded, and not run
    assert next_run(task) == NOON + 21 * HOUR + 2 * DAY
    by_hand = _moved(task, NOON + MINUTE)
    assert next_run(by_hand) == NOON + MINUTE
    assert next_runs(by_hand, NOON, 2) == [NOON + MINUTE, NOON + 21 * HOUR + 3 * DAY]


def test_a_task_whose_rule_cannot_be_planned_is_shown_with_what_is_stored() -> None:
    gone = read(**DAILY, exclude=["2026-12-25"]).model_copy(update={"timezone": "Mars/Olympus"})

    for schedule in (gone, Unreadable(reason="x")):
        assert next_run(task_of(schedule, next_fire_at=NOON + TICK)) == NOON + TICK


def test_only_exclusions_and_gaps_that_are_skipped_keep_fire_times_from_running() -> None:
    skips = {"dst": {"gap": "skip"}}

    assert has_times_that_do_not_run(read(**DAILY, **skips))
    assert has_times_that_do_not_run(read(**EVERY_MINUTE, exclude=["2026-12-25"]))
    assert has_times_that_do_not_run(read(type="any_of", schedules=[DAILY | skips]))
    assert has_times_that_do_not_run(read(type="any_of", schedules=[DAILY], exclude=["2026-12-25"]))
    for other in (DAILY, EVERY_MINUTE, DAILY | {"dst": {"gap": "shift"}}, {"type": "manual"}):
        assert not has_times_that_do_not_run(read(**other))
