"""Runs that wait for their constraints, in the tables."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from rota.db import tables
from rota.domain.effects import KvWritten, RunEnded, RunsConstrained, RunsReady
from rota.domain.runs.model import Run
from rota.domain.runs.status import RunStatus
from rota.store.runs.claiming.claim import ReleaseDelayed
from rota.store.scheduling import constraint_facts, constraint_release
from rota.store.scheduling.constraint_facts import WaitingTask
from rota.store.scheduling.constraint_release import (
    FailOverdue,
    RecordUnmet,
    Release,
    SkipOverdue,
)
from rota.store.tasks.run_commands import CancelRun
from tests.support.factories import BROKEN, HOUR, MINUTE, NOON, World, delete_entry

READY = {"type": "kv", "key": "ready", "equals": True}
PENDING = ("constraint:pending",)


@pytest.fixture
def shut(world: World) -> World:
    """A task `t` that waits for its kv; a task `free` that waits for nothing."""
    world.register(
        constraints=[READY],
        schedule={"type": "manual"},
        overlap_policy="allow",
        retry={"max_attempts": 3, "initial_interval": 60, "jitter": False, "max_elapsed": "1h"},
    )
    world.register("free", schedule={"type": "manual"}, overlap_policy="allow")
    world.effects.clear()
    return world


def waiting(world: World) -> list[WaitingTask]:
    return world.read(constraint_facts.waiting_tasks, limit=500)


def release(world: World, *, generation: int | None = None, limit: int = 500) -> int:
    task = world.task()
    return world.do(Release(task.id, generation or task.generation, limit))


def skip(world: World, deadline: timedelta, limit: int = 500) -> int:
    task = world.task()
    return world.do(SkipOverdue(task.id, task.generation, deadline, limit))


def state(run: Run) -> tuple[RunStatus, tuple[str, ...]]:
    return run.status, run.waiting_on


def test_a_run_waits_for_its_constraints_from_the_start(shut: World) -> None:
    made = shut.run_now()

    assert state(made) == (RunStatus.BLOCKED, PENDING)
    assert shut.effects == [RunsConstrained()]
    assert shut.claim() == []


def test_waiting_runs_are_read_by_task(shut: World) -> None:
    shut.run_now("free")
    assert waiting(shut) == []
    for _ in range(3):
        shut.run_now()
        shut.clock.advance(MINUTE)

    (found,) = waiting(shut)

    assert (found.name, found.runs, found.recorded) == ("t", 3, PENDING)
    assert found.constraints == shut.task().definition.constraints
    assert found.since == NOON
    assert found.retry_until is None


def test_waiting_runs_are_read_for_a_few_tasks_at_a_time(world: World) -> None:
    for name in "abcde":
        world.register(name, constraints=[READY], schedule={"type": "manual"})
        world.run_now(name)

    first = world.read(constraint_facts.waiting_tasks, limit=3)
    second = world.read(constraint_facts.waiting_tasks, first[-1].id, limit=3)

    assert [task.name for task in (*first, *second)] == ["a", "b", "c", "d", "e"]


def test_a_run_that_waits_for_something_else_does_not_wait_for_constraints_yet(
    shut: World,
) -> None:
    shut.run_now()
    shut.pause()
    assert waiting(shut) == []

    shut.resume()
    assert len(waiting(shut)) == 1


def test_a_run_for_a_time_ahead_waits_for_its_constraints_from_then_on(shut: World) -> None:
    run = shut.run_now(scheduled_for=NOON + HOUR)
    assert state(shut.run(run.id)) == (RunStatus.QUEUED, ())

    shut.clock.advance(HOUR)
    shut.do(ReleaseDelayed(10))

    assert state(shut.run(run.id)) == (RunStatus.BLOCKED, PENDING)


def test_runs_are_released_a_few_at_a_time_the_earliest_first(shut: World) -> None:
    runs = [shut.run_now(scheduled_for=NOON - at * MINUTE) for at in (1, 3, 2)]
    shut.effects.clear()

    assert release(shut, limit=2) == 2

    assert [shut.run(run.id).status for run in runs] == ["blocked", "queued", "queued"]
    assert shut.effects == [RunsReady("default")]
    assert release(shut) == 1
    assert len(shut.claim()) == 3


def test_nothing_is_released_by_constraints_that_were_changed_meanwhile(shut: World) -> None:
    run = shut.run_now()
    before = shut.task().generation
    shut.register(constraints=[], schedule={"type": "manual"}, on_conflict="update")

    assert release(shut, generation=before) == 0
    assert state(shut.run(run.id)) == (RunStatus.BLOCKED, PENDING)
    assert waiting(shut)[0].constraints == ()


def test_a_released_run_waits_for_its_handler_if_no_replica_has_it(shut: World) -> None:
    run = shut.run_now()
    shut.end_lease(shut.holder)
    with shut.transaction() as tx:
        tx.connection.execute(tables.replica.delete())

    assert release(shut) == 1

    assert state(shut.run(run.id)) == (RunStatus.BLOCKED, ("handler",))
    assert RunsReady("default") not in shut.effects


def test_a_pause_between_the_look_and_the_release_wins(shut: World) -> None:
    run = shut.run_now()
    shut.pause()

    assert release(shut) == 0
    assert state(shut.run(run.id)) == (RunStatus.BLOCKED, ("paused",))


def test_what_runs_wait_for_is_written_only_if_it_changes(shut: World) -> None:
    run, id = shut.run_now(), shut.task().id
    record = RecordUnmet(id, ("constraint:kv", "constraint:window"), 500)

    assert [shut.do(record), shut.do(record)] == [1, 0]

    assert shut.run(run.id).waiting_on == ("constraint:kv", "constraint:window")
    shut.run_now()
    assert waiting(shut)[0].recorded is None


def test_a_run_is_skipped_when_its_deadline_has_passed(shut: World) -> None:
    old = shut.run_now()
    shut.clock.advance(HOUR)
    late = shut.run_now(scheduled_for=NOON - 5 * HOUR)  # but made only now
    shut.effects.clear()

    assert skip(shut, HOUR - timedelta(milliseconds=1)) == 1

    skipped = shut.run(old.id)
    assert (skipped.status, skipped.reason) == ("skipped", "constraint_deadline")
    assert (skipped.finished_at, skipped.waiting_on, skipped.attempt) == (NOON + HOUR, (), 0)
    assert shut.run(late.id).status == "blocked"
    (ended,) = shut.effects
    assert isinstance(ended, RunEnded)
    assert (ended.run_id, ended.reason) == (old.id, "constraint_deadline")
    assert shut.task().last_run is None


def test_a_deadline_has_not_passed_a_moment_before(shut: World) -> None:
    shut.run_now()
    shut.clock.advance(HOUR)

    assert skip(shut, HOUR + timedelta(milliseconds=1)) == 0
    assert skip(shut, HOUR) == 1


def test_the_run_behind_a_skipped_one_is_unblocked(world: World) -> None:
    schedule = {"type": "interval", "every": 60}
    world.register(constraints=[READY], schedule=schedule, overlap_policy="buffer")
    for _ in range(2):
        world.clock.advance(MINUTE)
        world.fire()
    first, second = world.runs()
    assert state(second) == (RunStatus.BLOCKED, (f"overlap:{first.id}",))

    assert skip(world, MINUTE) == 1

    assert state(world.run(second.id)) == (RunStatus.BLOCKED, PENDING)


def retried(world: World) -> Run:
    """Return a run whose first attempt has failed and whose retry has come to its constraints."""
    made = world.run_now()
    release(world)
    (claimed,) = world.claim()
    world.end(claimed, BROKEN)
    world.clock.advance(MINUTE)
    world.do(ReleaseDelayed(10))
    return world.run(made.id)


def test_a_retry_waits_for_its_constraints_again(shut: World) -> None:
    run = retried(shut)

    assert state(run) == (RunStatus.BLOCKED, PENDING)
    assert shut.claim() == []
    (found,) = waiting(shut)
    assert (found.since, found.retry_until) == (None, NOON + HOUR)
    release(shut)
    assert [claimed.attempt for claimed in shut.claim()] == [2]


def test_a_retry_is_never_skipped_since_it_has_started(shut: World) -> None:
    retried(shut)

    assert skip(shut, timedelta()) == 0


def test_a_retry_that_can_only_come_too_late_fails(shut: World) -> None:
    run, task = retried(shut), shut.task()
    overdue = FailOverdue(task.id, task.generation, HOUR, 500)
    shut.clock.set(NOON + HOUR - timedelta(milliseconds=1))
    assert shut.do(overdue) == 0

    shut.clock.set(NOON + HOUR)
    assert shut.do(overdue) == 1

    failed, task = shut.run(run.id), shut.task()
    assert (failed.status, failed.reason, failed.failures) == ("failed", "deadline", 1)
    assert failed.error is not None
    assert task.last_run is not None
    assert (task.last_run.id, task.consecutive_failures) == (run.id, 1)


def test_a_run_that_waits_for_its_constraints_can_be_cancelled(shut: World) -> None:
    run = shut.run_now()

    shut.do(CancelRun(run.id))

    assert shut.run(run.id).status == "cancelled"
    assert waiting(shut) == []


def test_entries_are_read_as_they_are_now(shut: World) -> None:
    shut.set("ready", True)
    shut.set("old", 1, ttl=MINUTE)
    shut.set("ready", [1], name="free")
    shut.clock.advance(MINUTE)
    wanted = [
        ("t", "ready"),
        ("t", "old"),
        ("free", "ready"),
        ("free", "old"),
        ("missing", "ready"),
    ]

    found, owners = shut.read(constraint_facts.entries, wanted, shut.now)

    assert found == {("t", "ready"): True, ("free", "ready"): [1]}
    assert owners == {shut.task().id, shut.task("free").id}


def test_a_change_of_an_entry_is_reported(shut: World) -> None:
    shut.set("ready", True)
    shut.do(delete_entry("t", "ready"))

    assert shut.effects == [KvWritten(shut.task().id)] * 2


def test_an_unreadable_definition_releases_no_run(shut: World) -> None:
    shut.run_now()
    with shut.transaction() as tx:
        unreadable = text("UPDATE task SET definition = replace(definition, 'kv', 'xx')")
        tx.connection.execute(unreadable)

    (found,) = waiting(shut)

    assert found.constraints is None


def test_added_constraints_block_runs_that_were_queued_before(shut: World) -> None:
    running = shut.start("free")
    queued = shut.run_now("free")
    delayed = shut.run_now("free", scheduled_for=NOON + HOUR)

    with shut.transaction() as tx:
        constraint_release.change_constraints(tx, running.task_id, constrained=True)
        assert tx.effects == [RunsConstrained()]

    assert state(shut.run(running.id)) == (RunStatus.RUNNING, ())
    assert state(shut.run(queued.id)) == (RunStatus.BLOCKED, PENDING)
    assert state(shut.run(delayed.id)) == (RunStatus.QUEUED, ())
    shut.clock.advance(HOUR)
    shut.do(ReleaseDelayed(10))
    assert state(shut.run(delayed.id)) == (RunStatus.BLOCKED, PENDING)


def test_constraints_that_go_hold_nothing_any_more(shut: World) -> None:
    waits = shut.run_now()
    delayed = shut.run_now(scheduled_for=NOON + HOUR)

    with shut.transaction() as tx:
        constraint_release.change_constraints(tx, waits.task_id, constrained=False)

    assert [task.runs for task in waiting(shut)] == [1]
    shut.clock.advance(HOUR)
    shut.do(ReleaseDelayed(10))
    assert state(shut.run(delayed.id)) == (RunStatus.QUEUED, ())
