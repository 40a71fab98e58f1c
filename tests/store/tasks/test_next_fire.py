"""The next fire time, moved once: the regular one is replaced, those after it are as ever."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from rota.domain.effects import DueSooner, TaskChanged, TaskEvent
from rota.domain.explain.task import explain_at
from rota.domain.explain.time_slot import slot_at
from rota.domain.runs.upcoming import next_runs
from rota.domain.schedules.replanning.moved_fire_time import Move, NextFire
from rota.errors import Invalid
from rota.store.explain.facts import facts_of
from rota.store.tasks.next_fire import override_next_fire
from tests.support.factories import HOUR, MINUTE, NOON, World, once, success

MANUAL = {"type": "manual"}


def _patch(world: World, at: datetime | None, **fields: Any) -> Any:
    return world.registration(on_conflict="update", next_fire=at, **fields)


def _fire_times(world: World) -> list[float]:
    return [(run.scheduled_for - NOON) / MINUTE for run in world.runs()]


def _run_until(world: World, at: datetime) -> None:
    while (task := world.task()).next_fire_at is not None and task.next_fire_at <= at:
        world.clock.set(task.next_fire_at)
        world.fire()
        for claimed in world.claim():
            world.succeed(claimed)


@pytest.mark.parametrize(
    ("moved", "fired"), [(0.5, [0.5, 2, 3]), (1.5, [1.5, 2, 3]), (2.5, [2, 2.5, 3]), (2, [2, 3])]
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
    due = min(at, NOON + 2 * MINUTE)
    assert tx.effects == [TaskChanged(task.id, TaskEvent.UPDATED, "me"), DueSooner(due)]
    assert world.task().next_fire == NextFire(due, Move(NOON + MINUTE, at))


def test_a_cancelled_task_keeps_its_end(world: World) -> None:
    task = world.register()
    world.cancel()

    with world.transaction() as tx:
        assert not override_next_fire(tx, task.id, NOON + HOUR, "me")


def test_those_between_fire_before_the_moved_one_and_each_has_its_row(world: World) -> None:
    world.register()

    _patch(world, NOON + 3.5 * MINUTE)
    _run_until(world, NOON + 4 * MINUTE)

    assert _fire_times(world) == [2, 3, 3.5, 4]
    assert {run.status for run in world.runs()} == {"succeeded"}


def test_after_an_outage_the_fire_times_between_are_reported_in_order(world: World) -> None:
    world.register()
    _patch(world, NOON + 3.5 * MINUTE)
    world.clock.set(NOON + 5 * MINUTE)

    world.fire()

    spans = [(run.reason, run.count, run.scheduled_until) for run in world.runs()]
    assert spans == [("misfire", 4, NOON + 4 * MINUTE), (None, 1, None)]
    assert _fire_times(world) == [2, 5]


def test_a_run_that_moves_the_next_fire_time_each_time_takes_one_regular_time(world: World) -> None:
    world.register()
    world.clock.set(NOON + MINUTE)
    world.fire()

    for number in range(1, 5):
        (claimed,) = world.claim()
        world.end(claimed, replace(success(claimed), next_fire=world.now + timedelta(seconds=10)))
        world.clock.advance(timedelta(seconds=10))
        world.fire()
        assert world.task().overrides_at == NOON + 2 * MINUTE, number
    (claimed,) = world.claim()
    world.succeed(claimed)
    _run_until(world, NOON + 3 * MINUTE)

    sixths = [1, 1 + 1 / 6, 1 + 2 / 6, 1.5, 1 + 4 / 6]
    assert _fire_times(world) == pytest.approx([*sixths, 3])


def test_a_time_that_has_passed_has_a_run_of_its_own(world: World) -> None:
    """At the fire time of the run that asks for it there is a run already."""
    world.register()
    world.clock.set(NOON + MINUTE)
    world.fire()
    (claimed,) = world.claim()

    world.end(claimed, replace(success(claimed), next_fire=claimed.scheduled_for))
    _run_until(world, NOON + 3 * MINUTE)

    assert _fire_times(world) == pytest.approx([1, 1 + 1 / 60_000, 3])


def test_a_fire_time_moved_during_a_pause_runs_beside_those_of_the_resumption(world: World) -> None:
    world.register()
    world.pause()
    world.clock.set(NOON + 3 * MINUTE + timedelta(seconds=10))

    _patch(world, NOON + 3.5 * MINUTE)
    ahead = next_runs(world.task(), world.now, 2)
    world.resume()
    _run_until(world, NOON + 5 * MINUTE)

    assert ahead == [NOON + 3.5 * MINUTE, NOON + 5 * MINUTE]
    assert [(run.reason, run.count) for run in world.runs()] == [
        ("paused", 3),
        (None, 1),
        (None, 1),
    ]
    assert _fire_times(world) == [1, 3.5, 5]


def test_an_unchanged_registration_keeps_a_moved_fire_time(world: World) -> None:
    world.register()
    _patch(world, NOON + 2.5 * MINUTE)
    before = world.task()

    made = world.registration(on_conflict="update")
    edited = world.register(on_conflict="update", description="new")

    assert made.outcome == "unchanged"
    assert edited.next_fire == before.next_fire
    _run_until(world, NOON + 3 * MINUTE)
    assert _fire_times(world) == [2, 2.5, 3]


def test_a_one_off_that_was_moved_and_ran_is_not_repeated_by_its_registration(world: World) -> None:
    at = once(NOON + HOUR)
    world.register(schedule=at)
    _patch(world, NOON + MINUTE, schedule=at)
    _run_until(world, NOON + MINUTE)

    again = world.register(schedule=at, on_conflict="update")

    assert (again.status, again.next_fire_at) == ("completed", None)


def test_the_last_of_max_runs_counts_the_moved_one(world: World) -> None:
    schedule = {"type": "interval", "every": 60, "max_runs": 3}
    world.register(schedule=schedule)

    _patch(world, NOON + 2.5 * MINUTE, schedule=schedule)
    ahead = next_runs(world.task(), world.now, 9)
    _run_until(world, NOON + HOUR)

    assert _fire_times(world) == [2, 2.5, 3]
    assert ahead == [NOON + minutes * MINUTE for minutes in (2, 2.5, 3)]
    assert world.task().status == "completed"


def test_a_fixed_delay_drops_the_move_once_its_run_has_ended(world: World) -> None:
    schedule = {"type": "interval", "every": 60, "mode": "fixed_delay"}
    world.register(schedule=schedule)

    _patch(world, NOON + 1.5 * MINUTE, schedule=schedule)
    _run_until(world, NOON + 1.5 * MINUTE)

    assert world.task().next_fire == NextFire(NOON + 2.5 * MINUTE)


def test_it_is_explained_before_and_afterwards(world: World) -> None:
    world.register()
    _patch(world, NOON + 2.5 * MINUTE)

    def verdicts() -> list[str]:
        task, minutes = world.task(), (1, 2, 2.5, 3)
        slots = [slot_at(task, NOON + each * MINUTE) for each in minutes]
        return [
            explain_at(world.read(facts_of, task, world.now, slot), slot).verdict for slot in slots
        ]

    assert verdicts() == ["moved", "in_future", "in_future", "in_future"]
    _run_until(world, NOON + 2 * MINUTE)
    assert verdicts() == ["moved", "ran", "in_future", "in_future"]
    _run_until(world, NOON + 4 * MINUTE)
    assert verdicts() == ["moved", "ran", "ran", "ran"]


def test_a_fire_time_moved_out_of_a_gap_is_explained_as_moved_and_not_as_skipped(
    world: World,
) -> None:
    world.register()
    _run_until(world, NOON + MINUTE)
    _patch(world, NOON + 1.5 * MINUTE)
    world.clock.set(NOON + 5 * MINUTE)
    world.fire()
    task = world.task()

    slot = slot_at(task, NOON + 2 * MINUTE)
    found = explain_at(world.read(facts_of, task, world.now, slot), slot)

    assert (found.verdict, found.reason) == ("moved", "next_fire_at")
    assert "did not run" in found.message
