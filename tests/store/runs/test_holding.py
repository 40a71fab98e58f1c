"""Runs of held tasks do not start: a claim blocks them, and they are released when no hold matches."""

from collections import Counter
from typing import Any

import pytest

from rota.db.tables import run
from rota.domain.access.names import NameLimit
from rota.domain.primitives.ids import NO_ID
from rota.domain.runs.status import RunStatus
from rota.store.declared_handlers import DeclareHandler
from rota.store.handlers import HandlerInfo
from rota.store.holds.lasting import lasting_holds
from rota.store.replicas import OUTSIDE
from rota.store.runs.claiming.claim import Claim, ReleaseDelayed
from rota.store.runs.claiming.leasing import Lease
from rota.store.runs.claiming.starting import ClaimShortfall
from rota.store.runs.holding import ReleaseHeld, held_of, held_page
from rota.store.runs.queues import PutQueue
from rota.store.tasks.run_commands import Rerun
from tests.support.factories import BROKEN, HANDLERS, HOUR, MINUTE, NOON, World
from tests.support.holds import end_hold, set_hold

WAITS = ("hold",)
OUTSIDE_WORK = HandlerInfo(
    name="work", description="", input_schema=None, timeout=None, isolation=OUTSIDE
)


def scheduled(world: World, *names: str, **fields: Any) -> None:
    """Make a queued run of the schedule for each task."""
    for name in names:
        world.register(name, **fields)
    world.clock.advance(MINUTE)
    world.fire()


def started(world: World, **given: Any) -> set[str]:
    return {each.task for each in world.claim(**given)}


def release(world: World) -> int:
    """Release what no hold matches, as the thread for it does."""
    page = world.read(held_page, NO_ID, 1_000)
    holds = world.read(lasting_holds, world.now)
    held = world.read(held_of, page, holds)
    return world.do(ReleaseHeld(tuple(each.id for each in page if each.id not in held)))


def waiting(world: World, name: str = "t") -> list[tuple[str, ...]]:
    return [each.waiting_on for each in world.runs(name) if each.status is RunStatus.BLOCKED]


def test_a_run_of_a_held_task_waits_for_the_hold_and_others_start(world: World) -> None:
    scheduled(world, "t", "other")
    set_hold(world, name_prefix="t")

    assert started(world) == {"other"}
    assert waiting(world) == [WAITS]


@pytest.mark.parametrize(
    ("selector", "held"),
    [
        ({}, {"a-1", "a-2", "b"}),
        ({"name_prefix": "a-"}, {"a-1", "a-2"}),
        ({"tags": ("x",)}, {"a-1", "b"}),
        ({"tags": ("x",), "name_prefix": "a-"}, {"a-1"}),
        ({"tags": ("nobody",)}, set()),
        ({"queues": ("default",)}, {"a-1", "a-2", "b"}),
        ({"queues": ("mail",)}, set()),
        ({"limit": NameLimit(("b",))}, {"b"}),
        ({"limit": NameLimit(())}, set()),
    ],
)
def test_a_hold_selects_by_tags_names_and_queues_within_the_limit_of_its_key(
    world: World, selector: Any, held: set[str]
) -> None:
    world.register("a-1", tags=["x"])
    world.register("a-2", tags=["y"])
    scheduled(world, "b", tags=["x", "y"])
    set_hold(world, **selector)

    assert started(world) == {"a-1", "a-2", "b"} - held


def test_a_hold_lasts_from_its_start_until_before_its_end(world: World) -> None:
    scheduled(world, *"abc")
    set_hold(world, starts_at=NOON + 2 * MINUTE, ends_at=NOON + 3 * MINUTE)

    assert len(world.claim(limit=1)) == 1  # one minute after noon
    world.clock.advance(MINUTE)
    assert world.claim(limit=1) == []
    world.clock.advance(MINUTE)
    assert release(world) == 2
    assert len(world.claim()) == 2


def test_runs_by_hand_start_and_those_that_run_continue(world: World) -> None:
    world.register(overlap_policy="allow", schedule={"type": "manual"})
    before = world.start()
    set_hold(world)

    by_hand = world.run_now()
    assert [each.id for each in world.claim()] == [by_hand.id]
    world.succeed(before)
    again = world.do(Rerun(before.id))

    assert [each.id for each in world.claim()] == [again.id]


def test_a_run_by_hand_starts_beside_one_that_waits_for_the_hold(world: World) -> None:
    """Which waits behind it then, when the hold has ended."""
    scheduled(world, "t", overlap_policy="buffer")
    set_hold(world)
    assert world.claim() == []

    by_hand = world.run_now()
    assert [each.id for each in world.claim()] == [by_hand.id]
    end_hold(world)

    assert release(world) == 1
    assert waiting(world) == [(f"overlap:{by_hand.id}",)]


def test_a_retry_waits_for_the_hold_when_its_time_has_come(world: World) -> None:
    scheduled(world, "t", retry={"max_attempts": 3})
    (claimed,) = world.claim()
    set_hold(world)
    world.end(claimed, BROKEN)
    world.clock.advance(HOUR)
    world.do(ReleaseDelayed(10))

    assert world.claim() == []
    assert waiting(world) == [WAITS]
    end_hold(world)
    assert release(world) == 1
    (again,) = world.claim()
    assert (again.id, again.attempt) == (claimed.id, 2)


def test_a_queue_whose_head_is_held_does_not_keep_others_from_starting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each claim looks at so many of them, blocks those, and says that there are more."""
    monkeypatch.setattr("rota.store.runs.claiming.starting._SPARE", 5)
    monkeypatch.setattr("rota.store.runs.claiming.starting._HELD_PAGE", 20)
    scheduled(world, *(f"held-{n}" for n in range(40)), priority=9)
    scheduled(world, "free")
    set_hold(world, name_prefix="held-")

    first, second = claim(world), claim(world)

    assert (first, second) == (
        ([], ClaimShortfall.MORE),
        (["free"], ClaimShortfall.NOTHING),
    )
    assert world.count(run, run.c.status == RunStatus.BLOCKED) == 40


def claim(world: World, limit: int = 10) -> tuple[list[str], ClaimShortfall]:
    made = world.do(Claim(holder=world.holder, queue="default", handlers=HANDLERS, limit=limit))
    return [each.task for each in made.runs], made.shortfall


def test_a_hold_beside_the_limits_of_a_queue_and_of_a_key(world: World) -> None:
    world.do(PutQueue(name="q", concurrency=3, paused=False, by="me"))
    keyed = {"queue": "q", "concurrency": {"key": "k", "limit": 1}}
    for name in ("held-1", "keyed-1", "keyed-2"):
        world.register(name, **keyed)
    scheduled(world, "held-2", "free-1", "free-2", "free-3", queue="q")
    set_hold(world, name_prefix="held-")

    names = Counter(name.partition("-")[0] for name in started(world, queue="q"))

    assert names == {"keyed": 1, "free": 2}
    assert waiting(world, "held-1") == waiting(world, "held-2") == [WAITS]


def test_workers_outside_get_no_run_of_a_held_task(world: World) -> None:
    world.do(DeclareHandler(OUTSIDE_WORK))
    scheduled(world, *(f"held-{n}" for n in range(70)), "free", handler="work")
    set_hold(world, name_prefix="held-")

    lease = Lease(queue="default", handlers=("work",), limit=5, seconds=MINUTE)
    leased = world.do(lease)

    assert [world.run(each.run_id).task for each in leased] == ["free"]


def test_released_runs_are_checked_for_their_constraints_again(world: World) -> None:
    kv = {"type": "kv", "key": "ready", "exists": True}
    scheduled(world, "t", constraints=[kv])
    with world.transaction() as tx:  # they were met once
        tx.connection.execute(run.update().values(status="queued", waiting_on=None))
    set_hold(world)
    assert world.claim() == []
    end_hold(world)

    assert release(world) == 1
    assert waiting(world) == [("constraint:pending",)]


def test_what_another_hold_still_matches_is_not_released(world: World) -> None:
    scheduled(world, "a", "b")
    set_hold(world, "all", ends_at=NOON + HOUR)
    set_hold(world, "some", name_prefix="b")
    assert world.claim() == []
    world.clock.advance(HOUR)

    assert release(world) == 1
    assert started(world) == {"a"}
    assert waiting(world, "b") == [WAITS]


def test_a_run_that_waits_for_a_hold_waits_for_the_resumption_of_its_task_first(
    world: World,
) -> None:
    scheduled(world, "t")
    set_hold(world)
    assert world.claim() == []

    world.pause()
    assert waiting(world) == [("paused",)]
    world.resume()

    assert world.claim() == []
    assert waiting(world) == [WAITS]
