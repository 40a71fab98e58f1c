"""Firing: compare-and-set against concurrent changes; every fire time becomes exactly one run."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, insert, select
from sqlalchemy.exc import IntegrityError

from rota.db import tables
from rota.domain.effects import RunEnded, RunsReady
from rota.domain.reasons import SkipReason
from rota.domain.runs.plan import DueTask
from rota.domain.runs.planning import plan
from rota.domain.runs.status import RunStatus, Trigger
from rota.domain.tasks.definition import OnConflict, TaskStatus
from rota.store.completion.finish import Reap
from rota.store.runs.claiming.claim import ReleaseDelayed
from rota.store.runs.new_run import new_run
from rota.store.scheduling.due import due_tasks, earliest_due
from rota.store.scheduling.fire import Fire, HeldError, OvertakenError, PauseUnplannable
from tests.support.constraints import violated
from tests.support.factories import (
    BROKEN,
    DAY,
    HOUR,
    MINUTE,
    NOON,
    World,
    foreign_lock,
    once,
    together,
)


def _due(world: World) -> list[DueTask]:
    return world.read(due_tasks, world.now, 100)


def _read_to_fire(world: World) -> Fire:
    """Return the firing of the one task that is due, as a firing pass has read it."""
    (due,) = _due(world)
    return Fire(due, plan(due, world.now))


def _scheduled(world: World, name: str = "t") -> list[Any]:
    return world.runs(name, trigger=("schedule",))


# --- reading
def test_tasks_are_due_from_their_fire_time_on_the_earliest_first(world: World) -> None:
    world.register("late", schedule=once(NOON + 3 * MINUTE))
    world.register("early", schedule=once(NOON + MINUTE))
    world.register("middle", schedule=once(NOON + 2 * MINUTE))
    world.register("manual", schedule={"type": "manual"})

    world.clock.set(NOON + 2 * MINUTE)
    names = [due.name for due in _due(world)]
    first = world.read(due_tasks, world.now, 1)

    assert names == ["early", "middle"]
    assert [due.name for due in first] == ["early"]
    assert world.read(due_tasks, NOON + MINUTE - timedelta(milliseconds=1), 9) == []


@pytest.mark.parametrize("leave", ["pause", "cancel", "delete"])
def test_only_active_tasks_are_due(world: World, leave: str) -> None:
    world.register()
    getattr(world, leave)()
    world.clock.advance(HOUR)

    assert _due(world) == []
    assert world.read(earliest_due) is None


def test_the_next_due_time_is_that_of_a_fire_time_or_a_waiting_run(world: World) -> None:
    world.register(schedule=once(NOON + HOUR), overlap_policy="allow")
    fires = world.read(earliest_due)
    world.run_now(scheduled_for=NOON + MINUTE)
    waits = world.read(earliest_due)

    assert (fires, waits) == (NOON + HOUR, NOON + MINUTE)


# --- firing
def test_firing_queues_a_run_and_moves_the_task_on(world: World) -> None:
    before = world.register(input={"n": 5.0}, queue="slow", priority=7)
    world.clock.advance(MINUTE)
    fire = _read_to_fire(world)
    world.effects.clear()

    assert world.do(fire) == 1

    (run,) = world.runs()
    after = world.task()
    assert (run.trigger, run.status) == (Trigger.SCHEDULE, RunStatus.QUEUED)
    assert (run.scheduled_for, run.created_at) == (NOON + MINUTE, NOON + MINUTE)
    assert (run.queue, run.priority, run.input) == ("slow", 7, '{"n":5.0}')
    assert run.task_generation == 1
    assert after == replace(before, next_fire_at=NOON + 2 * MINUTE, fired=1)
    assert world.effects == [RunsReady("slow")]


def test_a_task_without_a_fire_time_left_has_completed(world: World) -> None:
    world.register(schedule=once(NOON + MINUTE))
    world.clock.advance(MINUTE)

    world.fire()

    task = world.task()
    assert (task.status, task.next_fire_at) == (TaskStatus.COMPLETED, None)
    assert (task.status_changed_at, task.status_changed_by) == (NOON + MINUTE, "rota")
    assert len(_scheduled(world)) == 1


def test_fire_times_that_passed_during_an_outage_are_one_skipped_run(world: World) -> None:
    world.register()
    world.clock.advance(10 * MINUTE + MINUTE / 2)

    world.fire()

    gap, last = _scheduled(world)
    assert (gap.status, gap.reason, gap.count) == (RunStatus.SKIPPED, SkipReason.MISFIRE, 9)
    assert (gap.scheduled_for, gap.scheduled_until) == (NOON + MINUTE, NOON + 9 * MINUTE)
    assert gap.finished_at == world.now
    assert (last.status, last.scheduled_for) == (RunStatus.QUEUED, NOON + 10 * MINUTE)
    assert world.task().next_fire_at == NOON + 11 * MINUTE


def test_an_outage_is_caught_up_in_bounded_steps(world: World) -> None:
    world.register(schedule={"type": "cron", "expression": "* * * * *"})
    world.clock.advance(10 * MINUTE)
    steps = 0

    while due := _due(world):
        world.do(Fire(due[0], plan(due[0], world.now, most=4)))
        steps += 1

    runs = _scheduled(world)
    assert steps == 3
    assert [(run.status.value, run.count) for run in runs] == [
        ("skipped", 9),
        ("queued", 1),
    ]
    assert runs[-1].scheduled_for == NOON + 10 * MINUTE
    assert sum(run.count for run in runs) == 10


def test_a_whole_batch_fires_in_one_commit(world: World) -> None:
    for number in range(20):
        world.register(f"t{number:02}", queue="a" if number % 2 else "b")
    world.clock.advance(3 * MINUTE)
    fires = [Fire(due, plan(due, world.now)) for due in _due(world)]
    world.effects.clear()

    answers = together(world.writer, fires)

    assert [answer.result() for answer in answers] == [1] * 20
    assert [each for each in world.effects if isinstance(each, RunsReady)] == [
        RunsReady("a"),
        RunsReady("b"),
    ]
    assert world.count(tables.run) == 40
    assert _due(world) == []


def test_a_run_with_an_unknown_handler_is_blocked_from_the_start(world: World) -> None:
    world.end_lease(world.holder)
    world.do(Reap())
    world.enlist("other")
    world.register()
    world.clock.advance(MINUTE)
    world.effects.clear()

    assert world.do(_read_to_fire(world)) == 0

    (run,) = world.runs()
    assert (run.status, run.waiting_on) == (RunStatus.BLOCKED, ("handler",))
    assert world.effects == []


# --- overlap
@pytest.mark.parametrize("unfinished", ["queued", "running", "retry", "paused"])
def test_a_fire_time_that_meets_an_unfinished_run_is_skipped(world: World, unfinished: str) -> None:
    world.register()
    if unfinished == "queued":
        world.run_now()
    else:
        claimed = world.start()
        if unfinished == "retry":
            world.end(claimed, BROKEN)
        if unfinished == "paused":
            world.pause()
            world.end(claimed, BROKEN)
            _activate_behind_our_back(world)
    world.clock.advance(MINUTE)
    world.effects.clear()

    answer = world.do(_read_to_fire(world))

    (run,) = _scheduled(world)
    assert answer == 0
    assert (run.status, run.reason) == (RunStatus.SKIPPED, SkipReason.OVERLAP)
    assert (run.scheduled_for, run.finished_at) == (NOON + MINUTE, world.now)
    assert world.effects == [
        RunEnded(run.id, run.task_id, "skipped", "overlap", "schedule"),
    ]
    assert world.task().next_fire_at == NOON + 2 * MINUTE


def _activate_behind_our_back(world: World) -> None:
    with world.transaction() as tx:
        tx.connection.execute(tables.task.update().values(status=TaskStatus.ACTIVE))


def test_an_overlap_after_an_outage_keeps_the_gap_and_skips_the_last(world: World) -> None:
    world.register()
    world.start()
    world.clock.advance(5 * MINUTE)

    world.fire()

    gap, last = _scheduled(world)
    assert (gap.reason, gap.count) == (SkipReason.MISFIRE, 4)
    assert (last.reason, last.count) == (SkipReason.OVERLAP, 1)


def test_runs_pile_up_where_overlap_is_allowed(world: World) -> None:
    world.register(overlap_policy="allow")

    for _ in range(3):
        world.clock.advance(MINUTE)
        world.fire()

    assert [run.status for run in _scheduled(world)] == [RunStatus.QUEUED] * 3


def test_a_run_that_has_finished_is_no_overlap(world: World) -> None:
    world.register()
    world.succeed(world.start())
    world.clock.advance(MINUTE)

    world.fire()

    assert [run.status for run in _scheduled(world)] == [RunStatus.QUEUED]


# --- compare and set
MEANWHILE: dict[str, Callable[[World], Any]] = {
    "edit": lambda world: world.register(on_conflict=OnConflict.UPDATE, description="new"),
    "pause": lambda world: world.pause(),
    "cancel": lambda world: world.cancel(),
    "delete": lambda world: world.delete(),
    "fire": lambda world: world.fire(),
    "move": lambda world: world.registration(
        on_conflict=OnConflict.UPDATE, overlap_policy="allow", next_fire=world.now + HOUR
    ),
}


@pytest.mark.parametrize("meanwhile", list(MEANWHILE))
def test_a_concurrent_change_of_the_task_wins(world: World, meanwhile: str) -> None:
    world.register(overlap_policy="allow")
    world.clock.advance(MINUTE)
    fire = _read_to_fire(world)
    MEANWHILE[meanwhile](world)
    rows = world.count(tables.run)

    with pytest.raises(OvertakenError):
        world.do(fire)

    assert world.count(tables.run) == rows


def test_an_overtaken_task_does_not_hold_up_its_neighbours(world: World) -> None:
    for name in ("a", "b", "c"):
        world.register(name)
    world.clock.advance(MINUTE)
    fires = [Fire(due, plan(due, world.now)) for due in _due(world)]
    world.pause(fires[1].due.name)

    first, overtaken, last = together(world.writer, fires)

    assert (first.result(), last.result()) == (1, 1)
    assert isinstance(overtaken.exception(), OvertakenError)
    assert world.runs(fires[1].due.name) == []


def test_two_replicas_that_read_the_same_fire_it_once(world: World) -> None:
    world.register(overlap_policy="allow")
    world.clock.advance(MINUTE)
    first, second = _read_to_fire(world), _read_to_fire(world)

    answers = together(world.writer, [first, second])

    errors = [answer.exception() for answer in answers]
    assert [type(error) for error in errors] == [type(None), OvertakenError]
    assert [run.scheduled_for for run in _scheduled(world)] == [NOON + MINUTE]


# --- the unique index
def test_no_second_run_of_a_fire_time_can_be_inserted(world: World) -> None:
    task = world.register()
    row = vars(new_run(task.definition, NOON, task.id, 1, Trigger.SCHEDULE, NOON, "{}"))
    other = row | {"id": task.id}
    manual = other | {"trigger": Trigger.MANUAL}

    with world.transaction() as tx:
        tx.connection.execute(insert(tables.run), [row, manual])
    with pytest.raises(IntegrityError) as refused, world.transaction() as tx:
        tx.connection.execute(insert(tables.run), other | {"id": world.holder})

    assert violated(refused.value) == "uq_run_task_scheduled_for"


def test_a_clock_that_was_set_back_doubles_nothing(world: World) -> None:
    world.register(schedule={"type": "cron", "expression": "* * * * *"}, overlap_policy="allow")
    world.clock.advance(5 * MINUTE)
    world.fire()
    world.clock.set(NOON + 2 * MINUTE)
    world.register(
        on_conflict=OnConflict.UPDATE,
        schedule={"type": "cron", "expression": "*/1 * * * *"},
        overlap_policy="allow",
    )
    assert world.task().next_fire_at == NOON + 3 * MINUTE

    for _ in range(4):
        world.clock.advance(MINUTE)
        world.fire()

    queued = [run.scheduled_for for run in _scheduled(world) if run.status is RunStatus.QUEUED]
    assert len(set(queued)) == len(queued)
    assert queued.count(NOON + 5 * MINUTE) == 1
    assert world.task().next_fire_at == NOON + 7 * MINUTE


# --- what cannot be planned
def test_a_task_that_cannot_be_planned_is_paused_with_its_waiting_runs(world: World) -> None:
    world.register()
    waiting = world.run_now()
    world.clock.advance(MINUTE)
    (due,) = _due(world)

    assert world.do(PauseUnplannable(due)) is True
    task = world.task()

    assert (task.status, task.status_reason) == (TaskStatus.PAUSED, "unplannable")
    assert (task.status_changed_at, task.status_changed_by) == (NOON + MINUTE, "rota")
    assert task.next_fire_at == NOON + MINUTE
    assert world.run(waiting.id).waiting_on == ("paused",)
    assert _due(world) == []


@pytest.mark.parametrize("meanwhile", ["edit", "cancel", "delete"])
def test_a_task_that_was_changed_meanwhile_is_not_paused(world: World, meanwhile: str) -> None:
    world.register()
    world.clock.advance(MINUTE)
    (due,) = _due(world)
    MEANWHILE[meanwhile](world)

    assert world.do(PauseUnplannable(due)) is False


def test_a_fired_run_is_executed_like_any_other(world: World) -> None:
    world.register(schedule=once(NOON + DAY))
    world.clock.advance(DAY)
    world.fire()

    (claimed,) = world.claim()
    world.succeed(claimed, "1", cursor=1)

    assert world.runs()[0].status is RunStatus.SUCCEEDED
    assert world.do(ReleaseDelayed(9)) == 0


# --- together
@pytest.mark.parametrize("database_engine", ["postgresql"], indirect=True)
class TestOnPostgresql:
    pytestmark = pytest.mark.postgres

    def test_tasks_that_fire_together_are_locked_in_the_order_of_their_ids_before_they_are_changed(
        self, world: World
    ) -> None:
        """Otherwise replicas that fire the same tasks deadlock: a plan may lock them in any order."""
        for number in range(40):
            world.register(f"t{number}", schedule=once(NOON + MINUTE * (40 - number)))
        world.clock.advance(HOUR)
        fires = [Fire(due, plan(due, world.now)) for due in _due(world)]
        statements: list[str] = []

        with world.transaction() as tx:

            @event.listens_for(tx.connection, "before_cursor_execute")
            def _note(*given: Any) -> None:
                statements.append(" ".join(given[2].split()))

            Fire.apply_all(tx, fires)

        about_tasks = [each for each in statements if "FROM task" in each or "UPDATE task" in each]
        assert about_tasks[0].endswith("ORDER BY task.id FOR UPDATE SKIP LOCKED")
        assert [each.startswith("UPDATE task") for each in about_tasks[1:]].count(True) == 1

    def test_a_locked_task_is_left_out_and_the_others_fire(self, world: World) -> None:
        for number in range(40):
            world.register(f"t{number:02}")
        world.clock.advance(MINUTE)
        fires = [Fire(due, plan(due, world.now)) for due in _due(world)]

        with foreign_lock(world, _row_of("t07")):
            answers = together(world.writer, fires)

        left = {
            fire.due.name: answer.exception()
            for fire, answer in zip(fires, answers, strict=True)
            if answer.exception() is not None
        }
        assert [(name, type(error)) for name, error in left.items()] == [("t07", HeldError)]
        assert [due.name for due in _due(world)] == ["t07"]
        assert world.count(tables.run) == 39
        world.fire()
        assert [run.scheduled_for for run in _scheduled(world, "t07")] == [NOON + MINUTE]

    def test_skipped_tasks_are_not_read_again(self, world: World) -> None:
        for number in range(4):
            world.register(f"t{number}", schedule=once(NOON + MINUTE * (number + 1)))
        world.clock.set(NOON + 3 * MINUTE)
        first, second, _ = _due(world)

        found = world.read(due_tasks, world.now, 9, without={first.id, second.id})

        assert [due.name for due in found] == ["t2"]
        assert world.read(earliest_due, {first.id, second.id}) == NOON + 3 * MINUTE

    def test_a_locked_run_is_not_released(self, world: World) -> None:
        world.register(schedule={"type": "manual"}, overlap_policy="allow")
        held, free = (world.run_now(scheduled_for=NOON + MINUTE * number) for number in (1, 2))
        world.clock.advance(HOUR)

        with foreign_lock(world, select(tables.run.c.id).where(tables.run.c.id == held.id)):
            assert world.do(ReleaseDelayed(9)) == 1
            assert [run.id for run in world.claim()] == [free.id]

        assert world.do(ReleaseDelayed(9)) == 1
        assert [run.id for run in world.claim()] == [held.id]


def _row_of(name: str) -> Any:
    return select(tables.task.c.id).where(tables.task.c.name == name)
