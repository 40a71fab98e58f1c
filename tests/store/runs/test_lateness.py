"""Lateness: of what the service starts late, and not of what was to wait."""

from datetime import timedelta
from typing import Any

import pytest

from rota.store.runs.holding import ReleaseHeld
from rota.store.runs.queues import PutQueue
from tests.support.factories import BROKEN, MINUTE, World, define
from tests.support.holds import end_hold, set_hold

SECOND = timedelta(seconds=1)


def lateness(world: World, **which: Any) -> list[timedelta | None]:
    """Claim everything; return how late each run began."""
    return [run.lateness for run in world.claim(**which)]


def test_a_run_that_fires_and_starts_late_is_late(world: World) -> None:
    world.register()
    world.clock.advance(MINUTE + 7 * SECOND)
    world.fire()
    world.clock.advance(2 * SECOND)

    assert lateness(world) == [9 * SECOND]


def test_catching_up_after_a_pause_is_not(world: World) -> None:
    world.register(overlap_policy="allow")
    world.pause()
    world.clock.advance(10 * MINUTE + SECOND)
    world.resume(catch_up="all")
    world.fire()
    caught_up = lateness(world)
    world.clock.advance(MINUTE + 2 * SECOND)
    world.fire()

    assert caught_up == [None] * 10
    assert lateness(world) == [3 * SECOND]


def test_a_run_that_waited_for_the_resumption_of_its_task_is_not(world: World) -> None:
    world.register()
    world.clock.advance(MINUTE)
    world.fire()
    world.pause()
    world.clock.advance(5 * MINUTE)
    world.resume()

    assert lateness(world) == [None]


def test_a_run_that_waited_for_the_end_of_a_hold_is_not(world: World) -> None:
    world.register()
    world.register("other")
    world.clock.advance(MINUTE)
    world.fire()
    set_hold(world, name_prefix="t")
    assert lateness(world) == [timedelta()]
    world.clock.advance(5 * MINUTE)
    end_hold(world)
    world.do(ReleaseHeld(tuple(run.id for run in world.runs())))

    assert lateness(world) == [None]


def test_a_run_that_waited_for_its_queue_is_not(world: World) -> None:
    world.register(queue="q")
    world.do(PutQueue(name="q", concurrency=None, paused=True, by="me"))
    world.clock.advance(MINUTE)
    world.fire()
    held = world.claim(queue="q")
    world.clock.advance(MINUTE / 2)
    world.do(PutQueue(name="q", concurrency=None, paused=False, by="me"))
    let_go = world.claim(queue="q")
    world.succeed(let_go[0])
    world.clock.advance(MINUTE / 2 + SECOND)
    world.fire()

    assert (held, [run.lateness for run in let_go]) == ([], [None])
    assert lateness(world, queue="q") == [SECOND]


@pytest.mark.parametrize("trigger", ["manual", "retry"])
def test_other_triggers_and_further_attempts_have_none(world: World, trigger: str) -> None:
    world.register(retry={"max_attempts": 2, "initial_interval": 0})
    world.clock.advance(MINUTE)
    if trigger == "manual":
        world.run_now()
    else:
        world.fire()
        world.end(world.claim()[0], BROKEN)

    assert lateness(world) == [None]


@pytest.mark.parametrize(
    "fields",
    [
        {"overlap_policy": "buffer"},
        {"overlap_policy": "replace"},
        {"concurrency": {"key": "k", "limit": 1}},
    ],
)
def test_a_run_that_may_have_waited_for_another_one_has_none(
    world: World, fields: dict[str, Any]
) -> None:
    world.register(**fields)
    world.clock.advance(MINUTE + 5 * SECOND)
    world.fire()

    assert lateness(world) == [None]


def test_a_clock_that_was_set_back_makes_no_run_early(world: World) -> None:
    world.register()
    world.clock.advance(MINUTE)
    world.fire()
    world.clock.advance(-10 * SECOND)

    assert lateness(world) == [timedelta()]
    assert define().overlap_policy == "skip"
