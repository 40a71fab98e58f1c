"""The reaper: the runs of a dead process are released, and none of a live one."""

from typing import Any

import pytest

from rota.db import tables
from rota.domain.effects import RunsReady
from rota.domain.primitives.ids import random_id
from rota.domain.reasons import CancelReason, FailReason
from rota.domain.runs.model import ClaimedRun
from rota.domain.runs.outcomes import AttemptOutcome, Blame, Lost
from rota.domain.runs.settlement import MOST_LOST
from rota.domain.runs.status import RunStatus
from rota.errors import LeaseLost
from rota.store.completion.finish import Reap
from rota.store.handlers import Announce, HandlerInfo
from rota.store.runs.claiming.claim import Claim, suspected_queues
from rota.store.runs.claiming.claim_statements import Suspects
from rota.store.runs.queues import PutQueue
from rota.store.tasks.run_commands import CancelRun
from tests.support.factories import HANDLERS, HOUR, MINUTE, NOON, World, success
from tests.support.factories import ended as _ended

#: The end of a process that was the attempt's own.
ALONE = Lost(Blame.ALONE, "killed by SIGSEGV")


@pytest.fixture
def running(world: World) -> ClaimedRun:
    world.register(overlap_policy="allow")
    return world.start()


def _die(world: World) -> None:
    """Let the world's replica die, and another one start in its place."""
    world.end_lease(world.holder)
    world.do(Reap())
    world.holder = world.enlist()


def test_the_runs_of_a_dead_process_are_released_at_once(world: World, running: ClaimedRun) -> None:
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


def test_no_run_is_released_twice(world: World, running: ClaimedRun) -> None:
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
    _die(world)
    for _ in range(MOST_LOST - 2):
        (running,) = world.claim()
        world.end(running, ALONE)
    (running,) = world.claim()
    world.effects.clear()
    world.end(running, ALONE)

    run = world.run(running.id)
    assert (run.status, run.reason) == (RunStatus.FAILED, FailReason.LOST)
    assert (run.attempt, run.failures) == (3, 0)
    assert [each.outcome for each in world.attempts(run.id)] == ["lost"] * 3
    assert (run.id, run.task_id, "failed") in _ended(world.effects)
    assert world.task().consecutive_failures == 1
    assert world.claim() == []


def test_runs_do_not_fail_because_their_process_dies_however_often(
    world: World, running: ClaimedRun
) -> None:
    for _ in range(50):
        _die(world)
        (running,) = world.claim()

    assert (running.attempt, running.failures, running.lost_count) == (51, 0, 1)
    earlier = [(each.outcome, each.counted) for each in world.attempts(running.id)[:50]]
    assert earlier == [(AttemptOutcome.LOST, False)] * 50
    assert world.succeed(running).status is RunStatus.SUCCEEDED


def test_a_run_that_was_lost_before_is_claimed_by_itself(world: World, running: ClaimedRun) -> None:
    _die(world)
    innocent = world.run_now()

    assert world.read(suspected_queues) == ["default"]
    assert [run.id for run in _claim(world, Suspects.WITHOUT)] == [innocent.id]
    assert [run.id for run in _claim(world, Suspects.ONLY)] == [running.id]
    assert world.read(suspected_queues) == []


@pytest.mark.parametrize("held", [{"key": "k", "limit": 9}, None])
def test_limits_and_keys_hold_for_suspects_too(world: World, held: dict[str, object]) -> None:
    world.register("u", overlap_policy="allow", concurrency=held, queue="q")
    world.do(PutQueue(name="q", concurrency=2, paused=False, by="me"))
    for _ in range(4):
        world.run_now("u")
    lost = [run.id for run in world.claim(queue="q")]
    _die(world)
    assert world.read(suspected_queues) == ["q"]

    assert len(_claim(world, Suspects.WITHOUT, queue="q", limit=1)) == 1
    (again,) = _claim(world, Suspects.ONLY, queue="q")

    assert again.id in lost
    assert _claim(world, Suspects.ONLY, queue="q") == []


def test_a_request_is_no_suspect_when_the_process_that_makes_it_dies(world: World) -> None:
    known = HandlerInfo(
        name="http", description="", input_schema=None, timeout=None, isolation="none"
    )
    world.do(Announce((known,)))
    world.holder = world.enlist("http")
    world.register("call", handler="http", target={"url": "http://127.0.0.1:9/"})
    made = world.run_now("call")
    for _ in range(5):
        (claimed,) = world.claim(handlers=("http",))
        world.end_lease(world.holder)
        world.do(Reap())
        world.holder = world.enlist("http")

    assert world.read(suspected_queues) == []
    (claimed,) = _claim(world, Suspects.WITHOUT, handlers=("http",))
    assert (claimed.id, claimed.attempt, claimed.lost_count) == (made.id, 6, 0)


def _claim(world: World, suspects: Suspects, **fields: Any) -> list[ClaimedRun]:
    given: dict[str, Any] = {"queue": "default", "handlers": HANDLERS, "limit": 9} | fields
    return world.do(Claim(holder=world.holder, suspects=suspects, **given)).runs


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


def test_runs_of_an_unknown_holder_are_released(world: World, running: ClaimedRun) -> None:
    with world.transaction() as tx:
        tx.connection.execute(tables.run.update().values(holder=random_id()))

    assert world.do(Reap()) == 1
    assert world.run(running.id).status is RunStatus.QUEUED


def test_a_waiting_retry_has_no_holder_and_is_not_reaped(world: World, running: ClaimedRun) -> None:
    world.run_now(scheduled_for=NOON + HOUR)
    before = world.runs()
    world.end_lease(world.enlist())

    assert world.do(Reap()) == 0
    assert world.runs() == before
