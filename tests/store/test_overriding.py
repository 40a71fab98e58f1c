"""The next fire time, moved once: the regular one is replaced, those after it are as ever."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from app.domain.effects import DueSooner, TaskChanged
from app.errors import Invalid
from app.store.overriding import override_next_fire
from tests.factories import HOUR, MINUTE, NOON, World, once

MANUAL = {"type": "manual"}


def _patch(world: World, at: datetime | None, **members: Any) -> Any:
    return world.registration(on_conflict="update", next_fire=at, **members)


def _fire_times(world: World) -> list[float]:
    return [(run.scheduled_for - NOON) / MINUTE for run in world.runs()]


def _run_until(world: World, at: datetime) -> None:
    while (task := world.task()).next_fire_at is not None and task.next_fire_at <= at:
        world.clock.set(task.next_fire_at)
        world.fire()
        for claimed in world.claim():
            world.succeed(claimed)


@pytest.mark.parametrize(
    ("moved", "fired"), [(0.5, [0.5, 2, 3]), (1.5, [1.5, 2, 3]), (2.5, [2.5, 3])]
)
def test_the_moved_time_stands_in_for_one_regular_one(
    world: World, moved: float, fired: list[float]
) -> None:
    world.register()

    made = _patch(world, NOON + moved * MINUTE)
    _run_until(world, NOON + 3 * MINUTE)

    assert made.outcome == "updated"
    assert made.task.generation == 1, "the definition is as it was"
    assert _fire_times(world) == fired


def test_it_can_be_taken_back(world: World) -> None:
    before = world.register()
    _patch(world, NOON + HOUR)
    _patch(world, NOON + 2 * HOUR)

    made = _patch(world, None)

    assert made.task.next_fire_at == before.next_fire_at
    assert _patch(world, None).outcome == "unchanged"


def test_a_completed_task_with_a_fire_time_ahead_is_active_for_it(world: World) -> None:
    world.register(schedule=once(NOON + MINUTE))
    _run_until(world, NOON + MINUTE)
    completed = world.task().status

    _patch(world, NOON + 3 * MINUTE, schedule=once(NOON + MINUTE))
    revived = world.task().status
    _run_until(world, NOON + 3 * MINUTE)

    assert (completed, revived, world.task().status) == ("completed", "active", "completed")
    assert _fire_times(world) == [1, 3]


def test_a_manual_task_can_be_given_a_fire_time(world: World) -> None:
    world.register(schedule=MANUAL)

    _patch(world, NOON + MINUTE, schedule=MANUAL)
    _run_until(world, NOON + MINUTE)

    assert _fire_times(world) == [1]
    assert (world.task().status, world.task().next_fire_at) == ("active", None)


def test_a_time_that_has_passed_is_refused(world: World) -> None:
    world.register()

    with pytest.raises(Invalid, match=r"/next_fire_at: .* has passed"):
        _patch(world, NOON - MINUTE)


def test_a_new_schedule_forgets_it(world: World) -> None:
    world.register()
    _patch(world, NOON + HOUR)

    changed = world.register(schedule={"type": "interval", "every": 120}, on_conflict="update")

    assert (changed.next_fire_at, changed.overrides_at) == (NOON + 2 * MINUTE, None)


@pytest.mark.parametrize("at", [NOON + 10 * MINUTE, NOON + timedelta(seconds=10)])
def test_the_store_moves_it_in_one_statement(world: World, at: datetime) -> None:
    task = world.register()
    world.effects.clear()

    with world.transaction() as tx:
        moved = override_next_fire(tx, task.id, at, "me")

    assert moved
    assert tx.effects == [TaskChanged(task.id, "updated", "me"), DueSooner(at)]
    assert (world.task().next_fire_at, world.task().overrides_at) == (at, NOON + MINUTE)


def test_a_cancelled_task_keeps_its_end(world: World) -> None:
    task = world.register()
    world.cancel()

    with world.transaction() as tx:
        assert not override_next_fire(tx, task.id, NOON + HOUR, "me")
