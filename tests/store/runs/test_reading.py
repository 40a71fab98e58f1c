"""Runs: run now, run again, cancel, list."""

from datetime import timedelta

import pytest

from rota.domain.effects import CancelRequested, DueSooner, RunsReady
from rota.domain.policies import RetryPolicy
from rota.domain.primitives.ids import random_id
from rota.domain.reasons import CancelReason
from rota.domain.runs.status import RunStatus, Trigger
from rota.domain.tasks.definition import OnConflict
from rota.errors import Conflict, NotFound
from rota.store.runs.claiming.claim import ReleaseDelayed
from rota.store.runs.listing.filters import RunFilter
from rota.store.runs.reading import cancel_requested, find_run, list_runs
from rota.store.tasks.ping import Ping
from rota.store.tasks.run_commands import CancelRun, Rerun
from tests.support.factories import BROKEN, HOUR, MINUTE, NOON, World, once
from tests.support.factories import ended as _ended


@pytest.fixture
def allowing(world: World) -> World:
    world.register(overlap_policy="allow", input={"n": 1}, queue="slow", priority=3)
    world.effects.clear()
    return world


# --- run now
def test_a_manual_run_is_queued_at_once(allowing: World) -> None:
    run = allowing.run_now()

    assert run == allowing.run(run.id)
    assert (run.trigger, run.status, run.scheduled_for) == (
        Trigger.MANUAL,
        RunStatus.QUEUED,
        NOON,
    )
    assert (run.input, run.queue, run.priority) == ('{"n":1}', "slow", 3)
    assert allowing.effects == [RunsReady("slow")]


def test_a_manual_run_can_have_its_own_input_and_time(allowing: World) -> None:
    run = allowing.run_now(input="[5.0]", scheduled_for=NOON + HOUR)

    assert (run.input, run.scheduled_for, run.not_before) == ("[5.0]", NOON + HOUR, NOON + HOUR)
    assert allowing.effects == [DueSooner(NOON + HOUR)]
    assert allowing.claim(queue="slow") == []


def test_a_manual_run_for_a_past_time_is_queued_at_once(allowing: World) -> None:
    run = allowing.run_now(scheduled_for=NOON - HOUR)

    assert (run.scheduled_for, run.not_before) == (NOON - HOUR, None)


def test_many_manual_runs_may_be_for_one_time(allowing: World) -> None:
    runs = {allowing.run_now(scheduled_for=NOON).id for _ in range(3)}

    assert len(runs) == 3


@pytest.mark.parametrize("status", ["queued", "running", "retry"])
def test_a_task_that_skips_on_overlap_refuses_while_a_run_is_unfinished(
    world: World, status: str
) -> None:
    world.register()
    if status == "queued":
        busy = world.run_now().id
    else:
        claimed = world.start()
        busy = claimed.id
        if status == "retry":
            world.end(claimed, BROKEN)

    with pytest.raises(Conflict) as refused:
        world.run_now()

    assert refused.value.slug == "overlap"
    assert refused.value.present["run"]["id"] == str(busy)
    assert len(world.runs()) == 1


def test_a_paused_task_can_be_run_by_hand(world: World) -> None:
    world.register()
    world.pause()

    run = world.run_now()

    assert [each.id for each in world.claim()] == [run.id]


def test_a_completed_task_can_be_run_by_hand(world: World) -> None:
    world.register(schedule=once(NOON), overlap_policy="allow")
    world.fire()

    assert world.run_now().status is RunStatus.QUEUED


def test_a_cancelled_task_cannot_be_run(world: World) -> None:
    world.register()
    world.cancel()

    with pytest.raises(Conflict) as refused:
        world.run_now()

    assert refused.value.slug == "wrong-status"


def test_a_task_that_is_not_there_cannot_be_run(world: World) -> None:
    with pytest.raises(NotFound):
        world.run_now()


# --- run again
def test_a_run_can_be_run_again_with_its_own_input(allowing: World) -> None:
    first = allowing.run_now(input='"mine"', scheduled_for=NOON - HOUR)
    allowing.end(allowing.claim(queue="slow")[0], BROKEN, retry=RetryPolicy(max_attempts=1))
    allowing.register(
        on_conflict=OnConflict.UPDATE, queue="fast", input={"n": 2}, overlap_policy="allow"
    )
    allowing.effects.clear()

    again = allowing.do(Rerun(first.id))

    assert (again.trigger, again.rerun_of) == (Trigger.RERUN, first.id)
    assert (again.input, again.scheduled_for) == ('"mine"', NOON - HOUR)
    assert (again.queue, again.task_generation) == ("fast", 2)
    assert allowing.effects == [RunsReady("fast")]


def test_a_skipped_run_can_be_run_after_all(world: World) -> None:
    world.register()
    world.clock.advance(3 * MINUTE)
    world.fire()
    gap, last = world.runs()
    world.do(CancelRun(last.id))

    again = world.do(Rerun(gap.id))

    assert (again.scheduled_for, again.count) == (gap.scheduled_for, 1)
    assert again.status is RunStatus.QUEUED


def test_only_a_finished_run_can_be_run_again(allowing: World) -> None:
    run = allowing.run_now()

    with pytest.raises(Conflict) as refused:
        allowing.do(Rerun(run.id))

    assert refused.value.present["run"]["status"] == "queued"


def test_running_again_respects_the_overlap_policy(world: World) -> None:
    world.register()
    done = world.start()
    world.succeed(done)
    world.run_now()

    with pytest.raises(Conflict) as refused:
        world.do(Rerun(done.id))

    assert refused.value.slug == "overlap"


# --- cancel
@pytest.mark.parametrize("waits", ["queued", "retry", "paused"])
def test_a_waiting_run_is_cancelled_at_once(allowing: World, waits: str) -> None:
    run = allowing.run_now()
    if waits == "retry":
        allowing.end(allowing.claim(queue="slow")[0], BROKEN)
    if waits == "paused":
        allowing.pause()
    allowing.clock.advance(MINUTE)
    allowing.effects.clear()

    ended = allowing.do(CancelRun(run.id))

    assert (ended.status, ended.reason) == (RunStatus.CANCELLED, CancelReason.REQUESTED)
    assert ended.cancel_requested_at == ended.finished_at == NOON + MINUTE
    assert (ended.not_before, ended.waiting_on) == (None, ())
    assert _ended(allowing.effects) == [(run.id, run.task_id, "cancelled")]
    allowing.clock.advance(HOUR)
    assert allowing.claim(queue="slow") == []


def test_a_running_run_is_requested_to_end(allowing: World) -> None:
    allowing.run_now()
    (running,) = allowing.claim(queue="slow")
    allowing.effects.clear()

    requested = allowing.do(CancelRun(running.id))

    assert (requested.status, requested.cancel_requested_at) == (RunStatus.RUNNING, NOON)
    assert allowing.effects == [CancelRequested(running.id)]
    assert allowing.read(cancel_requested, allowing.holder) == [running.id]
    assert allowing.read(cancel_requested, random_id()) == []


def test_a_finished_run_stays_as_it_is(allowing: World) -> None:
    allowing.run_now()
    (running,) = allowing.claim(queue="slow")
    allowing.succeed(running)
    before = allowing.run(running.id)

    with pytest.raises(Conflict) as refused:
        allowing.do(CancelRun(running.id))

    assert refused.value.present["run"]["status"] == "succeeded"
    assert allowing.run(running.id) == before


def test_a_run_that_is_not_there_can_be_neither_read_nor_changed(world: World) -> None:
    for command in (CancelRun(random_id()), Rerun(random_id())):
        with pytest.raises(NotFound):
            world.do(command)
    with pytest.raises(NotFound):
        world.read(find_run, random_id())


# --- lists
def test_runs_are_listed_newest_first_page_by_page(allowing: World) -> None:
    times = [NOON - HOUR, NOON, NOON, NOON - 2 * HOUR, NOON - HOUR]
    made = [allowing.run_now(scheduled_for=at) for at in times]
    wanted = sorted(made, key=lambda run: (run.scheduled_for, run.id), reverse=True)

    pages, after = [], None
    while page := allowing.read(list_runs, RunFilter(), after, 2):
        pages.append([run.id for run in page])
        after = (page[-1].scheduled_for, page[-1].id)

    assert [id for page in pages for id in page] == [run.id for run in wanted]
    assert [len(page) for page in pages] == [2, 2, 1]


def test_runs_are_filtered_by_their_fields(world: World) -> None:
    world.register("a", overlap_policy="allow", tags=["x"])
    world.register("b", overlap_policy="allow", tags=["x", "y"])
    first = world.run_now("a", scheduled_for=NOON - HOUR)
    second = world.run_now("b")
    world.do(CancelRun(second.id))
    third = world.do(Rerun(second.id))

    def found(**wanted: object) -> set[object]:
        runs = world.read(list_runs, RunFilter(**wanted), None, 9)  # type: ignore[arg-type]
        return {run.id for run in runs}

    everything = {first.id, second.id, third.id}
    assert found() == found(tag=("x",)) == found(task=("a", "b")) == everything
    assert found(task=("a",)) == {first.id}
    assert found(tag=("y",)) == found(task=("b",)) == {second.id, third.id}
    assert found(status=("cancelled",)) == found(reason=("requested",)) == {second.id}
    assert found(status=("queued",), tag=("y",)) == found(trigger=("rerun",)) == {third.id}
    assert found(scheduled_from=NOON) == {second.id, third.id}
    assert found(scheduled_to=NOON - timedelta(milliseconds=1)) == {first.id}
    assert found(backfill_id=(random_id(),)) == found(task=("c",)) == set()
    assert found(all_tags=("x",)) == everything
    assert found(all_tags=("x", "y")) == found(tag=("x",), all_tags=("y",)) == {second.id, third.id}
    assert found(all_tags=("x", "z")) == found(tag=("z",), all_tags=("x",)) == set()


@pytest.mark.parametrize("few", [0, 2_000])
def test_runs_of_an_unfinished_status_are_found_among_others(
    world: World, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr("rota.store.runs.listing.narrowing.FEW", few)
    world.register("a", overlap_policy="allow")
    queued, later = world.run_now("a"), world.run_now("a", scheduled_for=NOON + HOUR)

    def found(*status: str) -> set[object]:
        return {run.id for run in world.read(list_runs, RunFilter(status=status), None, 9)}

    assert found("queued") == found("queued", "running") == {queued.id, later.id}
    assert found("blocked", "running") == set()


def test_runs_are_found_by_when_they_ended_and_by_their_error(world: World) -> None:
    world.register(overlap_policy="allow", retry={"max_attempts": 1})
    unfinished = world.run_now(scheduled_for=NOON + HOUR)
    failed = world.start()
    world.end(failed, BROKEN)
    world.clock.advance(MINUTE)
    succeeded = world.start()
    world.succeed(succeeded)
    world.clock.advance(MINUTE)
    pinged = world.do(Ping(task="t", status="failed"))

    def found(**wanted: object) -> set[object]:
        runs = world.read(list_runs, RunFilter(**wanted), None, 9)  # type: ignore[arg-type]
        return {run.id for run in runs}

    assert unfinished.id in found()
    assert found(error=("ValueError",)) == {failed.id}
    assert found(error=("ValueError", "ping")) == {failed.id, pinged.id}
    assert found(error=("Value",)) == set()
    assert found(finished_from=NOON) == {failed.id, succeeded.id, pinged.id}
    assert found(finished_to=NOON) == {failed.id}
    assert found(finished_from=NOON + MINUTE, finished_to=NOON + MINUTE) == {succeeded.id}


def test_a_run_that_is_tried_again_after_an_error_and_succeeds_is_not_found_by_it(
    world: World,
) -> None:
    world.register(retry={"max_attempts": 2, "initial_interval": 1, "jitter": False})
    world.end(world.start(), BROKEN)
    by_error = RunFilter(error=("ValueError",))
    waiting = len(world.read(list_runs, by_error, None, 9))
    world.clock.advance(MINUTE)
    world.do(ReleaseDelayed(10))
    (again,) = world.claim()
    world.succeed(again)

    assert (waiting, world.read(list_runs, by_error, None, 9)) == (1, [])


def test_a_run_that_waits_for_a_later_time_is_no_overlap(world: World) -> None:
    world.register()
    world.run_now(scheduled_for=NOON + timedelta(days=300))

    world.succeed(world.start())
    world.clock.set(world.task().next_fire_at or NOON)
    world.fire()

    fired = [run for run in world.runs() if run.trigger is Trigger.SCHEDULE]
    assert [run.status for run in fired] == [RunStatus.QUEUED]
