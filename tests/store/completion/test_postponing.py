"""A postponed attempt: its run waits for its host as if it had not begun, and nothing piles up."""

from datetime import timedelta

import pytest

from rota.db import tables
from rota.domain.effects import DueSooner
from rota.domain.reasons import CancelReason, FailReason
from rota.domain.runs.errors import RunError
from rota.domain.runs.model import ClaimedRun
from rota.domain.runs.outcomes import AttemptOutcome, Postponed
from rota.domain.runs.status import RunStatus
from rota.errors import LeaseLost
from rota.store.runs.cancellation import end_runs
from rota.store.runs.claiming.claim import ReleaseDelayed
from rota.store.runs.claiming.tokens import find_grant
from rota.store.tasks.run_commands import CancelRun
from tests.store.completion.test_outside import Outside
from tests.support.factories import BROKEN, HOUR, MINUTE, NOON, World

DOWN = RunError("http.connect", "a.example: connection refused")
WAITS_FOR = ("circuit:a.example",)


def postponed(world: World, by: timedelta = MINUTE) -> Postponed:
    return Postponed(world.now + by, WAITS_FOR[0], DOWN)


def again(world: World, by: timedelta = MINUTE, handlers: tuple[str, ...] = ()) -> ClaimedRun:
    """Claim the run again when its time has come."""
    world.clock.advance(by)
    world.do(ReleaseDelayed(10))
    (claimed,) = world.claim(handlers=handlers) if handlers else world.claim()
    return claimed


def test_a_postponed_run_waits_for_its_host_uncounted_and_visibly(world: World) -> None:
    world.register(retry={"max_attempts": 1})
    running = world.start()
    world.effects.clear()

    settled = world.end(running, postponed(world))

    run = world.run(running.id)
    assert settled.counted is False
    assert (run.status, run.waiting_on) == (RunStatus.QUEUED, WAITS_FOR)
    assert run.not_before == NOON + MINUTE
    assert (run.failures, run.error, run.reason, run.finished_at) == (0, None, None, None)
    assert world.claim() == []
    assert world.effects == [DueSooner(NOON + MINUTE)]
    assert world.task().consecutive_failures == 0


def test_nothing_of_the_wait_is_left_when_it_starts(world: World) -> None:
    world.register()
    running = world.start()
    world.end(running, postponed(world))

    claimed = again(world)

    run = world.run(running.id)
    assert claimed.id == run.id
    assert (run.status, run.waiting_on, run.not_before) == (RunStatus.RUNNING, (), None)
    world.succeed(claimed)
    assert world.run(running.id).status is RunStatus.SUCCEEDED


def test_however_often_it_is_postponed_it_uses_no_attempt_and_leaves_no_row(world: World) -> None:
    world.register(retry={"max_attempts": 2, "initial_interval": 10, "jitter": False})
    running = world.start()
    world.end(running, BROKEN)
    for _ in range(5):
        world.end(again(world), postponed(world))

    waits = world.run(running.id)
    assert (waits.failures, waits.waiting_on) == (1, WAITS_FOR)
    assert world.count(tables.attempt) == 1
    assert [each.outcome for each in world.attempts(running.id)] == ["failed"]
    world.end(again(world), BROKEN)
    run = world.run(running.id)
    assert (run.status, run.reason) == (RunStatus.FAILED, FailReason.ATTEMPTS_EXHAUSTED)
    assert run.failures == 2
    assert [each.outcome for each in world.attempts(running.id)] == ["failed", "failed"]


def test_a_postponed_attempt_leaves_no_token_and_keeps_those_of_others(world: World) -> None:
    outside = Outside(world)
    other = outside.begun(name="other")
    running = outside.start(retry={"max_attempts": 2, "initial_interval": 10, "jitter": False})
    world.end(running, BROKEN)
    for _ in range(5):
        running = again(world, handlers=("http",))
        world.end(running, postponed(world))

    assert world.count(tables.attempt_token, tables.attempt_token.c.run_id == running.id) == 1
    assert world.read(find_grant, running.id, running.token) is None
    assert outside.complete(other).status is RunStatus.SUCCEEDED
    last = again(world, handlers=("http",))
    assert outside.complete(last).status is RunStatus.SUCCEEDED


def test_a_postponed_attempt_that_ends_its_run_keeps_its_token(world: World) -> None:
    outside = Outside(world)
    running = outside.start(retry={"max_elapsed": 0.001})
    world.clock.advance(MINUTE)

    assert world.end(running, postponed(world)).status is RunStatus.FAILED

    assert outside.grant(running).attempt == 1


def test_a_run_that_was_started_again_is_not_postponed_by_the_attempt_before(world: World) -> None:
    world.register()
    running = world.start()
    world.end(running, postponed(world))
    again(world)

    with pytest.raises(LeaseLost):
        world.end(running, postponed(world))

    assert world.run(running.id).status is RunStatus.RUNNING


def test_a_run_that_waited_for_too_long_fails_with_what_is_known_of_its_host(world: World) -> None:
    world.register(retry={"max_elapsed": 90})
    running = world.start()
    world.end(running, postponed(world))

    world.end(again(world), postponed(world))
    assert world.run(running.id).not_before == NOON + timedelta(seconds=90)
    world.end(again(world, timedelta(seconds=30)), postponed(world))

    run = world.run(running.id)
    assert (run.status, run.reason) == (RunStatus.FAILED, FailReason.DEADLINE)
    assert (run.error, run.failures, run.waiting_on) == (DOWN, 0, ())
    (last,) = world.attempts(running.id)
    assert (last.outcome, last.counted) == (AttemptOutcome.POSTPONED, False)
    assert world.task().consecutive_failures == 1


def test_a_run_that_waits_for_its_host_is_unfinished_for_the_next_fire_time(world: World) -> None:
    world.register(overlap_policy="skip")
    world.clock.advance(MINUTE)
    world.fire()
    (running,) = world.claim()
    world.end(running, postponed(world, HOUR))

    world.clock.advance(MINUTE)
    world.fire()

    assert [(run.status, run.reason) for run in world.runs()] == [
        (RunStatus.QUEUED, None),
        (RunStatus.SKIPPED, "overlap"),
    ]


def test_a_run_that_waits_for_its_host_can_be_cancelled(world: World) -> None:
    world.register()
    running = world.start()
    world.end(running, postponed(world))

    world.do(CancelRun(running.id))

    run = world.run(running.id)
    assert (run.status, run.waiting_on) == (RunStatus.CANCELLED, ())
    assert world.attempts(running.id) == [], "it shows a call that was not made"


def test_of_a_run_that_is_cancelled_while_it_waits_its_earlier_attempts_are_shown(
    world: World,
) -> None:
    world.register(retry={"max_attempts": 2, "initial_interval": 10, "jitter": False})
    running = world.start()
    world.end(running, BROKEN)
    world.end(again(world), postponed(world))

    world.do(CancelRun(running.id))

    assert [each.outcome for each in world.attempts(running.id)] == ["failed"]


def test_a_run_whose_constraints_are_not_met_in_time_did_not_end_with_its_postponed_attempt(
    world: World,
) -> None:
    world.register()
    running = world.start()
    world.end(running, postponed(world))

    with world.transaction() as tx:
        end_runs(tx, RunStatus.FAILED, FailReason.DEADLINE, tables.run.c.id == running.id)

    assert world.attempts(running.id) == []


def test_a_cancel_that_was_requested_meanwhile_ends_a_run_that_would_wait(world: World) -> None:
    world.register()
    running = world.start()
    world.do(CancelRun(running.id))

    world.end(running, postponed(world))

    run = world.run(running.id)
    assert (run.status, run.reason) == (RunStatus.CANCELLED, CancelReason.REQUESTED)
    assert (run.waiting_on, run.not_before) == ((), None)
    assert world.attempts(running.id) == []


def test_a_run_of_a_task_that_is_paused_waits_for_the_resumption_first(world: World) -> None:
    world.register(overlap_policy="allow")
    before, after = world.start(), world.start()
    world.end(before, postponed(world))
    world.pause()
    world.end(after, postponed(world))

    assert {world.run(run.id).waiting_on for run in (before, after)} == {("paused",)}
    world.resume()
    world.clock.advance(MINUTE)
    world.do(ReleaseDelayed(10))
    assert {run.id for run in world.claim()} == {before.id, after.id}


def test_a_run_that_waits_for_its_host_leaves_its_concurrency_key_to_another(world: World) -> None:
    world.register(overlap_policy="allow", concurrency={"key": "api", "limit": 1})
    running = world.start()
    other = world.run_now()
    assert world.claim() == []
    assert world.run(other.id).waiting_on == ("concurrency",)

    world.end(running, postponed(world))

    assert [run.id for run in world.claim()] == [other.id]


def test_the_constraints_of_a_run_are_checked_again_after_it_has_waited_for_its_host(
    world: World,
) -> None:
    world.register(constraints=[{"type": "window", "from": "00:00", "to": "23:59"}])
    made = world.run_now()
    with world.transaction() as tx:
        tx.connection.execute(
            tables.run.update().values(status="queued", waiting_on=None, constrained=True)
        )
    (running,) = world.claim()
    world.end(running, postponed(world))
    assert world.run(made.id).waiting_on == WAITS_FOR

    world.clock.advance(MINUTE)
    world.do(ReleaseDelayed(10))

    run = world.run(made.id)
    assert (run.status, run.waiting_on) == (RunStatus.BLOCKED, ("constraint:pending",))
