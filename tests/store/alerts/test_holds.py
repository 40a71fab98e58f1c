"""Nothing is raised of a held task, and what follows from time counts from the end of the hold."""

from datetime import timedelta
from typing import Any

import pytest

from rota.db.tables import task
from tests.store.alerts.test_checks import FAILURE, LATE, SECOND, look, raised, run_well
from tests.store.alerts.test_run_ends import types
from tests.support.factories import BROKEN, HOUR, MINUTE, NOON, World
from tests.support.holds import end_hold, set_hold

MANUAL = {"type": "manual"}


@pytest.fixture(autouse=True)
def ops(world: World) -> None:
    world.register("ops", schedule=MANUAL)


def fail(world: World) -> None:
    world.end(world.start(), BROKEN)


def test_a_failure_during_a_hold_raises_nothing_and_the_next_one_does(world: World) -> None:
    world.register(schedule=MANUAL, on_failure={"task": "ops"}, retry={"max_attempts": 1})
    set_hold(world, name_prefix="t")
    fail(world)
    assert types(world) == []
    end_hold(world)

    fail(world)

    assert types(world) == ["failing"]


def test_an_alert_that_was_raised_before_ends_during_a_hold_and_says_so(world: World) -> None:
    world.register(schedule=MANUAL, on_failure={"task": "ops"}, retry={"max_attempts": 1})
    fail(world)
    set_hold(world)

    run_well(world)

    assert types(world) == ["failing", "recovered"]


@pytest.mark.parametrize("by_itself", [True, False])
def test_an_absence_counts_from_the_end_of_the_hold(world: World, by_itself: bool) -> None:
    world.register(schedule=MANUAL, on_failure=FAILURE)
    set_hold(world, ends_at=NOON + 10 * HOUR if by_itself else None)
    look(world, 10 * HOUR - SECOND)
    world.clock.advance(SECOND)
    if not by_itself:
        end_hold(world)

    look(world, 2 * HOUR - SECOND)
    assert raised(world) == set()
    look(world, SECOND)

    assert raised(world) == {"no_success"}


def test_a_hold_between_two_looks_counts_as_well(world: World) -> None:
    world.register(schedule=MANUAL, on_failure=FAILURE)
    set_hold(world, ends_at=NOON + HOUR)

    look(world, 2 * HOUR)
    assert raised(world) == set()
    look(world, HOUR)

    assert raised(world) == {"no_success"}


@pytest.mark.parametrize("fires_before", [True, False])
def test_a_run_that_waits_for_a_hold_is_late_from_its_end_on(
    world: World, fires_before: bool
) -> None:
    world.register(schedule={"type": "interval", "every": 60}, on_late=LATE)
    world.clock.advance(MINUTE)
    if fires_before:
        world.fire()
    set_hold(world, ends_at=NOON + HOUR)
    world.claim()

    for _ in range(14):
        look(world, 4 * MINUTE)
    look(world, 3 * MINUTE)
    assert raised(world) == set()
    look(world, 5 * MINUTE)

    assert raised(world) == {"late"}


def test_a_held_task_is_checked_now_and_then_and_not_more_often(world: World) -> None:
    world.register(schedule={"type": "interval", "every": 60}, on_late={"task": "ops", "after": 5})
    set_hold(world)

    looks = [look(world, 10 * SECOND) for _ in range(60)]

    assert sum(looks) <= 3
    assert world.count(task, task.c.alert_check_at > world.now + timedelta(minutes=5)) == 0


def test_another_task_s_hold_mutes_nothing(world: World) -> None:
    rules: dict[str, Any] = {"on_failure": {"task": "ops", "after": 1, "success_within": "2h"}}
    world.register(schedule=MANUAL, **rules, retry={"max_attempts": 1})
    set_hold(world, name_prefix="other")

    fail(world)
    look(world, 2 * HOUR)

    assert raised(world) == {"failures", "no_success"}
