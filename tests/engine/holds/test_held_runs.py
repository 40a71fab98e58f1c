"""Runs that wait for holds are released when these end, in batches, and looked at only when there is a reason."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from rota.db.tables import hold, run
from rota.domain.effects import HoldAnnounced, HoldEvent
from rota.domain.runs.status import RunStatus
from rota.engine.holds import held_runs
from rota.engine.holds.held_runs import HeldRuns
from tests.support.factories import HOUR, MINUTE, NOON, World
from tests.support.holds import end_hold, set_hold


@pytest.fixture
def engine(world: World) -> HeldRuns:
    return HeldRuns(world.database, world.writer, world.clock)


@pytest.fixture
def held(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world with seven runs that wait for the hold `h`, which are checked two at a time."""
    monkeypatch.setattr(held_runs, "BATCH", 2)
    for number in range(7):
        world.register(f"t{number}")
    world.clock.advance(MINUTE)
    world.fire()
    set_hold(world, queues=("default",))
    assert world.claim() == []
    return world


def queued(world: World) -> int:
    return world.count(run, run.c.status == RunStatus.QUEUED)


def pages_of(world: World, engine: HeldRuns) -> int:
    """Look for runs to release; return how many pages of runs were read."""
    statements: list[str] = []
    on = world.database._reading

    def note(*given: Any) -> None:
        statements.append(given[2])

    event.listen(on, "before_cursor_execute", note)
    engine.look()
    event.remove(on, "before_cursor_execute", note)
    return sum("ORDER BY run.id" in each for each in statements)


def test_all_runs_are_released_when_the_hold_has_ended(held: World, engine: HeldRuns) -> None:
    engine.look()
    assert queued(held) == 0

    end_hold(held)
    engine.look()

    assert queued(held) == len(held.claim()) == 7


def test_nothing_is_gone_through_while_everything_is_held(held: World, engine: HeldRuns) -> None:
    set_hold(held, "everything")

    assert pages_of(held, engine) == 0
    end_hold(held, "everything")
    assert pages_of(held, engine) == 4


def test_what_another_hold_selects_waits_on(held: World, engine: HeldRuns) -> None:
    set_hold(held, "other", name_prefix="t3")
    end_hold(held)

    engine.look()

    assert queued(held) == 6


def test_runs_are_gone_through_when_holds_have_changed_and_now_and_then(
    held: World, engine: HeldRuns
) -> None:
    """A run may be blocked by a claim that has looked before the end of a hold, and its task may be changed."""

    def looks(after: timedelta) -> int:
        held.clock.advance(after)
        return pages_of(held, engine)

    second = timedelta(seconds=1)
    assert [looks(second) for _ in range(5)] == [4, 0, 0, 4, 0]
    assert [looks(second) for _ in range(20)] == [0] * 20
    set_hold(held, "another", name_prefix="x")
    assert [looks(second), looks(second)] == [4, 0]
    assert looks(HOUR) == 4


def test_a_hold_that_has_ended_by_itself_is_closed_and_announced_once(
    world: World, engine: HeldRuns
) -> None:
    set_hold(world, ends_at=NOON + MINUTE)
    world.clock.advance(MINUTE)

    engine.look()
    engine.look()

    assert world.count(hold, hold.c.closed_at.is_not(None)) == 1
    announced = [each for each in world.effects if isinstance(each, HoldAnnounced)]
    assert [(each.what, each.by) for each in announced] == [
        (HoldEvent.SET, "me"),
        (HoldEvent.ENDED, "rota"),
    ]
