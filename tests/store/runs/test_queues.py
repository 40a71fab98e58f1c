"""Queues: limits and pauses, held by the claim across replicas."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from rota.db.tables import run
from rota.domain.effects import RunsReady
from rota.domain.runs.status import RunStatus
from rota.errors import NotFound
from rota.store.runs.claiming.claim import Claim, waiting_queues
from rota.store.runs.claiming.starting import ClaimShortfall
from rota.store.runs.queues import PutQueue, Queue, RemoveQueue, find_queue, list_queues
from tests.support.factories import BROKEN, HANDLERS, HOUR, NOON, World

postgres_only = pytest.mark.parametrize(
    "database_engine",
    [pytest.param("postgresql", marks=pytest.mark.postgres)],
    indirect=True,
)


@pytest.fixture
def five(world: World) -> World:
    """A world with five runs of the task `t` in the queue `q`."""
    world.register(queue="q", overlap_policy="allow", schedule={"type": "manual"})
    for _ in range(5):
        world.run_now()
    return world


def put(world: World, concurrency: int | None = None, *, paused: bool = False) -> Queue:
    return world.do(PutQueue(name="q", concurrency=concurrency, paused=paused, by="me"))[0]


def claim(world: World, limit: int = 100) -> tuple[int, ClaimShortfall]:
    """Claim from `q`; return how many runs started, and what was left."""
    claimed = world.do(Claim(holder=world.holder, queue="q", handlers=HANDLERS, limit=limit))
    return len(claimed.runs), claimed.shortfall


def test_a_queue_without_a_limit_has_none(five: World) -> None:
    assert claim(five, 3) == (3, ClaimShortfall.NOTHING)
    assert claim(five) == (2, ClaimShortfall.NOTHING)
    assert claim(five) == (0, ClaimShortfall.NOTHING)


def test_no_more_run_than_the_queue_s_limit(five: World) -> None:
    put(five, 2)

    assert claim(five) == (2, ClaimShortfall.FULL)
    assert claim(five) == (0, ClaimShortfall.FULL)
    assert five.count(run, run.c.status == RunStatus.QUEUED) == 3


def test_a_claim_for_less_than_the_limit_leaves_does_not_report_a_full_queue(
    five: World,
) -> None:
    put(five, 4)

    assert claim(five, 2) == (2, ClaimShortfall.NOTHING)
    assert claim(five, 2) == (2, ClaimShortfall.NOTHING)
    assert claim(five, 2) == (0, ClaimShortfall.FULL)


@pytest.mark.parametrize("outcome", ["succeeded", "retried"])
def test_a_run_that_has_ended_makes_room(five: World, outcome: str) -> None:
    put(five, 1)
    (claimed,) = five.claim(queue="q")

    if outcome == "succeeded":
        five.succeed(claimed)
    else:
        five.end(claimed, BROKEN)

    assert claim(five) == (1, ClaimShortfall.FULL)


def test_running_runs_count_when_a_limit_is_set(five: World) -> None:
    five.claim(3, queue="q")

    put(five, 2)

    assert claim(five) == (0, ClaimShortfall.FULL)


def test_a_raised_limit_holds_at_once(five: World) -> None:
    put(five, 1)
    claim(five)
    five.effects.clear()

    put(five, 3)

    assert RunsReady("q") in five.effects
    assert claim(five) == (2, ClaimShortfall.FULL)


def test_the_best_runs_start_within_a_limit(five: World) -> None:
    five.register("urgent", queue="q", priority=5)
    five.run_now("urgent")
    put(five, 1)

    assert [run.task for run in five.claim(queue="q")] == ["urgent"]


def test_other_queues_are_not_held_by_a_limit(five: World) -> None:
    five.register("other")
    five.run_now("other")
    put(five, 1)
    claim(five)

    assert [run.task for run in five.claim()] == ["other"]


def test_a_paused_queue_starts_nothing_and_its_runs_stay_queued(five: World) -> None:
    (running, *_) = five.claim(1, queue="q")
    put(five, paused=True)

    assert claim(five) == (0, ClaimShortfall.NOTHING)
    assert five.read(waiting_queues) == []
    five.succeed(running)
    assert Counter(each.status for each in five.runs()) == {"succeeded": 1, "queued": 4}


def test_a_resumed_queue_is_claimed_from(five: World) -> None:
    put(five, paused=True)
    five.effects.clear()

    put(five, paused=False)

    assert five.effects == [RunsReady("q")]
    assert five.read(waiting_queues) == ["q"]
    assert claim(five) == (5, ClaimShortfall.NOTHING)


def test_removing_a_queue_removes_its_settings(five: World) -> None:
    put(five, 1, paused=True)
    five.effects.clear()

    five.do(RemoveQueue("q"))

    assert five.effects == [RunsReady("q")]
    assert claim(five) == (5, ClaimShortfall.NOTHING)
    five.do(RemoveQueue("q"))  # it is there as long as a task names it


def test_a_queue_is_there_as_soon_as_a_task_names_it(world: World) -> None:
    world.register(queue="q")

    assert world.read(find_queue, "q") == Queue(
        name="q",
        concurrency=None,
        paused=False,
        queued=0,
        running=0,
        blocked=0,
        oldest_queued_at=None,
        updated_at=None,
        updated_by=None,
    )


def test_a_queue_that_no_task_names_does_not_exist(world: World) -> None:
    world.register(queue="q")
    world.delete()

    with pytest.raises(NotFound):
        world.read(find_queue, "q")
    with pytest.raises(NotFound):
        world.do(RemoveQueue("q"))


def test_a_queue_shows_how_many_runs_wait_and_run(five: World) -> None:
    five.claim(2, queue="q")
    five.run_now(scheduled_for=NOON + HOUR)
    five.register("b", queue="q", schedule={"type": "manual"})
    five.run_now("b")
    five.pause("b")

    found = put(five, 7)

    assert (found.concurrency, found.paused) == (7, False)
    assert (found.queued, found.running, found.blocked) == (4, 2, 1)
    assert (found.updated_at, found.updated_by) == (NOON, "me")


def test_setting_the_same_again_changes_nothing(five: World) -> None:
    first = put(five, 7)
    five.clock.advance(HOUR)

    again, created = five.do(PutQueue(name="q", concurrency=7, paused=False, by="you"))

    assert (again, created) == (first, False)


def test_queues_are_listed_by_name(five: World) -> None:
    for name in ("a", "b", "z", "B"):
        five.register(f"task-{name}", queue=name)
    five.delete("task-z")
    five.do(PutQueue(name="settings", concurrency=None, paused=True, by="me"))
    five.register(queue="moved", on_conflict="update")  # its runs stay where they are

    names = [found.name for found in five.read(list_queues, "", 10)]

    assert names == ["B", "a", "b", "moved", "q", "settings"]
    assert [found.name for found in five.read(list_queues, "a", 2)] == ["b", "moved"]
    assert {found.name: found.queued for found in five.read(list_queues, "", 10)}["q"] == 5
    assert five.read(find_queue, "settings").paused


@postgres_only
def test_two_replicas_hold_a_limit_together(five: World, migrated_database_url: str) -> None:
    for _ in range(35):
        five.run_now()
    put(five, 3)
    other = World(migrated_database_url)
    most: list[int] = []

    def work(world: World) -> list[ClaimShortfall]:
        left = []
        while five.count(run, run.c.status == RunStatus.QUEUED):
            claimed = world.do(Claim(holder=world.holder, queue="q", handlers=HANDLERS, limit=2))
            left.append(claimed.shortfall)
            most.append(five.count(run, run.c.status == RunStatus.RUNNING))
            for each in claimed.runs:
                world.succeed(each)
        return left

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(work, (five, other)))
    other.close()

    assert max(most) <= 3
    assert {each.attempt for each in five.runs()} == {1}


@postgres_only
def test_a_claim_from_a_queue_in_other_hands_does_not_wait(
    five: World, migrated_database_url: str
) -> None:
    put(five, 2)
    other = World(migrated_database_url)

    with five.transaction() as tx:
        first = Claim(holder=five.holder, queue="q", handlers=HANDLERS, limit=1).apply(tx)
        meanwhile = claim(other)
    after = claim(other)
    other.close()

    assert len(first.runs) == 1
    assert meanwhile == (0, ClaimShortfall.LOCKED)
    assert after == (1, ClaimShortfall.FULL)
