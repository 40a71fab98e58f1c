"""One fire time moved by hand represents one regular one; all others fire at their own times."""

from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rota.domain.fire_time import TICK
from rota.domain.policies import MisfirePolicy
from rota.domain.runs.plan import DueTask, PlannedRun
from rota.domain.runs.planning import plan
from rota.domain.runs.status import RunStatus
from rota.domain.runs.upcoming import next_runs
from rota.domain.schedules.definitions import Unreadable
from rota.domain.schedules.fire_times import fire_times, first_fire
from rota.domain.schedules.replanning.moved_fire_time import (
    Move,
    NextFire,
    begun_again,
    moved,
    taken_back,
    times_left,
)
from rota.domain.tasks.definition import TaskDefinition
from rota.domain.tasks.task import Task
from tests.domain.runs.test_upcoming import task_of
from tests.domain.schedules.rules import ALL, ANCHOR, SECOND, read
from tests.support.factories import DAY, HOUR, MINUTE, NOON

EVERY_FIVE = {"type": "interval", "every": 5}
DAILY = {"type": "cron", "expression": "0 9 * * *"}


class Clockwork:
    """A task that is fired at each of its times, and moved in between, as the store does it."""

    def __init__(self, schedule: Any, now: datetime = NOON) -> None:
        self.schedule = schedule
        self.next_fire = NextFire(first_fire(schedule, ANCHOR))
        self.now = now
        self.runs: list[PlannedRun] = []

    def run_until(self, until: datetime) -> None:
        """Fire everything up to `until`, each at its time."""
        while self.next_fire.at is not None and self.next_fire.at <= until:
            self.now = max(self.now, self.next_fire.at)
            self._fire()
        self.now = until

    def catch_up(self, until: datetime) -> None:
        """Fire everything up to `until` then, all at once."""
        self.now = until
        while self.next_fire.at is not None and self.next_fire.at <= until:
            self._fire()

    def move(self, to: datetime) -> None:
        self.next_fire = moved(self.schedule, ANCHOR, self.next_fire, to, self.now)

    def take_back(self) -> None:
        self.next_fire = taken_back(self.schedule, ANCHOR, self.next_fire, self.now)

    def ran(self) -> list[datetime]:
        return [run.scheduled_for for run in self.runs if run.status is RunStatus.QUEUED]

    def task(self) -> Task:
        of, to = self.next_fire.move or (None, None)
        task = task_of(self.schedule, next_fire_at=self.next_fire.at)
        return replace(task, overrides_at=of, moved_to_at=to)

    def _fire(self) -> None:
        made = plan(self._due(), self.now)
        self.runs += made.runs
        self.next_fire = NextFire(made.next_fire_at, self.next_fire.move)

    def _due(self) -> DueTask:
        task = self.task()
        assert task.next_fire_at is not None
        return DueTask(
            id=task.id,
            name=task.name,
            generation=1,
            definition=TaskDefinition.model_construct(
                handler="noop",
                schedule=self.schedule,
                misfire_policy=MisfirePolicy.RUN_ALL,
            ),
            anchored_at=task.anchored_at,
            next_fire_at=task.next_fire_at,
            overrides_at=task.overrides_at,
            moved_to_at=task.moved_to_at,
            input="{}",
        )


def _seconds(times: list[datetime]) -> list[float]:
    return [(at - NOON).total_seconds() for at in times]


# ------------------------------------------------------------------------------------------------ against a model
@dataclass
class Model:
    """What API.md says, in sets: the regular times, those that were moved, and the one that waits."""

    regular: list[datetime]
    gone: set[datetime] = field(default_factory=set)
    fired: set[datetime] = field(default_factory=set)
    of: datetime | None = None
    waiting: datetime | None = None

    def move(self, to: datetime, now: datetime) -> None:
        same = self.waiting is not None or (self.of is not None and self.of > now)
        if not same:
            self.of = next(at for at in self.regular if at > now and at not in self.gone)
            self.gone.add(self.of)
        self.waiting = to

    def take_back(self, now: datetime) -> None:
        if self.waiting is None or self.of is None:
            return
        if self.of <= now:
            self.waiting = now + TICK
        else:
            self.gone.discard(self.of)
            self.of = self.waiting = None

    def pass_time(self, start: datetime, until: datetime) -> None:
        self.fired |= {at for at in self.regular if start < at <= until and at not in self.gone}
        if self.waiting is not None and self.waiting <= until:
            self.fired.add(self.waiting)
            self.waiting = None


#: What is done at each step, and the time of it: near the next fire times of the rule.
_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["wait", "move", "move", "back"]),
        st.integers(0, 3),
        st.sampled_from([-1, 0, 1, 500, 7_000]),
    ),
    min_size=1,
    max_size=8,
)


@given(ALL, _STEPS)
@settings(deadline=None, max_examples=100)
def test_each_move_takes_one_regular_time_and_nothing_else_is_lost_or_doubled(
    schedule: Any, steps: list[tuple[str, int, int]]
) -> None:
    far = fire_times(schedule, ANCHOR, (first_fire(schedule, ANCHOR) or NOON) - TICK)
    known = list(islice(far, 1_000))
    runs = [time.at for time in known if time.skip is None]
    clock, model = Clockwork(schedule), Model(runs)
    clock.run_until(NOON)
    model.pass_time(NOON - DAY, NOON)

    for what, number, nudge in [*steps, ("wait", 3, 0)]:
        start = clock.now
        ahead = [at for at in runs if at > start]
        if len(ahead) < 10:  # there is not always something to move
            return
        at = max(ahead[number] + nudge * TICK, start + TICK)
        if what == "move":
            clock.move(at)
            model.move(at, start)
        elif what == "back":
            clock.take_back()
            model.take_back(start)
        else:
            clock.run_until(at)
            model.pass_time(start, at)
        ahead = next_runs(clock.task(), clock.now, 4)
        assert ahead == _runs_next(clock, ahead[-1])

    assert sorted(clock.ran()) == sorted(model.fired)
    skipped = sum(run.count for run in clock.runs if run.status is RunStatus.SKIPPED)
    assert skipped == sum(time.skip is not None and time.at <= clock.now for time in known)


def _runs_next(clock: Clockwork, until: datetime) -> list[datetime]:
    """Return what runs up to a time if nothing else happens."""
    ahead = copy(clock)
    ahead.runs = []
    ahead.run_until(until)
    return ahead.ran()


# ------------------------------------------------------------------------------------------------------- by hand
def test_those_between_fire_at_their_own_times_before_the_moved_one() -> None:
    clock = Clockwork(read(**EVERY_FIVE))

    clock.move(NOON + 17 * SECOND)
    clock.run_until(NOON + 21 * SECOND)

    assert _seconds(clock.ran()) == [10, 15, 17, 20]


def test_a_handler_that_looks_again_each_second_delays_no_regular_time() -> None:
    """Each of the four moves is of the one at 10 s, which has not come."""
    clock = Clockwork(read(**EVERY_FIVE))
    clock.run_until(NOON + 5 * SECOND)

    for number in range(6, 10):
        clock.move(NOON + number * SECOND)
        clock.run_until(NOON + number * SECOND)
    clock.run_until(NOON + 20 * SECOND)

    assert _seconds(clock.ran()) == [5, 6, 7, 8, 9, 15, 20]


def test_once_the_time_has_come_that_was_moved_another_one_is_moved() -> None:
    clock = Clockwork(read(**EVERY_FIVE))

    clock.move(NOON + 2 * SECOND)
    clock.run_until(NOON + 6 * SECOND)
    clock.move(NOON + 7 * SECOND)
    clock.run_until(NOON + 15 * SECOND)

    assert _seconds(clock.ran()) == [2, 7, 15]


def test_three_fires_by_hand_on_one_day_take_one_day() -> None:
    clock = Clockwork(read(**DAILY))

    for _ in range(3):
        clock.move(clock.now + SECOND)
        clock.run_until(clock.now + MINUTE)

    tomorrow = NOON + 21 * HOUR
    assert _seconds(clock.ran()) == [1, 61, 121]
    assert clock.next_fire.at == tomorrow + DAY
    assert next_runs(clock.task(), clock.now, 2) == [tomorrow + DAY, tomorrow + 2 * DAY]


def test_one_moved_to_a_regular_time_is_one_with_it() -> None:
    clock = Clockwork(read(**EVERY_FIVE))

    clock.move(NOON + 15 * SECOND)
    clock.run_until(NOON + 20 * SECOND)

    assert _seconds(clock.ran()) == [10, 15, 20]


def test_moved_to_its_own_time_it_is_as_it_was() -> None:
    clock = Clockwork(read(**EVERY_FIVE))

    clock.move(NOON + 5 * SECOND)
    clock.run_until(NOON + 10 * SECOND)

    assert _seconds(clock.ran()) == [5, 10]


def test_one_that_waits_is_moved_again_although_its_time_has_passed() -> None:
    clock = Clockwork(read(**EVERY_FIVE))

    clock.move(NOON + 17 * SECOND)
    clock.run_until(NOON + 12 * SECOND)
    clock.move(NOON + 23 * SECOND)
    clock.run_until(NOON + 25 * SECOND)

    assert _seconds(clock.ran()) == [10, 15, 20, 23, 25]


@pytest.mark.parametrize(
    ("taken_back_at", "ran"), [(3, [5, 10, 15, 20]), (12, [10, 12.001, 15, 20])]
)
def test_taken_back_it_comes_when_it_would_have_or_at_once(
    taken_back_at: int, ran: list[float]
) -> None:
    clock = Clockwork(read(**EVERY_FIVE))

    clock.move(NOON + 17 * SECOND)
    clock.run_until(NOON + taken_back_at * SECOND)
    clock.take_back()
    clock.run_until(NOON + 20 * SECOND)

    assert _seconds(clock.ran()) == ran


def test_one_that_has_fired_cannot_be_taken_back() -> None:
    clock = Clockwork(read(**EVERY_FIVE))
    clock.move(NOON + 2 * SECOND)
    clock.run_until(NOON + 3 * SECOND)
    before = clock.next_fire

    clock.take_back()
    clock.run_until(NOON + 10 * SECOND)

    assert before.at == NOON + 10 * SECOND
    assert _seconds(clock.ran()) == [2, 10]


def test_a_time_that_has_passed_fires_at_once_and_not_with_what_has_run() -> None:
    clock = Clockwork(read(**EVERY_FIVE))
    clock.run_until(NOON + 12 * SECOND)

    clock.move(NOON + 10 * SECOND)  # as a handler asks for that was slow
    clock.run_until(NOON + 20 * SECOND)

    assert _seconds(clock.ran()) == [5, 10, 12.001, 20]


def test_after_an_outage_all_of_it_is_caught_up_with_in_order() -> None:
    clock = Clockwork(read(**EVERY_FIVE))

    clock.move(NOON + 17 * SECOND)
    clock.catch_up(NOON + 22 * SECOND)

    assert _seconds(clock.ran()) == [10, 15, 17, 20]


def test_excluded_times_are_recorded_as_skipped_whatever_is_moved() -> None:
    excluded = {"from": (NOON + 4 * SECOND).isoformat(), "to": (NOON + 13 * SECOND).isoformat()}
    clock = Clockwork(read(**EVERY_FIVE, exclude=[excluded]))

    clock.move(NOON + 2 * SECOND)
    clock.run_until(NOON + 20 * SECOND)

    ahead = [(run.count, run.reason) for run in clock.runs]
    assert ahead == [(1, None), (1, "excluded"), (1, "excluded"), (1, None)]
    assert _seconds(clock.ran()) == [2, 20], "that of 15 s was the next to run"


def test_during_a_pause_the_next_time_ahead_is_moved_and_the_gap_is_recorded() -> None:
    """A task that was paused long ago is moved, and then resumed: `next_fire_at` still says where the gap begins."""
    schedule = read(**EVERY_FIVE)
    now = NOON + 62 * SECOND

    made = moved(schedule, ANCHOR, NextFire(NOON + 5 * SECOND), now + SECOND, now)

    assert made == NextFire(NOON + 5 * SECOND, Move(NOON + 65 * SECOND, now + SECOND))
    left = [time.at for time in islice(times_left(schedule, ANCHOR, made), 14)]
    assert _seconds(left) == [*range(5, 65, 5), 63, 70]


def test_a_one_off_is_moved_and_not_repeated() -> None:
    once = read(type="once", at=(NOON + HOUR).isoformat())
    clock = Clockwork(once)

    clock.move(NOON + MINUTE)
    clock.run_until(NOON + 2 * MINUTE)

    assert clock.ran() == [NOON + MINUTE]
    assert clock.next_fire.at is None
    assert begun_again(once, ANCHOR, clock.next_fire, clock.now).at is None, "nor by a registration"


def test_a_one_off_that_passed_during_a_pause_is_moved() -> None:
    once = read(type="once", at=(NOON + HOUR).isoformat())

    made = moved(once, ANCHOR, NextFire(NOON + HOUR), NOON + 3 * HOUR, NOON + 2 * HOUR)

    assert made == NextFire(NOON + 3 * HOUR, Move(NOON + HOUR, NOON + 3 * HOUR))


@pytest.mark.parametrize("to", [20, 90])
def test_the_end_of_the_run_decides_about_a_fixed_delay_after_the_moved_one(to: int) -> None:
    schedule = read(type="interval", every=60, mode="fixed_delay")
    clock = Clockwork(schedule)

    clock.move(NOON + to * SECOND)
    clock.run_until(NOON + HOUR)

    assert _seconds(clock.ran()) == [to]
    assert clock.next_fire.at is None


def test_a_task_without_fire_times_gets_one_which_can_be_taken_back() -> None:
    manual = read(type="manual")

    given = moved(manual, ANCHOR, NextFire(None), NOON + HOUR, NOON)
    later = moved(manual, ANCHOR, given, NOON + 2 * HOUR, NOON)

    assert given == NextFire(NOON + HOUR, Move(None, NOON + HOUR))
    assert later == NextFire(NOON + 2 * HOUR, Move(None, NOON + 2 * HOUR))
    assert taken_back(manual, ANCHOR, later, NOON) == NextFire(None)


def test_what_ended_and_begins_again_keeps_to_what_was_moved() -> None:
    schedule = read(**EVERY_FIVE)
    fired = NextFire(None, Move(NOON + 10 * SECOND, NOON + 7 * SECOND))
    waiting = NextFire(NOON + 7 * SECOND, Move(NOON + 10 * SECOND, NOON + 7 * SECOND))

    for now, present, at in ((8, fired, 15), (6, waiting, 7), (9, waiting, 15), (2, fired, 5)):
        assert begun_again(schedule, ANCHOR, present, NOON + now * SECOND).at == NOON + at * SECOND


def test_a_rule_that_cannot_be_planned_is_moved_as_a_whole() -> None:
    made = moved(Unreadable(reason="x"), ANCHOR, NextFire(NOON), NOON + HOUR, NOON)

    assert made == NextFire(NOON + HOUR, Move(NOON, NOON + HOUR))


def test_a_long_outage_around_a_moved_time_is_counted_by_arithmetic() -> None:
    clock = Clockwork(read(type="interval", every=1))
    clock.move(NOON + 15 * DAY + timedelta(milliseconds=500))

    plans = 0
    clock.now = NOON + 31 * DAY
    while clock.next_fire.at is not None and clock.next_fire.at <= clock.now:
        clock._fire()
        plans += 1

    assert plans < 5
    assert sum(run.count for run in clock.runs) == 31 * 24 * 60 * 60
