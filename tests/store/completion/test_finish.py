"""The end of an attempt: one commit with all that follows from it, and nothing from an attempt that lost its run."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text, update

from rota.db import tables
from rota.domain.effects import DueSooner, RunsReady
from rota.domain.kv.entries import KvChange
from rota.domain.kv.run_writes import KvWrites
from rota.domain.policies import RetryPolicy, retry_interval
from rota.domain.primitives.ids import random_id
from rota.domain.primitives.json import json_text
from rota.domain.reasons import CancelReason, FailReason
from rota.domain.runs.errors import RunError
from rota.domain.runs.model import ClaimedRun, LogLine, Progress
from rota.domain.runs.outcomes import (
    AttemptOutcome,
    Cancelled,
    Fatal,
    Lost,
    Outcome,
    Released,
    RetryRequested,
    TimedOut,
)
from rota.domain.runs.status import RunStatus
from rota.domain.tasks.definition import TaskStatus
from rota.errors import LeaseLost
from rota.store.completion import finish as finishing
from rota.store.completion.checkpoint import Checkpoint
from rota.store.completion.finish import Reap
from rota.store.kv.entries import find_entry, snapshot
from rota.store.runs.claiming.claim import ReleaseDelayed
from rota.store.runs.logs import SaveOutput, list_lines
from rota.store.tasks.lifecycle import Purge
from rota.store.tasks.run_commands import CancelRun
from tests.support.factories import BROKEN, HOUR, MINUTE, NOON, World, finish, success, together
from tests.support.factories import ended as _ended

GONE = Fatal(RunError("http.status", "410"), FailReason.TARGET_GONE)


@pytest.fixture
def running(world: World) -> ClaimedRun:
    """The run of a task `t` that is tried twice."""
    world.register(overlap_policy="allow", retry={"max_attempts": 2, "initial_interval": 10})
    return world.start()


# --- success
def test_a_success_commits_its_result_with_its_kv_and_the_task_s_counters(
    world: World, running: ClaimedRun
) -> None:
    world.clock.advance(MINUTE)
    world.effects.clear()

    settled = world.succeed(running, '{"new":5.0}', cursor=8812, seen=["a"])

    run, task = world.run(running.id), world.task()
    assert settled.status is run.status is RunStatus.SUCCEEDED
    assert (run.result, run.reason, run.error) == ('{"new":5.0}', None, None)
    assert (run.finished_at, run.duration) == (NOON + MINUTE, MINUTE)
    assert world.entries() == {"cursor": 8812, "seen": ["a"]}
    assert task.last_run is not None
    assert (task.last_run.id, task.last_run.status) == (run.id, "succeeded")
    assert task.last_success_at == NOON + MINUTE
    assert (task.consecutive_failures, task.kv_revision) == (0, 1)
    assert _ended(world.effects) == [(run.id, task.id, "succeeded")]


def test_all_entries_of_a_run_have_one_version_and_name_their_writer(
    world: World, running: ClaimedRun
) -> None:
    world.set("other", 1)

    world.succeed(running, '"fine"', cursor=1)

    _, cursor = world.read(find_entry, "t", "cursor", world.now)
    _, result = world.read(find_entry, "t", "_result", world.now)
    assert cursor.version == result.version == 2
    assert cursor.updated_by == f"run:{running.id}"
    assert json_text.loads(result.value) == "fine"


def test_a_run_can_delete_entries(world: World, running: ClaimedRun) -> None:
    world.succeed(running, cursor=1, other=2)

    world.succeed(world.start(), cursor=None)

    assert world.entries() == {"other": 2}


# --- failure
def test_a_failure_waits_for_its_retry(world: World, running: ClaimedRun) -> None:
    world.clock.advance(MINUTE)
    world.effects.clear()

    world.end(running, BROKEN)

    run = world.run(running.id)
    wait = retry_interval(running.definition.retry, 1, running.id)
    assert (run.status, run.failures, run.attempt) == (RunStatus.QUEUED, 1, 1)
    assert run.not_before == NOON + MINUTE + wait
    assert (run.error, run.outcome) == (BROKEN.error, AttemptOutcome.FAILED)
    assert run.finished_at is None
    assert world.claim() == []
    assert world.effects == [DueSooner(run.not_before)]
    assert world.task().consecutive_failures == 0


def test_attempts_are_listed_in_order(world: World, running: ClaimedRun) -> None:
    world.clock.advance(MINUTE)
    world.end(running, BROKEN)
    between = world.attempts(running.id)
    world.clock.advance(HOUR)
    world.do(ReleaseDelayed(1))
    (again,) = world.claim()
    during = world.attempts(running.id)
    world.succeed(again)

    after = world.attempts(running.id)

    first = between[0]
    assert between == [first]
    assert (first.attempt, first.outcome, first.counted) == (1, AttemptOutcome.FAILED, True)
    assert (first.started_at, first.finished_at) == (NOON, NOON + MINUTE)
    assert first.error == BROKEN.error
    assert [(each.attempt, each.outcome) for each in during] == [(1, "failed"), (2, None)]
    assert after[0] == first
    assert (after[1].attempt, after[1].outcome, after[1].error) == (2, "succeeded", None)


def test_a_failure_without_attempts_left_is_final(world: World, running: ClaimedRun) -> None:
    world.end(running, BROKEN)
    world.clock.advance(HOUR)
    world.do(ReleaseDelayed(1))
    world.end(world.claim()[0], TimedOut(RunError("timeout", "slow")))

    run, task = world.run(running.id), world.task()

    assert (run.status, run.reason) == (RunStatus.FAILED, FailReason.ATTEMPTS_EXHAUSTED)
    assert (run.failures, run.attempt, run.result) == (2, 2, None)
    assert run.error == RunError("timeout", "slow")
    assert [each.outcome for each in world.attempts(run.id)] == ["failed", "timed_out"]
    assert task.consecutive_failures == 1
    assert task.last_success_at is None
    assert task.last_run is not None
    assert task.last_run.status == "failed"
    assert world.entries() == {}


def test_failures_in_a_row_are_counted_until_a_success(world: World) -> None:
    world.register(overlap_policy="allow", retry={"max_attempts": 1})
    counts = []
    for outcome in (BROKEN, BROKEN, None, BROKEN):
        claimed = world.start()
        world.end(claimed, outcome or success(claimed))
        counts.append(world.task().consecutive_failures)

    assert counts == [1, 2, 0, 1]


def test_a_requested_retry_starts_at_the_requested_time(world: World, running: ClaimedRun) -> None:
    world.end(running, RetryRequested(timedelta(seconds=3), RunError("retry", "busy")))

    run = world.run(running.id)
    assert (run.status, run.not_before) == (RunStatus.QUEUED, NOON + timedelta(seconds=3))
    assert run.outcome is AttemptOutcome.RETRY


def test_a_retry_at_once_can_be_claimed_at_once(world: World, running: ClaimedRun) -> None:
    world.effects.clear()

    at_once = RetryPolicy(initial_interval=timedelta(0))
    world.end(running, RetryRequested(timedelta(0), RunError("retry", "busy")), retry=at_once)

    assert world.effects == [RunsReady("default")]
    assert [run.id for run in world.claim()] == [running.id]


def test_a_clock_that_was_set_back_makes_no_negative_durations(
    world: World, running: ClaimedRun
) -> None:
    world.clock.set(NOON - HOUR)

    world.succeed(running)

    run = world.run(running.id)
    assert (run.duration, run.lateness) == (timedelta(0), timedelta(0))


def test_a_run_that_starts_before_its_fire_time_by_a_clock_set_back_is_not_late(
    world: World,
) -> None:
    world.register(schedule={"type": "interval", "every": 60})
    world.clock.advance(MINUTE)
    world.fire()
    world.clock.set(NOON - HOUR)

    (claimed,) = world.claim()

    assert world.run(claimed.id).lateness == timedelta(0)


def test_a_released_attempt_is_not_counted(world: World, running: ClaimedRun) -> None:
    for _ in range(5):
        world.end(running, Released())
        (running,) = world.claim()

    run = world.run(running.id)
    assert (run.attempt, run.failures) == (6, 0)
    assert {each.counted for each in world.attempts(run.id)} == {False}


def test_a_target_that_is_gone_pauses_the_task(world: World, running: ClaimedRun) -> None:
    waiting = world.run_now()

    world.end(running, GONE)

    task = world.task()
    assert world.run(running.id).reason == FailReason.TARGET_GONE
    assert (task.status, task.status_reason) == (TaskStatus.PAUSED, "target_gone")
    assert (task.status_changed_by, task.status_changed_at) == ("rota", NOON)
    assert world.run(waiting.id).waiting_on == ("paused",)


def test_a_target_that_is_gone_leaves_a_cancelled_task_cancelled(
    world: World, running: ClaimedRun
) -> None:
    world.cancel()

    world.end(running, GONE)

    assert world.task().status is TaskStatus.CANCELLED


# --- cancel
@pytest.mark.parametrize(
    "outcome", [BROKEN, Cancelled(), Released(), RetryRequested(None, RunError("retry", "busy"))]
)
def test_a_run_that_is_to_be_cancelled_is_not_tried_again(
    world: World, running: ClaimedRun, outcome: Outcome
) -> None:
    world.do(CancelRun(running.id))

    world.end(running, outcome)

    run = world.run(running.id)
    assert (run.status, run.reason) == (RunStatus.CANCELLED, CancelReason.REQUESTED)
    assert run.finished_at == NOON
    assert world.task().consecutive_failures == 0


def test_a_cancel_between_look_and_write_is_not_overlooked(
    world: World, running: ClaimedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[dict[Any, str]] = [{}]  # what the first look finds; the others see what is there
    look = finishing._cancel_reasons
    monkeypatch.setattr(
        finishing, "_cancel_reasons", lambda *given: looks.pop() if looks else look(*given)
    )
    world.do(CancelRun(running.id))

    world.end(running, BROKEN)

    assert world.run(running.id).status is RunStatus.CANCELLED


def test_a_handler_that_finishes_before_the_cancel_wins(world: World, running: ClaimedRun) -> None:
    world.do(CancelRun(running.id))

    world.succeed(running, cursor=1)

    assert world.run(running.id).status is RunStatus.SUCCEEDED
    assert world.entries() == {"cursor": 1}


def test_of_ends_that_share_a_commit_one_may_have_been_cancelled(world: World) -> None:
    world.register(overlap_policy="allow", schedule={"type": "manual"})
    runs = [world.start() for _ in range(3)]
    world.do(CancelRun(runs[1].id))
    ends = [finish(run, success(run), holder=world.holder) for run in runs]

    answers = together(world.writer, ends)

    assert [answer.result().status for answer in answers] == 3 * [RunStatus.SUCCEEDED]
    assert [world.run(run.id).status for run in runs] == 3 * [RunStatus.SUCCEEDED]


# --- output
def test_lines_and_progress_come_with_the_end(world: World, running: ClaimedRun) -> None:
    lines = (LogLine(1, NOON, "info", "hello"), LogLine(2, NOON, "error", "wörld"))

    world.end(running, BROKEN, lines=lines, progress=Progress(0.5, "half"))
    world.clock.advance(HOUR)
    world.do(ReleaseDelayed(1))
    world.end(world.claim()[0], BROKEN, lines=lines[:1])

    assert world.read(list_lines, running.id, (0, 0), 9) == [
        (1, lines[0]),
        (1, lines[1]),
        (2, lines[0]),
    ]


def test_progress_stays_when_the_end_has_none(world: World, running: ClaimedRun) -> None:
    world.end(running, Released(), progress=Progress(0.5, "half"))
    kept = world.run(running.id).progress

    (again,) = world.claim()

    assert kept == Progress(0.5, "half")
    assert world.run(again.id).progress is None


# --- the guards
def _assert_nothing_was_written(world: World, running: ClaimedRun) -> None:
    assert world.entries() == {}
    assert world.count(tables.run_log) == 0
    assert world.task().last_run is None
    assert world.run(running.id).result is None


def test_a_process_that_does_not_hold_the_run_writes_nothing(
    world: World, running: ClaimedRun
) -> None:
    lines = (LogLine(1, NOON, "info", "hello"),)

    with pytest.raises(LeaseLost):
        world.do(finish(running, success(running, cursor=1), holder=random_id(), lines=lines))

    assert world.run(running.id).status is RunStatus.RUNNING
    _assert_nothing_was_written(world, running)


def test_an_attempt_that_was_started_again_writes_nothing(
    world: World, running: ClaimedRun
) -> None:
    world.end(running, Released())
    (again,) = world.claim()

    with pytest.raises(LeaseLost):
        world.end(running, success(running, cursor=1), lines=(LogLine(1, NOON, "info", "x"),))

    _assert_nothing_was_written(world, running)
    assert world.succeed(again).status is RunStatus.SUCCEEDED


def test_an_attempt_of_a_run_that_is_final_writes_nothing(
    world: World, running: ClaimedRun
) -> None:
    """A final row names no holder; here it does, so that the status alone must hold the attempt off."""
    _end_behind_our_back(world, running)

    with pytest.raises(LeaseLost):
        world.end(running, success(running, cursor=1), lines=(LogLine(1, NOON, "info", "x"),))

    assert world.run(running.id).status is RunStatus.CANCELLED
    _assert_nothing_was_written(world, running)


def _end_behind_our_back(world: World, running: ClaimedRun) -> None:
    ended = (
        update(tables.run)
        .where(tables.run.c.id == running.id)
        .values(status=RunStatus.CANCELLED, reason="requested", finished_at=NOON)
    )
    with world.transaction() as tx:
        if tx.is_sqlite:
            tx.connection.execute(text("PRAGMA ignore_check_constraints=ON"))
        else:
            tx.connection.execute(text("ALTER TABLE run DROP CONSTRAINT ck_run_held_is_running"))
        tx.connection.execute(ended)


def test_an_attempt_ends_once(world: World, running: ClaimedRun) -> None:
    ending = finish(running, success(running, "1", cursor=1), holder=world.holder)

    first, second = together(world.writer, [ending, ending])

    assert first.result().status is RunStatus.SUCCEEDED
    assert isinstance(second.exception(), LeaseLost)
    assert world.task().kv_revision == 1


def test_a_lost_attempt_does_not_fail_its_neighbours(world: World, running: ClaimedRun) -> None:
    others = [world.start(), world.start()]
    ends = [finish(run, success(run), holder=world.holder) for run in others]
    lost = finish(running, success(running), holder=random_id())

    first, refused, last = together(world.writer, [ends[0], lost, ends[1]])

    assert isinstance(refused.exception(), LeaseLost)
    assert first.result().status is last.result().status is RunStatus.SUCCEEDED
    assert world.run(running.id).status is RunStatus.RUNNING
    assert world.task().kv_revision == 2


def test_an_attempt_of_a_task_that_is_gone_is_fenced_and_its_neighbours_are_not(
    world: World, running: ClaimedRun
) -> None:
    world.register("gone")
    gone = world.start("gone")
    world.delete("gone")
    while world.do(Purge(100)):
        pass
    assert world.count(tables.task) == 1

    ends = [
        finish(run, outcome, holder=world.holder)
        for run, outcome in ((gone, success(gone, "1", a=1)), (running, success(running, "1")))
    ]
    fenced, kept = together(world.writer, ends)

    with pytest.raises(LeaseLost):
        fenced.result()
    assert kept.result().status is RunStatus.SUCCEEDED
    for outcome in (BROKEN, Released(), Lost(), Cancelled()):
        with pytest.raises(LeaseLost):
            world.end(gone, outcome)


def test_an_attempt_of_a_removed_task_fails_to_read_and_to_make_a_checkpoint(
    world: World, running: ClaimedRun
) -> None:
    world.delete()
    while world.do(Purge(100)):
        pass

    with pytest.raises(LeaseLost):
        world.read(snapshot, running.task_id, world.now)
    point = Checkpoint(run=running, holder=world.holder, work=KvWrites((KvChange("a", b"1"),), 0))
    with pytest.raises(LeaseLost):
        world.do(point)
    note = SaveOutput(run_id=running.id, attempt=1, holder=world.holder, lines=(), progress=None)
    assert world.do(note) is False
    assert world.do(Reap()) == 0
    assert world.claim() == []


def test_many_ends_of_one_task_share_a_commit(world: World) -> None:
    world.register(overlap_policy="allow", retry={"max_attempts": 1})
    runs = [world.start() for _ in range(4)]
    outcomes: list[Outcome] = [success(runs[0], "1"), BROKEN, success(runs[2], "3", k=3), BROKEN]

    answers = together(
        world.writer,
        [
            finish(run, outcome, holder=world.holder)
            for run, outcome in zip(runs, outcomes, strict=True)
        ],
    )

    task = world.task()
    statuses = [answer.result().status.value for answer in answers]
    assert statuses == ["succeeded", "failed", "succeeded", "failed"]
    assert (task.consecutive_failures, task.kv_revision) == (1, 2)
    assert task.last_run is not None
    assert task.last_run.id == runs[3].id
    _, result = world.read(find_entry, "t", "_result", world.now)
    assert (result.value, result.version) == (b"3", 2)


def test_a_run_that_is_gone_cannot_end(world: World, running: ClaimedRun) -> None:
    with pytest.raises(LeaseLost):
        world.end(running, BROKEN, id=random_id())
