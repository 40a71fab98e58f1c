"""History beyond what a task keeps is removed, the last success stays; tasks that have ended are removed in time."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from rota.db import tables
from rota.domain.effects import TaskDeleted
from rota.domain.policies import RetryPolicy
from rota.domain.primitives.ids import Id
from rota.domain.runs.model import LogLine
from rota.domain.tasks.definition import Registered, TaskStatus
from rota.store.scheduling.backfill import EndBackfill
from rota.store.tasks.lifecycle import Purge
from rota.store.tasks.retention import (
    RemoveEnded,
    RemoveRuns,
    beyond_age,
    beyond_count,
    ended_tasks,
)
from tests.support.backfills import begin
from tests.support.factories import BROKEN, DAY, HOUR, MINUTE, NOON, World, numbered

LAST = RetryPolicy(max_attempts=1)


def _finished(world: World, *, succeeds: bool, name: str = "t") -> Id:
    """Make a finished run, a minute later than the last."""
    world.clock.advance(MINUTE)
    claimed = world.start(name)
    world.succeed(claimed) if succeeds else world.end(claimed, BROKEN, retry=LAST)
    return claimed.id


@pytest.fixture
def keeping(world: World) -> World:
    """A world whose task `t` keeps two runs, for an hour."""
    world.register(
        schedule={"type": "manual"},
        overlap_policy="allow",
        retention={"runs": 2, "age": "1h"},
    )
    return world


def _surplus(world: World, limit: int = 99) -> list[Id]:
    return world.read(beyond_count, [world.task().id], limit)


def test_the_newest_runs_are_kept_and_the_last_success_beside_them(keeping: World) -> None:
    results = [False, True, False, True, False, False, False]
    ids = [_finished(keeping, succeeds=succeeds) for succeeds in results]

    surplus = _surplus(keeping)

    assert set(surplus) == {ids[4], ids[2], ids[1], ids[0]}  # not ids[3]
    assert keeping.do(RemoveRuns(tuple(surplus))) == 4
    assert {run.id for run in keeping.runs()} == {ids[3], ids[5], ids[6]}
    assert _surplus(keeping) == []


def test_unfinished_runs_are_never_surplus(keeping: World) -> None:
    waiting = [keeping.run_now().id for _ in range(5)]

    assert _surplus(keeping) == []
    assert keeping.do(RemoveRuns(tuple(waiting))) == 0
    assert len(keeping.runs()) == 5


def test_surplus_is_found_in_bounded_steps(keeping: World) -> None:
    for _ in range(6):
        _finished(keeping, succeeds=False)

    assert len(_surplus(keeping, limit=3)) == 3


def test_each_task_has_its_own_retention(keeping: World) -> None:
    keeping.register("u", overlap_policy="allow", retention={"runs": 1})
    for _ in range(3):
        _finished(keeping, succeeds=False)
        _finished(keeping, succeeds=False, name="u")
    tasks = [keeping.task("t").id, keeping.task("u").id]

    both = keeping.read(beyond_count, tasks, 99)

    assert len(both) == 1 + 2
    assert len(keeping.read(beyond_count, tasks, 1)) == 1


def test_with_a_run_go_its_attempts_and_its_lines(keeping: World) -> None:
    claimed = keeping.start()
    keeping.end(claimed, BROKEN, lines=(LogLine(1, NOON, "info", "x"),))
    keeping.clock.advance(HOUR)
    with keeping.transaction() as tx:
        tx.connection.execute(
            tables.run.update().values(
                status="failed", reason="error", finished_at=NOON, not_before=None
            )
        )

    assert keeping.do(RemoveRuns((claimed.id,))) == 1

    rest = [keeping.count(table) for table in (tables.attempt, tables.run_log, tables.task)]
    assert rest == [0, 0, 1]


def test_a_task_whose_last_run_was_removed_has_none(keeping: World) -> None:
    last = _finished(keeping, succeeds=False)
    assert keeping.task().last_run is not None

    keeping.do(RemoveRuns((last,)))

    assert keeping.task().last_run is None


def test_old_runs_go_but_not_the_last_success(keeping: World) -> None:
    ids = [_finished(keeping, succeeds=succeeds) for succeeds in (True, True, False)]
    keeping.clock.advance(HOUR)
    young = _finished(keeping, succeeds=False)
    keeping.clock.advance(2 * MINUTE)

    old, position = keeping.read(beyond_age, keeping.now, None, 99)

    assert set(old) == {ids[0], ids[2]}
    assert position is None
    assert young not in old


def test_a_sweep_continues_where_the_last_one_stopped(keeping: World) -> None:
    ids = [_finished(keeping, succeeds=False) for _ in range(5)]
    keeping.clock.advance(DAY)

    found: list[Id] = []
    steps, position = 0, None
    while True:
        old, position = keeping.read(beyond_age, keeping.now, position, 2)
        found.extend(old)
        steps += 1
        if position is None:
            break

    assert found == ids
    assert steps == 3


def test_age_counts_from_the_end_of_a_run(keeping: World) -> None:
    claimed = keeping.start()
    keeping.clock.advance(DAY)
    keeping.end(claimed, BROKEN, retry=LAST)

    just_now, _ = keeping.read(beyond_age, keeping.now + HOUR, None, 9)
    later, _ = keeping.read(beyond_age, keeping.now + HOUR + timedelta(milliseconds=1), None, 9)

    assert (just_now, later) == ([], [claimed.id])


def test_a_task_that_always_succeeds_keeps_the_declared_number_of_runs(keeping: World) -> None:
    made = [_finished(keeping, succeeds=True) for _ in range(5)]

    assert set(_surplus(keeping)) == set(made[:3])


def test_recent_runs_of_a_backfill_are_kept_for_any_scheduled_time(keeping: World) -> None:
    recent = [_finished(keeping, succeeds=True) for _ in range(2)]
    long_past = keeping.run_now(scheduled_for=NOON - DAY)
    keeping.clock.advance(MINUTE)
    keeping.succeed(keeping.claim()[0])

    assert _surplus(keeping) == [recent[0]]
    assert keeping.run(long_past.id).finished_at == keeping.now


def _ended(world: World, keep: timedelta = 7 * DAY, after: Any = None, limit: int = 99) -> Any:
    found, position = world.read(ended_tasks, world.now, keep, after, limit)
    return [each.name for each in found], position


def _remove(world: World, keep: timedelta = 7 * DAY) -> int:
    found, _ = world.read(ended_tasks, world.now, keep, None, 99)
    return world.do(RemoveEnded(tuple(found)))


MANUAL: dict[str, Any] = {"schedule": {"type": "manual"}}


def test_ended_tasks_are_removed_after_their_own_time_or_the_general_one(world: World) -> None:
    for name, own in (("own", "1h"), ("none", None), ("at-once", 0), ("long", "30d")):
        world.register(name, **MANUAL, delete_after=own)
        world.cancel(name)
    world.register("going-on", **MANUAL, delete_after=0)
    world.register("done", schedule={"type": "once", "delay": 0})
    world.fire()
    for claimed in world.claim():
        world.succeed(claimed)

    def over(later: timedelta) -> list[str]:
        found, _ = world.read(ended_tasks, NOON + later, 7 * DAY, None, 99)
        return sorted(each.name for each in found)

    assert over(timedelta(0)) == ["at-once"]
    assert over(HOUR) == ["at-once", "own"]
    assert over(7 * DAY - timedelta(milliseconds=1)) == ["at-once", "own"]
    assert over(7 * DAY) == ["at-once", "done", "none", "own"]
    assert over(30 * DAY) == ["at-once", "done", "long", "none", "own"]


def test_an_ended_task_is_kept_for_the_requested_age_of_its_history(world: World) -> None:
    once = {"type": "once", "at": NOON.isoformat()}
    for name, retention in (("year", {"age": "365d"}), ("many", {"runs": 5000}), ("usual", {})):
        world.register(name, schedule=once, retention=retention)
        world.cancel(name)

    world.clock.advance(8 * DAY)
    first = _remove(world)
    world.clock.advance(360 * DAY)

    assert (first, _remove(world)) == (2, 1)


def test_a_declared_task_is_kept(world: World) -> None:
    world.register("posted", **MANUAL)
    world.register("put", **MANUAL, declared=True)
    world.register("put-over", **MANUAL)
    unchanged = world.registration("put-over", **MANUAL, declared=True, on_conflict="update")
    for name in ("posted", "put", "put-over"):
        world.cancel(name)
    world.clock.advance(8 * DAY)

    assert unchanged.outcome is Registered.UNCHANGED
    assert unchanged.task.generation == 1
    assert _ended(world) == (["posted"], None)


def test_a_declared_task_stays_declared_when_it_is_posted_again(world: World) -> None:
    world.register(**MANUAL, declared=True)

    for policy in ("update", "replace"):
        world.register(**MANUAL, on_conflict=policy, priority=5)
        assert world.task().declared


def test_an_unfinished_run_keeps_an_ended_task(world: World) -> None:
    world.register(schedule={"type": "once", "delay": 0}, delete_after=0)
    world.fire()
    assert world.task().status is TaskStatus.COMPLETED
    assert _ended(world) == ([], None)

    world.succeed(world.claim()[0])

    assert _ended(world) == (["t"], None)


def test_an_unfinished_backfill_keeps_an_ended_task(world: World) -> None:
    world.register(schedule={"type": "once", "delay": 0}, delete_after=0)
    world.fire()
    world.succeed(world.claim()[0])
    backfill = begin(world)

    assert _ended(world) == ([], None)
    assert _remove(world) == 0

    world.do(EndBackfill(backfill.id))
    assert _ended(world) == (["t"], None)


def test_removing_an_ended_task_is_deleting_it(world: World) -> None:
    ended = world.register(**MANUAL, delete_after=0)
    world.cancel()
    world.effects.clear()

    assert _remove(world) == 1

    assert TaskDeleted(ended.id) in world.effects
    assert world.count(tables.task, tables.task.c.deleted_at.is_not(None)) == 1
    assert _remove(world) == 0
    world.register(**MANUAL)  # its name is free
    while world.do(Purge(10)):
        pass
    assert world.count(tables.task) == 1


def test_tasks_revived_changed_or_declared_meanwhile_are_kept(world: World) -> None:
    for name in ("revived", "changed", "declared", "busy", "ended"):
        world.register(name, **MANUAL, delete_after=0)
        world.cancel(name)
    read, _ = world.read(ended_tasks, world.now, DAY, None, 99)

    world.clock.advance(MINUTE)
    world.register("revived", **MANUAL, delete_after=0, on_conflict="update")
    world.register("changed", **MANUAL, delete_after=9, on_conflict="update")
    world.cancel("changed")
    world.register("declared", **MANUAL, delete_after=0, on_conflict="update", declared=True)
    world.cancel("declared")
    world.register("busy", **MANUAL, delete_after=0, on_conflict="update")
    world.start("busy")
    world.cancel("busy")

    assert len(read) == 5
    assert world.do(RemoveEnded(tuple(read))) == 1
    left = world.count(tables.task, tables.task.c.deleted_at.is_(None))
    assert left == 4


def test_the_walk_over_ended_tasks_continues_where_it_stopped(world: World) -> None:
    for number in range(5):
        world.register(f"t{number}", **MANUAL, delete_after="1d" if number % 2 else 0)
        world.cancel(f"t{number}")
    found: list[str] = []
    steps, position = 0, None

    while True:
        names, position = _ended(world, after=position, limit=2)
        found += names
        steps += 1
        if position is None:
            break

    assert (found, steps) == (["t0", "t2", "t4"], 3)


@pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)
def test_ended_tasks_are_found_by_their_index(world: World) -> None:
    statements: list[tuple[str, Any]] = []
    with world.database.read() as connection:
        event.listen(
            connection,
            "before_cursor_execute",
            lambda *given: statements.append((given[2], given[3])),
        )
        ended_tasks(connection, NOON, DAY, (NOON, numbered(0)), 9)
        statement, parameters = statements[-1]
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        steps = " ".join(str(row[3]) for row in plan)

    assert "task USING INDEX ix_task_ended" in steps
    assert "run USING INDEX ix_run_unfinished" in steps
    assert "backfill USING INDEX ix_backfill_task" in steps
