"""Runs that wait for a host come sooner when it is up again, a few at a time."""

from datetime import timedelta

import pytest

from rota.db import tables
from rota.domain.effects import DueSooner
from rota.domain.primitives.ids import Id
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Postponed
from rota.store.scheduling.waking import WakeWaiting
from tests.support.factories import HOUR, MINUTE, NOON, World

SECOND = timedelta(seconds=1)
DOWN = RunError("http.circuit", "a.example does not answer at the moment")


def waiting(world: World, on: str = "circuit:a.example", by: timedelta = MINUTE) -> Id:
    name = f"t{world.count(tables.task)}"
    world.register(name)
    running = world.start(name)
    world.end(running, Postponed(world.now + by, on, DOWN))
    return running.id


def wake(world: World, limit: int = 100) -> int:
    return world.do(WakeWaiting("circuit:a.example", 2 * MINUTE, limit, 2, SECOND))


def test_they_come_in_groups_the_earliest_first(world: World) -> None:
    ids = [waiting(world, by=MINUTE - index * SECOND) for index in range(5)]
    world.effects.clear()

    assert wake(world) == 5

    times = [world.run(id).not_before for id in reversed(ids)]
    assert times == [NOON, NOON, NOON + SECOND, NOON + SECOND, NOON + 2 * SECOND]
    assert world.run(ids[0]).waiting_on == ("circuit:a.example",)
    assert world.effects == [DueSooner(NOON)]


@pytest.mark.parametrize(
    ("on", "by"),
    [
        ("circuit:b.example", MINUTE),
        ("circuit:a.example:8080", MINUTE),
        ("host:a.example", MINUTE),
        ("circuit:a.example", HOUR),
    ],
)
def test_all_others_stay(world: World, on: str, by: timedelta) -> None:
    id = waiting(world, on, by)
    world.effects.clear()

    assert wake(world) == 0
    assert (world.run(id).not_before, world.effects) == (NOON + by, [])


def test_no_more_than_the_limit_are_changed_and_none_is_put_off(world: World) -> None:
    soon = [waiting(world, by=timedelta(milliseconds=index + 1)) for index in range(3)]
    late = [waiting(world) for _ in range(2)]

    assert wake(world, limit=4) == 3

    assert world.run(soon[2]).not_before == NOON + timedelta(milliseconds=3)
    assert sorted(world.run(id).not_before != NOON + MINUTE for id in late) == [False, True]
