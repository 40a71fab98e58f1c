"""Replanning: a next fire time that was changed since it was read is not replaced."""

from collections.abc import Callable
from typing import Any

import pytest

from rota.domain.schedules.replanning.moved_fire_time import NextFire
from rota.domain.tasks.definition import OnConflict
from rota.store.scheduling.replanning import Replan, Replanned, stored_fire_times
from tests.support.factories import DAY, HOUR, World

NINE = {"type": "cron", "expression": "0 9 * * *", "timezone": "Europe/Berlin"}


def _move(world: World, days: int) -> None:
    """Move tomorrow's fire time behind the next one of the rule, which stays the next fire time."""
    world.registration(
        schedule=NINE, on_conflict=OnConflict.UPDATE, next_fire=world.now + days * DAY
    )


def _fire(world: World) -> None:
    world.clock.advance(2 * DAY)
    world.fire()


@pytest.fixture
def replan(world: World) -> Replan:
    """The replanning of a task with a moved fire time, as it was read: an hour sooner."""
    world.register(schedule=NINE)
    _move(world, 5)
    (stored,) = world.read(stored_fire_times, None, 10)
    sooner = NextFire(stored.next_fire_at - HOUR, stored.next_fire.move)
    return Replan((Replanned(stored, sooner),))


def test_a_task_that_is_as_it_was_read_is_replanned(world: World, replan: Replan) -> None:
    assert world.do(replan) == 1

    assert world.task().next_fire == replan.tasks[0].next_fire


MEANWHILE: dict[str, Callable[[World], Any]] = {
    "edit": lambda world: world.register(
        schedule=NINE, on_conflict=OnConflict.UPDATE, description="new"
    ),
    "cancel": lambda world: world.cancel(),
    "fire": _fire,
    "move": lambda world: _move(world, 6),
}


@pytest.mark.parametrize("meanwhile", list(MEANWHILE))
def test_a_task_that_was_changed_meanwhile_is_not_replanned(
    world: World, replan: Replan, meanwhile: str
) -> None:
    MEANWHILE[meanwhile](world)
    before = world.task()

    assert world.do(replan) == 0

    assert world.task() == before
