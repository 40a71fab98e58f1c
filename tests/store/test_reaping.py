"""The reaper: whatever a dead process held is given back, and nothing of a living one."""

import pytest

from app.db import tables
from app.domain.effects import RunsReady
from app.domain.ids import random_id
from app.domain.runs import AttemptOutcome, CancelReason, ClaimedRun, FailReason, RunStatus
from app.domain.settling import MOST_LOST
from app.errors import LeaseLost
from app.store.finishing import Reap
from app.store.runs import CancelRun
from tests.factories import HOUR, MINUTE, NOON, World, success
from tests.factories import ended as _ended


@pytest.fixture
def running(world: World) -> ClaimedRun:
    world.register(overlap_policy="allow")
    return world.start()


def _die(world: World) -> None:
    """Let the world's replica die, and another one start in its place."""
    world.end_lease(world.holder)
    world.do(Reap())
    world.holder = world.enlist()


def test_the_runs_of_a_dead_process_are_given_back_at_once(
    world: World, running: ClaimedRun
) -> None:
    second = world.start()
    world.clock.advance(MINUTE)
    world.end_lease(world.holder)
    world.effects.clear()

    assert world.do(Reap()) == 2

    run = world.run(running.id)
    assert (run.status, run.attempt, run.failures) == (RunStatus.QUEUED, 1, 0)
    assert run.not_before is None
    assert run.error is not None
    (attempt,) = world.attempts(run.id)
    assert (attempt.outcome, attempt.counted) == (AttemptOutcome.LOST, False)
    assert (attempt.started_at, attempt.finished_at) == (NOON, NOON + MINUTE)
    assert world.effects == [RunsReady("default")] * 2
    assert {each.id for each in world.claim(holder=world.enlist())} == {running.id, second.id}


def test_a_live_lease_is_left_alone(world: World, running: ClaimedRun) -> None:
    dead = world.enlist()
    lost = world.start(holder=dead)
    world.end_lease(dead)

    assert world.do(Reap()) == 1
    assert world.do(Reap()) == 0

    assert world.run(running.id).status is RunStatus.RUNNING
    assert world.run(lost.id).status is RunStatus.QUEUED
    assert world.count(tables.replica) == 1


def test_nothing_is_given_back_twice(world: World, running: ClaimedRun) -> None:
    _die(world)
    (again,) = world.claim()

    assert world.do(Reap()) == 0
    assert world.run(again.id).attempt == 2


def test_a_process_that_comes_back_from_the_dead_writes_nothing(
    world: World, running: ClaimedRun
) -> None:
    old = world.holder
    _die(world)

    with pytest.raises(LeaseLost):
        world.end(running, success(running, cursor=1), holder=old)
    (again,) = world.claim()
    with pytest.raises(LeaseLost):
        world.end(running, success(running, cursor=1), holder=old)

    assert world.entries() == {}
    assert world.succeed(again).status is RunStatus.SUCCEEDED


def test_a_run_that_took_its_process_down_three_times_is_lost(
    world: World, running: ClaimedRun
) -> None:
    for _ in range(MOST_LOST - 1):
        _die(world)
        (running,) = world.claim()
    world.effects.clear()
    _die(world)

    run = world.run(running.id)
    assert (run.status, run.reason) == (RunStatus.FAILED, FailReason.LOST)
    assert (run.attempt, run.failures) == (3, 0)
    assert [each.outcome for each in world.attempts(run.id)] == ["lost"] * 3
    assert (run.id, run.task_id, "failed") in _ended(world.effects)
    assert world.task().consecutive_failures == 1
    assert world.claim() == []


def test_a_lost_run_that_was_to_be_cancelled_is_cancelled(
    world: World, running: ClaimedRun
) -> None:
    world.do(CancelRun(running.id))

    _die(world)

    run = world.run(running.id)
    assert (run.status, run.reason) == (RunStatus.CANCELLED, CancelReason.REQUESTED)


def test_a_lost_run_of_a_paused_task_waits(world: World, running: ClaimedRun) -> None:
    world.pause()

    _die(world)

    assert world.run(running.id).waiting_on == ("paused",)
    assert world.claim() == []


def test_runs_of_a_holder_that_is_not_known_at_all_are_given_back(
    world: World, running: ClaimedRun
) -> None:
    with world.transaction() as tx:
        tx.connection.execute(tables.run.update().values(holder=random_id()))

    assert world.do(Reap()) == 1
    assert world.run(running.id).status is RunStatus.QUEUED


def test_a_retry_that_waits_is_nobody_s_and_stays(world: World, running: ClaimedRun) -> None:
    world.run_now(scheduled_for=NOON + HOUR)
    before = world.runs()
    world.end_lease(world.enlist())

    assert world.do(Reap()) == 0
    assert world.runs() == before
