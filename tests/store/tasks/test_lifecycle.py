"""Pause, resume, cancel, delete."""

from typing import Any

import pytest
from sqlalchemy import func, select

from rota.db import tables
from rota.domain.effects import (
    CancelRequested,
    DueSooner,
    RunsReady,
    TaskChanged,
    TaskDeleted,
    TaskEvent,
)
from rota.domain.primitives.preconditions import Precondition
from rota.domain.reasons import CancelReason, SkipReason
from rota.domain.runs.status import RunStatus
from rota.domain.tasks.definition import OnConflict, TaskStatus
from rota.errors import Conflict, LeaseLost, NotFound, PreconditionFailed
from rota.store.handlers import ReconcileHandlers
from rota.store.tasks.lifecycle import Cancel, Delete, Pause, Purge, Resume
from tests.support.factories import BROKEN, HOUR, MINUTE, NOON, World, change, once
from tests.support.factories import ended as _ended

COMMANDS = [Pause, Resume, Cancel, Delete]


def _complete(world: World) -> None:
    world.register(schedule=once(NOON))
    world.fire()
    assert world.task().status is TaskStatus.COMPLETED


# --- pause
def test_a_paused_task_does_not_fire(world: World) -> None:
    world.register()

    paused = world.pause(reason="holiday")
    world.clock.advance(HOUR)
    world.fire()

    assert paused == world.task()
    assert (paused.status, paused.status_reason) == (TaskStatus.PAUSED, "holiday")
    assert (paused.status_changed_at, paused.status_changed_by) == (NOON, "me")
    assert paused.next_fire_at == NOON + MINUTE
    assert world.runs() == []


def test_queued_runs_and_retries_of_a_paused_task_wait(world: World) -> None:
    world.register(overlap_policy="allow")
    world.end(world.start(), BROKEN)
    retry_at = world.runs()[0].not_before
    world.run_now()

    world.pause()

    retry, queued = world.runs()
    assert retry.status is queued.status is RunStatus.BLOCKED
    assert retry.waiting_on == queued.waiting_on == ("paused",)
    assert retry.not_before == retry_at
    assert world.claim() == []


@pytest.mark.parametrize("handler_is_known", [True, False])
def test_runs_that_wait_for_a_handler_wait_for_the_resumption_too(
    world: World, handler_is_known: bool
) -> None:
    world.end_lease(world.holder)
    world.enlist("other")
    world.register()
    waiting = world.run_now()
    _forget_ended(world)
    world.do(ReconcileHandlers())
    assert world.run(waiting.id).waiting_on == ("handler",)

    world.pause()
    if handler_is_known:
        world.enlist("noop")
    world.do(ReconcileHandlers())
    while_paused = world.run(waiting.id)
    world.resume()
    world.do(ReconcileHandlers())

    assert while_paused.waiting_on == ("paused",)
    resumed = world.run(waiting.id)
    assert resumed.waiting_on == (() if handler_is_known else ("handler",))


def _forget_ended(world: World) -> None:
    with world.transaction() as tx:
        tx.connection.execute(tables.replica.delete().where(tables.replica.c.id == world.holder))


def test_a_running_run_of_a_paused_task_ends_and_its_retry_waits(world: World) -> None:
    world.register(overlap_policy="allow")
    succeeding, failing = world.start(), world.start()
    world.pause()
    world.effects.clear()

    world.succeed(succeeding)
    world.end(failing, BROKEN)

    assert world.run(succeeding.id).status is RunStatus.SUCCEEDED
    waiting = world.run(failing.id)
    assert (waiting.status, waiting.waiting_on) == (RunStatus.BLOCKED, ("paused",))
    assert waiting.failures == 1
    assert waiting.not_before is not None
    assert _ended(world.effects) == [(succeeding.id, succeeding.task_id, "succeeded")]


# --- resume
def test_fire_times_of_a_pause_are_one_skipped_run(world: World) -> None:
    world.register()
    world.pause()
    world.clock.advance(5 * MINUTE + MINUTE / 2)

    resumed = world.resume()

    (gap,) = world.runs()
    assert resumed == world.task()
    assert (resumed.status, resumed.next_fire_at) == (TaskStatus.ACTIVE, NOON + 6 * MINUTE)
    assert (gap.status, gap.reason, gap.count) == (RunStatus.SKIPPED, SkipReason.PAUSED, 5)
    assert (gap.scheduled_for, gap.scheduled_until) == (NOON + MINUTE, NOON + 5 * MINUTE)
    assert gap.finished_at == world.now
    assert DueSooner(NOON + 6 * MINUTE) in world.effects


def test_catching_up_once_runs_the_last_one_after_all(world: World) -> None:
    world.register()
    world.pause()
    world.clock.advance(5 * MINUTE)

    resumed = world.resume(catch_up="once")

    gap, last = world.runs()
    assert (gap.scheduled_for, gap.scheduled_until, gap.count) == (
        NOON + MINUTE,
        NOON + 4 * MINUTE,
        4,
    )
    assert (last.scheduled_for, last.status) == (NOON + 5 * MINUTE, RunStatus.QUEUED)
    assert [run.id for run in world.claim()] == [last.id]
    assert resumed.next_fire_at == NOON + 6 * MINUTE


@pytest.mark.parametrize(
    ("catch_up", "status"), [("none", RunStatus.SKIPPED), ("once", RunStatus.QUEUED)]
)
def test_a_gap_of_one_fire_time_has_no_end(world: World, catch_up: str, status: RunStatus) -> None:
    world.register()
    world.pause()
    world.clock.advance(MINUTE)

    world.resume(catch_up=catch_up)

    (run,) = world.runs()
    assert (run.status, run.count, run.scheduled_until) == (status, 1, None)


def test_a_short_pause_leaves_no_gap_and_keeps_the_phase(world: World) -> None:
    world.register()
    world.pause()
    world.clock.advance(MINUTE / 2)

    resumed = world.resume()

    assert world.runs() == []
    assert resumed.next_fire_at == NOON + MINUTE


def test_waiting_runs_are_unblocked_by_the_resumption(world: World) -> None:
    world.register(overlap_policy="allow", schedule={"type": "manual"})
    world.end(world.start(), BROKEN)
    queued = world.run_now()
    world.pause()
    world.effects.clear()

    world.resume()

    retry, _ = world.runs()
    assert retry.status is RunStatus.QUEUED
    assert retry.waiting_on == ()
    assert retry.not_before is not None
    assert [run.id for run in world.claim()] == [queued.id]
    resumed = TaskChanged(queued.task_id, TaskEvent.RESUMED, "me", name="t")
    assert world.effects == [resumed, RunsReady("default"), DueSooner(retry.not_before)]


def test_a_task_that_cannot_be_planned_cannot_be_resumed(world: World) -> None:
    world.register(schedule={"type": "cron", "expression": "* * * * *", "timezone": "Asia/Tokyo"})
    world.pause()
    definition = tables.task.c.definition
    with world.transaction() as tx:  # a zone vanishes, as with a new version of tzdata
        renamed = func.replace(definition, "Asia/Tokyo", "Atlantis/Capital")
        tx.connection.execute(tables.task.update().values(definition=renamed))
    world.clock.advance(HOUR)

    with pytest.raises(Conflict, match="cannot be planned"):
        world.resume()

    assert world.task().status is TaskStatus.PAUSED
    assert world.runs() == []


def test_resuming_an_active_task_changes_nothing(world: World) -> None:
    before = world.register()
    world.clock.advance(HOUR)

    assert world.resume() == before == world.task()
    assert world.runs() == []


def test_a_manual_task_resumes(world: World) -> None:
    world.register(schedule={"type": "manual"})
    world.pause()

    assert world.resume().status is TaskStatus.ACTIVE


@pytest.mark.parametrize(
    ("catch_up", "status"), [("none", RunStatus.SKIPPED), ("once", RunStatus.QUEUED)]
)
def test_a_once_that_passed_while_paused_completes(
    world: World, catch_up: str, status: RunStatus
) -> None:
    world.register(schedule=once(NOON + MINUTE))
    world.pause()
    world.clock.advance(HOUR)

    resumed = world.resume(catch_up=catch_up)

    assert resumed.status is TaskStatus.COMPLETED
    assert [run.status for run in world.runs()] == [status]


@pytest.mark.parametrize(
    ("policy", "status"), [("skip", RunStatus.SKIPPED), ("allow", RunStatus.QUEUED)]
)
def test_catching_up_respects_the_overlap_policy(
    world: World, policy: str, status: RunStatus
) -> None:
    world.register(overlap_policy=policy)
    world.start()
    world.pause()
    world.clock.advance(MINUTE)

    world.resume(catch_up="once")

    caught_up = world.runs()[-1]
    assert caught_up.scheduled_for == NOON + MINUTE
    assert caught_up.status is status
    assert caught_up.reason == (SkipReason.OVERLAP if policy == "skip" else None)


@pytest.mark.parametrize("catch_up", ["none", "once"])
def test_a_fire_time_that_has_its_run_gets_no_second_one_from_a_resumption(
    world: World, catch_up: str
) -> None:
    world.register(schedule=once(NOON))
    world.fire()
    same_time = {"type": "once", "at": "2026-03-10T13:00:00", "timezone": "Europe/Berlin"}
    world.registration(schedule=same_time, paused=True, on_conflict=OnConflict.UPDATE)

    resumed = world.resume(catch_up=catch_up)

    assert resumed.status is TaskStatus.COMPLETED
    assert [run.status for run in world.runs()] == [RunStatus.QUEUED]


# --- cancel
def test_cancelling_a_task_ends_waiting_runs_and_asks_running_ones(world: World) -> None:
    world.register(overlap_policy="allow")
    running = world.start()
    queued = world.run_now()
    world.set("cursor", 1)
    world.effects.clear()

    cancelled = world.cancel()
    world.clock.advance(HOUR)
    world.fire()

    ended, requested = world.run(queued.id), world.run(running.id)
    assert cancelled == world.task()
    assert cancelled.status is TaskStatus.CANCELLED
    assert (ended.status, ended.reason) == (RunStatus.CANCELLED, CancelReason.TASK_CANCELLED)
    assert (requested.status, requested.cancel_requested_at) == (RunStatus.RUNNING, NOON)
    assert len(world.runs()) == 2
    assert world.entries() == {"cursor": 1}
    assert _ended(world.effects) == [(queued.id, cancelled.id, "cancelled")]
    assert CancelRequested(running.id) in world.effects


def test_cancelling_ends_runs_that_wait_for_a_resumption(world: World) -> None:
    world.register()
    waiting = world.run_now()
    world.pause()

    world.cancel()

    ended = world.run(waiting.id)
    assert (ended.status, ended.waiting_on) == (RunStatus.CANCELLED, ())


def test_cancelling_twice_is_cancelling_once(world: World) -> None:
    world.register()
    first = world.cancel()
    world.clock.advance(HOUR)

    assert world.cancel() == first


@pytest.mark.parametrize("command", [Pause, Resume, Cancel])
def test_a_completed_task_can_only_be_registered_again(world: World, command: Any) -> None:
    _complete(world)

    with pytest.raises(Conflict) as refused:
        world.do(command(change()))

    assert refused.value.slug == "wrong-status"
    assert refused.value.present["task"]["status"] == "completed"


@pytest.mark.parametrize("command", [Pause, Resume])
def test_a_cancelled_task_can_only_be_registered_again(world: World, command: Any) -> None:
    world.register()
    world.cancel()

    with pytest.raises(Conflict):
        world.do(command(change()))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_missing_task_cannot_be_changed(world: World, command: Any) -> None:
    with pytest.raises(NotFound):
        world.do(command(change()))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_change_can_require_the_generation_that_was_read(world: World, command: Any) -> None:
    read = world.register()
    edited = world.register(on_conflict=OnConflict.UPDATE, priority=1)

    with pytest.raises(PreconditionFailed) as refused:
        world.do(command(change(expected=Precondition.exactly(read.id, 1))))
    untouched = world.task()
    world.do(command(change(expected=Precondition.exactly(read.id, 2))))

    assert refused.value.present["task"]["generation"] == 2
    assert untouched == edited


# --- delete
def test_a_deleted_task_is_gone_at_once(world: World) -> None:
    world.register(overlap_policy="allow", tags=["x"])
    running = world.start()
    queued = world.run_now()
    world.effects.clear()

    world.delete()

    for id in (running.id, queued.id):
        with pytest.raises(NotFound):
            world.run(id)
    with pytest.raises(NotFound):
        world.task()
    assert world.runs() == []
    assert CancelRequested(running.id) in world.effects
    assert world.effects.count(TaskDeleted(running.task_id)) == 1


def test_an_attempt_of_a_deleted_task_can_write_nothing(world: World) -> None:
    world.register()
    running = world.start()
    world.delete()

    with pytest.raises(LeaseLost):
        world.succeed(running, cursor=1)

    assert world.count(tables.kv) == 0


@pytest.mark.parametrize("status", ["completed", "cancelled", "paused"])
def test_a_task_of_any_status_can_be_deleted(world: World, status: str) -> None:
    _complete(world) if status == "completed" else world.register()
    if status != "completed":
        getattr(world, status.removesuffix("led").removesuffix("d"))()

    world.delete()

    with pytest.raises(NotFound):
        world.task()


def test_a_purge_removes_all_of_a_deleted_task_in_small_steps(world: World) -> None:
    world.register("kept", tags=["x"])
    world.run_now("kept")
    world.set("cursor", 1, "kept")
    world.register(overlap_policy="allow", tags=["x", "y"])
    for number in range(5):
        world.end(world.start(), BROKEN)
        world.set(f"k{number}", number)
    world.delete()

    steps = 0
    while world.do(Purge(2)):
        steps += 1

    assert steps == 4  # two, two and one of five runs and entries, then the task itself
    remaining = [
        world.count(table)
        for table in (tables.task, tables.run, tables.kv, tables.task_tag, tables.attempt)
    ]
    assert remaining == [1, 1, 1, 1, 0]
    assert world.task("kept").definition.tags == ("x",)


def test_a_purge_leaves_the_new_owner_of_the_name_alone(world: World) -> None:
    world.register()
    world.delete()
    new = world.register()

    while world.do(Purge(10)):
        pass

    assert world.task() == new
    with world.database.read() as connection:
        assert connection.execute(select(tables.task.c.id)).scalars().all() == [new.id]
