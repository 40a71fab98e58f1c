"""The run table is the queue, and the claim is the start."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from rota.domain.effects import RunsReady
from rota.domain.primitives.ids import Id, random_id
from rota.domain.runs.status import RunStatus
from rota.store.runs.claiming.claim import (
    Claim,
    ReleaseDelayed,
    earliest_delayed,
    held_runs,
    waiting_queues,
)
from tests.support.factories import BROKEN, HANDLERS, HOUR, MINUTE, NOON, World

postgres_only = pytest.mark.parametrize(
    "database_engine",
    [pytest.param("postgresql", marks=pytest.mark.postgres)],
    indirect=True,
)
MILLISECOND = timedelta(milliseconds=1)


@pytest.fixture
def allowing(world: World) -> World:
    """A world with a task `t` of which any number of runs may wait."""
    world.register(overlap_policy="allow", schedule={"type": "manual"}, input={"n": 5.0})
    return world


def test_higher_priority_comes_first_then_the_earlier_fire_time(world: World) -> None:
    for name, priority in (("low", -1), ("normal", 0), ("high", 32_767)):
        world.register(name, priority=priority, overlap_policy="allow")
    wanted = [
        world.run_now(name, scheduled_for=NOON - ago * MINUTE)
        for name, ago in (("high", 1), ("high", 0), ("normal", 9), ("normal", 2), ("low", 60))
    ]
    shuffled = [wanted[place] for place in (3, 0, 4, 2, 1)]
    assert shuffled != wanted

    claimed = [world.claim(limit=2), world.claim(limit=2), world.claim(limit=2)]

    assert [[run.id for run in runs] for runs in claimed] == [
        [wanted[0].id, wanted[1].id],
        [wanted[2].id, wanted[3].id],
        [wanted[4].id],
    ]


def test_runs_of_one_fire_time_come_in_the_order_in_which_they_were_made(allowing: World) -> None:
    made = [allowing.run_now().id for _ in range(5)]

    assert [run.id for run in allowing.claim()] == made


def test_a_claim_starts_an_attempt(allowing: World) -> None:
    made = allowing.run_now()
    allowing.set("cursor", 1, "t")
    allowing.clock.advance(MINUTE)

    (claimed,) = allowing.claim()

    running = allowing.run(made.id)
    assert (running.status, running.attempt) == (RunStatus.RUNNING, 1)
    assert running.started_at == running.first_started_at == NOON + MINUTE
    assert running.lateness == MINUTE
    assert (claimed.id, claimed.attempt) == (made.id, 1)
    assert (claimed.task, claimed.handler, claimed.queue) == ("t", "noop", "default")
    assert claimed.input == '{"n":5.0}'
    assert claimed.kv_revision == 1
    assert claimed.definition.overlap_policy == "allow"
    assert claimed.started_at == NOON + MINUTE


def test_every_start_is_a_higher_attempt_and_forgets_the_last_one_s_error(allowing: World) -> None:
    claimed = allowing.start()
    allowing.end(claimed, BROKEN)
    assert allowing.run(claimed.id).error == BROKEN.error
    allowing.clock.advance(HOUR)
    allowing.do(ReleaseDelayed(10))

    (again,) = allowing.claim()

    running = allowing.run(claimed.id)
    assert (again.attempt, again.failures) == (2, 1)
    assert (running.error, running.outcome) == (None, None)
    assert running.first_started_at == NOON
    assert running.started_at == NOON + HOUR


def test_each_queue_is_claimed_on_its_own(world: World) -> None:
    world.register("a")
    world.register("b", queue="slow")
    world.run_now("a")
    world.run_now("b")

    assert [run.task for run in world.claim(queue="slow")] == ["b"]
    assert world.claim(queue="slow") == []
    assert [run.task for run in world.claim()] == ["a"]


def test_only_handlers_that_the_holder_knows_are_claimed(world: World) -> None:
    world.register("a")
    world.register("b", handler="other")
    world.run_now("a")
    world.run_now("b")

    assert world.claim(handlers=("unknown",)) == []
    assert [run.task for run in world.claim(handlers=("other", "unknown"))] == ["b"]


def test_a_claim_is_for_a_holder_with_a_live_lease_only(allowing: World) -> None:
    made = allowing.run_now()

    assert allowing.claim(holder=random_id()) == []
    allowing.end_lease(allowing.holder)
    assert allowing.claim() == []
    assert allowing.run(made.id).attempt == 0
    assert len(allowing.claim(holder=allowing.enlist())) == 1


def test_nothing_is_claimed_before_its_time(allowing: World) -> None:
    due = NOON + MINUTE
    made = allowing.run_now(scheduled_for=due)
    assert made.not_before == due

    allowing.clock.set(due - MILLISECOND)
    assert allowing.do(ReleaseDelayed(10)) == 0
    assert allowing.claim() == []
    assert allowing.read(earliest_delayed) == due

    allowing.clock.set(due)
    allowing.effects.clear()
    assert allowing.do(ReleaseDelayed(10)) == 1
    assert allowing.effects == [RunsReady("default")]
    assert allowing.read(earliest_delayed) is None
    assert [run.id for run in allowing.claim()] == [made.id]


def test_delayed_runs_are_released_in_bounded_steps_the_earliest_first(allowing: World) -> None:
    times = [NOON + number * MINUTE for number in (3, 1, 2)]
    for at in times:
        allowing.run_now(scheduled_for=at)
    allowing.clock.advance(HOUR)

    assert allowing.do(ReleaseDelayed(2)) == 2
    assert allowing.read(earliest_delayed) == NOON + 3 * MINUTE
    assert allowing.do(ReleaseDelayed(2)) == 1
    assert allowing.do(ReleaseDelayed(2)) == 0


def test_queues_with_claimable_runs_are_found_at_any_length(world: World) -> None:
    for queue in ("a", "b", "c", "d"):
        world.register(queue, queue=queue, overlap_policy="allow")
    for queue in ("a", "a", "a", "b", "d", "d"):
        world.run_now(queue)
    world.run_now("c", scheduled_for=NOON + HOUR)
    world.pause("b")

    assert world.read(waiting_queues) == ["a", "d"]


def test_the_runs_that_a_process_holds_can_be_read(allowing: World) -> None:
    first = allowing.start()
    allowing.start(holder=allowing.enlist())
    allowing.succeed(allowing.start())
    allowing.run_now()

    assert [run.id for run in allowing.read(held_runs, allowing.holder)] == [first.id]


@postgres_only
def test_two_processes_never_claim_the_same_run(
    allowing: World, migrated_database_url: str
) -> None:
    made = {allowing.run_now().id for _ in range(60)}
    other = World(migrated_database_url)

    def claim_all(world: World) -> list[Id]:
        mine: list[Id] = []
        while runs := world.claim(limit=3):
            mine.extend(run.id for run in runs)
        return mine

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(claim_all, (allowing, other))
    left = [run.id for run in allowing.claim()]
    other.close()

    assert len(first) + len(second) + len(left) == len(made)
    assert {*first, *second, *left} == made
    assert {run.attempt for run in allowing.runs()} == {1}


@postgres_only
def test_a_claim_does_not_wait_for_another_that_is_under_way(
    allowing: World, migrated_database_url: str
) -> None:
    made = [allowing.run_now().id for _ in range(4)]
    other = World(migrated_database_url)

    with allowing.transaction() as tx:
        claim = Claim(holder=allowing.holder, queue="default", handlers=HANDLERS, limit=2)
        first = claim.apply(tx).runs
        second = other.claim(limit=10)
    other.close()

    assert [run.id for run in first] == made[:2]
    assert [run.id for run in second] == made[2:]
