"""Pings: finished runs of work that Rota does not run."""

from datetime import timedelta

import pytest

from rota.domain.effects import RunEnded
from rota.domain.primitives.json import json_text
from rota.domain.runs.status import RunStatus, Trigger
from rota.errors import Conflict, NotFound
from rota.store.tasks import retention
from rota.store.tasks.ping import Ping
from tests.store.alerts.test_run_ends import types
from tests.support.factories import BROKEN, HOUR, MINUTE, World

MANUAL = {"type": "manual"}


@pytest.fixture(autouse=True)
def task(world: World) -> None:
    world.register("ops", schedule=MANUAL)
    world.register(schedule=MANUAL, on_failure={"task": "ops", "after": 2})


def test_a_ping_is_a_finished_run_and_a_success_of_its_task(world: World) -> None:
    run = world.do(Ping(task="t", message="412 files", duration=timedelta(seconds=93)))

    assert (run.trigger, run.status, run.attempt) == (Trigger.PING, RunStatus.SUCCEEDED, 1)
    assert (run.result, run.error) == ('"412 files"', None)
    assert (run.finished_at, run.duration) == (world.now, timedelta(seconds=93))
    assert run.lateness == timedelta()
    found = world.task()
    assert (found.last_success_at, found.consecutive_failures) == (world.now, 0)
    assert found.last_run is not None
    assert found.last_run.id == run.id


def test_a_failed_one_counts_as_a_failed_run(world: World) -> None:
    run = world.do(Ping(task="t", status="failed", message="disk full"))
    again = world.do(Ping(task="t", status="failed"))

    assert (run.status, run.reason, str(run.error)) == ("failed", "error", "ping: disk full")
    assert str(again.error) == "ping: the ping reported a failure"
    assert (world.task().consecutive_failures, world.task().last_success_at) == (2, None)
    assert types(world) == ["failing"]
    world.do(Ping(task="t"))
    assert (world.task().consecutive_failures, types(world)) == (0, ["failing", "recovered"])


def test_pings_in_one_commit_count_one_by_one(world: World) -> None:
    pings = [Ping(task="t", status=status) for status in ("failed", "failed", "succeeded")]

    world.writer.call_all([*pings, Ping(task="t", status="failed")])

    assert world.task().consecutive_failures == 1
    assert [run.status for run in world.runs()].count(RunStatus.FAILED) == 3


def test_it_meets_no_other_run(world: World) -> None:
    claimed = world.start()

    world.do(Ping(task="t"))

    assert world.run(claimed.id).status == "running"
    world.succeed(claimed)
    assert len(world.runs()) == 2


def test_it_starts_successors_and_emits_the_end_of_a_run(world: World) -> None:
    world.register("next", schedule={"type": "after", "tasks": ["t"]})

    run = world.do(Ping(task="t", message="done"))

    (made,) = world.runs("next")
    assert "done" in json_text.loads(made.input)["results"].values()
    assert run.id in [each.run_id for each in world.effects if isinstance(each, RunEnded)]


def test_a_paused_task_takes_pings_and_a_cancelled_or_missing_one_does_not(world: World) -> None:
    world.pause()
    world.do(Ping(task="t"))
    assert world.task().status == "paused"
    world.cancel()

    with pytest.raises(Conflict, match="is cancelled"):
        world.do(Ping(task="t"))
    with pytest.raises(NotFound):
        world.do(Ping(task="nobody"))


def test_it_begins_before_the_task_if_the_work_took_longer(world: World) -> None:
    run = world.do(Ping(task="t", duration=HOUR + MINUTE))

    assert run.started_at == world.now - HOUR - MINUTE
    assert run.scheduled_for == world.now


def test_a_ping_does_not_set_the_next_fire_time_of_a_fixed_delay_while_a_run_continues(
    world: World,
) -> None:
    schedule = {"type": "interval", "every": "1m", "mode": "fixed_delay"}
    world.register("delayed", schedule=schedule)
    world.clock.advance(MINUTE)
    world.fire()
    (running,) = world.claim()

    world.do(Ping(task="delayed"))
    assert world.task("delayed").next_fire_at is None
    world.clock.advance(HOUR)
    world.succeed(running)

    assert world.task("delayed").next_fire_at == world.now + MINUTE


def test_the_last_ping_is_kept_at_any_age_since_it_is_a_sign_of_life(world: World) -> None:
    world.register(
        "device", schedule=MANUAL, retry={"max_attempts": 1}, retention={"runs": 1, "age": "1h"}
    )
    world.do(Ping(task="device", status="failed"))
    world.clock.advance(HOUR)
    last = world.do(Ping(task="device", status="failed"))
    for _ in range(2):
        world.clock.advance(HOUR)
        world.end(world.start("device"), BROKEN)
    world.clock.advance(2 * HOUR)

    old, _ = world.read(retention.beyond_age, world.now, None, 100)
    many = world.read(retention.beyond_count, [last.task_id], 100)

    kept = {each.id for each in world.runs("device")}
    assert last.id in kept - {*old, *many}
    assert (len(old), len(many)) == (3, 2)
