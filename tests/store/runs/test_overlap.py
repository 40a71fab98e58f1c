"""Runs in line: behind an earlier one, in order, bounded, and never left behind."""

from datetime import timedelta

import pytest

from rota.domain.policies import MOST_BUFFERED
from rota.domain.primitives.ids import Id
from rota.domain.runs.model import ClaimedRun
from rota.domain.runs.outcomes import Cancelled, Released
from rota.domain.runs.status import RunStatus
from rota.domain.tasks.definition import TaskStatus
from rota.errors import Conflict
from rota.store.tasks.run_commands import CancelRun, Rerun
from tests.support.factories import BROKEN, HOUR, MINUTE, NOON, World, once

MANUAL = {"type": "manual"}


def _statuses(world: World) -> list[tuple[str, tuple[str, ...]]]:
    return [(str(run.status), run.waiting_on) for run in world.runs()]


def _behind(run_id: Id) -> tuple[str, tuple[str, ...]]:
    return ("blocked", (f"overlap:{run_id}",))


@pytest.fixture
def busy(world: World) -> ClaimedRun:
    """A run that is under way, of a task that buffers; its fire times come every minute."""
    world.register(overlap_policy="buffer")
    world.clock.advance(MINUTE)
    world.fire()
    return world.claim()[0]


def _fire_again(world: World, times: int) -> None:
    for _ in range(times):
        world.clock.advance(MINUTE)
        world.fire()


def test_a_buffered_run_waits_for_the_one_before_it_and_starts_in_order(
    world: World, busy: ClaimedRun
) -> None:
    _fire_again(world, 2)
    _, second, third = world.runs()
    waiting = _statuses(world)

    world.succeed(busy)
    (claimed,) = world.claim()
    world.succeed(claimed)
    (last,) = world.claim()

    assert waiting == [("running", ()), _behind(busy.id), _behind(second.id)]
    assert (claimed.id, last.id) == (second.id, third.id)


@pytest.mark.parametrize("outcome", [BROKEN, Released()])
def test_a_run_that_is_tried_again_keeps_the_others_waiting(
    world: World, busy: ClaimedRun, outcome: object
) -> None:
    _fire_again(world, 1)

    world.end(busy, outcome)  # type: ignore[arg-type]

    assert [run.status for run in world.runs()] == [RunStatus.QUEUED, RunStatus.BLOCKED]


def test_the_buffer_is_bounded(world: World, busy: ClaimedRun) -> None:
    _fire_again(world, MOST_BUFFERED + 2)

    waiting = [run for run in world.runs() if run.status is RunStatus.BLOCKED]
    skipped = [run for run in world.runs() if run.status is RunStatus.SKIPPED]
    assert len(waiting) == MOST_BUFFERED
    assert [run.reason for run in skipped] == ["overlap", "overlap"]
    assert all(run.scheduled_for > waiting[-1].scheduled_for for run in skipped)


def test_a_cancelled_run_unblocks_the_next_one(world: World, busy: ClaimedRun) -> None:
    _fire_again(world, 2)
    _, second, third = world.runs()

    world.do(CancelRun(second.id))
    while_running = world.run(third.id).status
    world.end(busy, Cancelled())

    assert while_running is RunStatus.BLOCKED
    assert [run.id for run in world.claim()] == [third.id]


def test_after_a_pause_the_line_is_as_it_was(world: World, busy: ClaimedRun) -> None:
    _fire_again(world, 2)
    world.pause()
    world.succeed(busy)
    paused = _statuses(world)

    world.resume()
    _, second, third = world.runs()

    assert paused == [("succeeded", ()), ("blocked", ("paused",)), ("blocked", ("paused",))]
    assert _statuses(world)[1:] == [("queued", ()), _behind(second.id)]
    world.succeed(world.claim()[0])
    assert [run.id for run in world.claim()] == [third.id]


def test_a_pause_that_ends_while_a_run_is_under_way_keeps_the_others_behind_it(
    world: World, busy: ClaimedRun
) -> None:
    _fire_again(world, 2)
    world.pause()

    world.resume()

    _, second, _ = world.runs()
    assert _statuses(world) == [("running", ()), _behind(busy.id), _behind(second.id)]


def test_the_runs_of_a_cancelled_task_are_all_cancelled(world: World, busy: ClaimedRun) -> None:
    _fire_again(world, 2)

    world.cancel()

    assert [str(run.status) for run in world.runs()] == ["running", "cancelled", "cancelled"]


def test_replace_asks_the_running_one_to_end_and_starts_when_it_has(world: World) -> None:
    world.register(overlap_policy="replace")
    world.clock.advance(MINUTE)
    world.fire()
    (running,) = world.claim()
    _fire_again(world, 2)
    first, second, third = world.runs()

    world.end(running, Cancelled())
    (claimed,) = world.claim()

    assert (first.status, first.cancel_requested_at) == (RunStatus.RUNNING, NOON + 3 * MINUTE)
    assert (second.status, second.reason) == (RunStatus.CANCELLED, "replaced")
    assert third.waiting_on == (f"overlap:{first.id}",)
    assert world.run(first.id).reason == "replaced"
    assert claimed.id == third.id


def test_replace_takes_the_place_of_one_that_only_waits(world: World) -> None:
    world.register(overlap_policy="replace")
    _fire_again(world, 2)

    first, second = world.runs()

    assert (first.status, first.reason) == (RunStatus.CANCELLED, "replaced")
    assert second.status is RunStatus.QUEUED


def test_replace_keeps_a_run_that_is_scheduled_ahead(world: World) -> None:
    world.register(overlap_policy="replace")
    later = world.run_now(scheduled_for=NOON + HOUR)

    _fire_again(world, 1)

    assert world.run(later.id).status is RunStatus.QUEUED


@pytest.mark.parametrize(
    ("policy", "statuses"),
    [
        ("buffer", ["running", "blocked"]),
        ("allow", ["running", "queued"]),
        ("replace", ["running", "blocked"]),
    ],
)
def test_manual_runs_and_reruns_keep_to_the_policy(
    world: World, policy: str, statuses: list[str]
) -> None:
    world.register(schedule=MANUAL, overlap_policy=policy)
    done = world.start()
    world.succeed(done)
    running = world.start()
    again = world.do(Rerun(done.id))

    pair = [running.id, again.id]
    assert [str(world.run(id).status) for id in pair] == statuses


def test_a_manual_run_of_a_task_that_skips_is_refused(world: World) -> None:
    world.register(schedule=MANUAL)
    world.start()

    with pytest.raises(Conflict, match="skips on overlap"):
        world.run_now()


def test_runs_of_a_catch_up_run_one_after_the_other_even_with_skip(
    world: World,
) -> None:
    world.register(misfire_policy="run_all")
    world.clock.advance(3 * MINUTE)
    world.fire()
    started = []

    while claimed := world.claim():
        assert len(claimed) == 1
        started.append(claimed[0].scheduled_for)
        world.succeed(claimed[0])

    assert started == [NOON + n * MINUTE for n in (1, 2, 3)]


def test_a_fixed_delay_counts_from_the_end_of_the_run_however_it_ends(world: World) -> None:
    schedule = {"type": "interval", "every": "10m", "mode": "fixed_delay"}
    world.register(schedule=schedule, retry={"max_attempts": 1})
    for end in (world.succeed, lambda run: world.end(run, BROKEN)):
        world.clock.advance(10 * MINUTE)
        world.fire()
        waiting = world.task()
        (claimed,) = world.claim()
        world.clock.advance(timedelta(minutes=7))
        end(claimed)
        assert (waiting.status, waiting.next_fire_at) == ("active", None)
        assert world.task().next_fire_at == world.now + 10 * MINUTE


def test_a_fixed_delay_fires_again_after_a_pause_and_a_resumption_during_its_run(
    world: World,
) -> None:
    world.register(schedule={"type": "interval", "every": "10m", "mode": "fixed_delay"})
    world.clock.advance(HOUR)
    world.fire()
    claimed = world.claim()[0]

    world.pause()
    world.resume()
    assert (world.task().status, world.task().next_fire_at) == (TaskStatus.ACTIVE, None)
    world.succeed(claimed)

    assert world.task().next_fire_at == world.now + 10 * MINUTE


def test_a_fixed_delay_fires_again_after_its_waiting_run_is_cancelled(world: World) -> None:
    world.register(schedule={"type": "interval", "every": "10m", "mode": "fixed_delay"})
    world.clock.advance(10 * MINUTE)
    world.fire()
    (waiting,) = world.runs()

    world.do(CancelRun(waiting.id))

    assert world.task().next_fire_at == world.now + 10 * MINUTE


@pytest.mark.parametrize("policy", ["skip", "buffer", "replace"])
def test_new_work_waits_for_the_end_of_the_work_that_it_replaces(world: World, policy: str) -> None:
    world.register(schedule=once(NOON), overlap_policy=policy)
    world.fire()
    (old,) = world.claim()

    anew = once(NOON + MINUTE)
    world.register(schedule=anew, overlap_policy=policy, on_conflict="replace")
    world.clock.advance(MINUTE)
    world.fire()
    before = _statuses(world)
    world.end(old, Cancelled())

    assert before == [("running", ()), _behind(old.id)]
    assert len(world.claim()) == 1


def test_a_fire_time_waits_for_a_run_that_was_requested_to_end(world: World) -> None:
    world.register()
    _fire_again(world, 1)
    (old,) = world.claim()
    world.do(CancelRun(old.id))

    _fire_again(world, 2)

    second, third = world.runs()[1:]
    assert (second.status, second.waiting_on) == (RunStatus.BLOCKED, (f"overlap:{old.id}",))
    assert (third.status, third.reason) == (RunStatus.SKIPPED, "overlap")
