"""A backfill moves on with its runs in one commit, so that none is made twice and none is lost."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, event, update

from rota.db import tables
from rota.domain.backfills import Backfill
from rota.domain.effects import BackfillStarted, DueSooner, RunEnded, RunsReady
from rota.domain.runs.status import RunStatus, Trigger
from rota.errors import Conflict, NotFound
from rota.store.scheduling.backfill import AdvanceBackfill, CancelBackfill, EndBackfill
from rota.store.scheduling.backfill_rows import (
    find_backfill,
    list_backfills,
    read_schedule,
    unfinished,
)
from rota.store.tasks.lifecycle import Purge
from tests.support.backfills import begin, beginning
from tests.support.factories import HOUR, MINUTE, NOON, World, define, triggers

FIRST = NOON + MINUTE


def advance(world: World, read: Backfill, times: Sequence[datetime], then: Any = None) -> int:
    return world.do(AdvanceBackfill(read=read, times=tuple(times), next_at=then))


def present(world: World, of: Backfill) -> Backfill:
    return world.read(find_backfill, of.task_id, of.id)


@pytest.fixture
def hourly(world: World) -> World:
    """A world whose task `t` was registered at noon, an hour ago, and fires every minute."""
    world.register()
    world.clock.advance(HOUR)
    return world


def test_a_backfill_that_has_begun_has_made_nothing_yet(hourly: World) -> None:
    begun = begin(hourly)

    assert (begun.runs, begun.made, begun.next_at) == (10, 0, FIRST)
    assert (begun.task, begun.finished_at, begun.created_by) == ("t", None, "me")
    assert begun.span.schedule == hourly.task().definition.schedule
    assert BackfillStarted() in hourly.effects
    assert hourly.runs() == []


def test_one_without_fire_times_is_finished_at_once(hourly: World) -> None:
    begun = begin(hourly, minutes=0)

    assert (begun.runs, begun.next_at, begun.finished_at) == (0, None, hourly.now)
    assert hourly.read(unfinished, None, 9) == []


def test_its_runs_represent_their_fire_times_with_the_input_of_the_task(hourly: World) -> None:
    hourly.register("u", input={"a": 1}, priority=3, queue="q")
    hourly.clock.advance(HOUR)
    begun = begin(hourly, name="u", minutes=200)

    assert advance(hourly, begun, [NOON + 61 * MINUTE, NOON + 62 * MINUTE], NOON) == 2

    made = hourly.runs("u")
    assert [run.scheduled_for for run in made] == [NOON + 61 * MINUTE, NOON + 62 * MINUTE]
    assert triggers(made) == [Trigger.BACKFILL] * 2
    assert {(run.backfill_id, run.input, run.priority, run.queue) for run in made} == {
        (begun.id, '{"a":1}', 3, "q")
    }
    assert {run.status for run in made} == {RunStatus.QUEUED}
    assert RunsReady("q") in hourly.effects


def test_a_fire_time_that_has_its_run_gets_another_one(hourly: World) -> None:
    hourly.clock.set(FIRST)
    hourly.fire()
    assert [run.scheduled_for for run in hourly.runs()] == [FIRST]

    advance(hourly, begin(hourly), [FIRST])

    assert sorted(triggers(hourly.runs())) == [Trigger.BACKFILL, Trigger.SCHEDULE]


def test_a_backfill_that_another_replica_has_advanced_makes_no_runs(hourly: World) -> None:
    read = begin(hourly)

    made = [advance(hourly, read, [FIRST], FIRST + MINUTE) for _ in range(3)]

    assert made == [1, 0, 0]
    moved = present(hourly, read)
    assert (moved.made, moved.next_at, moved.finished_at) == (1, FIRST + MINUTE, None)
    assert len(hourly.runs()) == 1


def test_it_has_finished_when_all_are_made(hourly: World) -> None:
    begun = begin(hourly, minutes=1)

    advance(hourly, begun, [FIRST])

    ended = present(hourly, begun)
    assert (ended.made, ended.next_at, ended.finished_at) == (1, None, hourly.now)
    assert hourly.read(unfinished, None, 9) == []


def test_there_is_room_for_as_many_as_may_be_unfinished(hourly: World) -> None:
    begun = begin(hourly, max_concurrent=3)
    other = begin(hourly, max_concurrent=3)
    hourly.run_now()

    advance(hourly, begun, [FIRST, FIRST + MINUTE], FIRST)
    rooms = {each.backfill.id: each.room for each in hourly.read(unfinished, None, 9)}

    assert rooms == {begun.id: 1, other.id: 3}
    for claimed in hourly.claim():
        hourly.succeed(claimed)
    rooms = {each.backfill.id: each.room for each in hourly.read(unfinished, None, 9)}
    assert rooms[begun.id] == 3
    ended = [effect for effect in hourly.effects if isinstance(effect, RunEnded)]
    assert Trigger.BACKFILL in {effect.trigger for effect in ended}


def test_unfinished_ones_are_read_page_by_page(hourly: World) -> None:
    begun = [begin(hourly).id for _ in range(5)]
    found: list[Any] = []

    while page := hourly.read(unfinished, found[-1] if found else None, 2):
        found.extend(each.backfill.id for each in page)

    assert found == sorted(begun)


def test_spaced_runs_wait_for_their_times(hourly: World) -> None:
    begun = begin(hourly, max_concurrent=3, spacing=timedelta(seconds=10))
    now = hourly.now
    step = timedelta(seconds=10)

    advance(hourly, begun, [FIRST, FIRST + MINUTE], FIRST + 2 * MINUTE)
    read = present(hourly, begun)
    advance(hourly, read, [FIRST + 2 * MINUTE], FIRST + 3 * MINUTE)

    assert [run.not_before for run in hourly.runs()] == [None, now + step, now + 2 * step]
    assert DueSooner(now + step) in hourly.effects
    hourly.clock.advance(HOUR)  # the time has long come: nothing is made up for
    advance(hourly, present(hourly, begun), [FIRST + 3 * MINUTE, FIRST + 4 * MINUTE], FIRST)
    assert [run.not_before for run in hourly.runs()][3:] == [None, hourly.now + step]


def test_runs_of_a_paused_task_wait_for_its_resumption(hourly: World) -> None:
    begun = begin(hourly)
    hourly.pause()

    advance(hourly, begun, [FIRST], FIRST + MINUTE)
    waiting = hourly.runs()[0]

    assert (waiting.status, waiting.waiting_on) == (RunStatus.BLOCKED, ("paused",))
    hourly.resume()
    assert hourly.run(waiting.id).status is RunStatus.QUEUED


def test_runs_with_an_unknown_handler_wait_for_it(hourly: World) -> None:
    begun = begin(hourly)
    with hourly.transaction() as tx:
        tx.connection.execute(delete(tables.replica))

    advance(hourly, begun, [FIRST])

    assert hourly.runs()[0].waiting_on == ("handler",)


@pytest.mark.parametrize("verb", ["cancel", "delete", "replace"])
def test_it_ends_with_its_task(hourly: World, verb: str) -> None:
    begun = begin(hourly)
    advance(hourly, begun, [FIRST], FIRST + MINUTE)

    if verb == "replace":
        hourly.register(on_conflict="replace")
    else:
        getattr(hourly, verb)()

    assert hourly.read(unfinished, None, 9) == []
    assert advance(hourly, replace(begun, made=1), [FIRST + MINUTE], FIRST) == 0
    assert hourly.count(tables.run, tables.run.c.finished_at.is_(None)) == 0


def test_a_backfill_ends_when_its_task_is_cancelled(hourly: World) -> None:
    begun = begin(hourly)
    with hourly.transaction() as tx:
        tx.connection.execute(update(tables.task).values(status="cancelled"))

    assert advance(hourly, begun, [FIRST], FIRST + MINUTE) == 0

    assert present(hourly, begun).finished_at == hourly.now
    assert hourly.runs() == []


def test_a_new_task_of_the_same_name_does_not_continue_the_backfill(hourly: World) -> None:
    begun = begin(hourly)
    hourly.delete()
    hourly.register()

    assert advance(hourly, begun, [FIRST], FIRST + MINUTE) == 0
    assert hourly.runs() == []


def test_it_does_not_begin_on_a_task_that_was_changed_or_cancelled_meanwhile(
    hourly: World,
) -> None:
    command = beginning(hourly)
    hourly.register(on_conflict="update", priority=1)

    with pytest.raises(Conflict, match="try again"):
        hourly.do(command)
    hourly.cancel()
    with pytest.raises(Conflict, match="cancelled"):
        hourly.do(command)
    with pytest.raises(NotFound):
        hourly.do(replace(command, task="other"))
    assert hourly.count(tables.backfill) == 0


def test_it_keeps_the_schedule_that_it_began_with(hourly: World) -> None:
    begun = begin(hourly)

    hourly.register(on_conflict="update", schedule={"type": "interval", "every": 7})

    assert present(hourly, begun).span == begun.span


def test_a_schedule_that_this_version_cannot_read_is_unplannable() -> None:
    assert read_schedule('{"type":"lunar"}').type == "unreadable"


def test_ending_a_backfill_keeps_its_runs(hourly: World) -> None:
    begun = begin(hourly)
    advance(hourly, begun, [FIRST], FIRST + MINUTE)

    for _ in range(2):
        hourly.do(EndBackfill(begun.id))

    assert present(hourly, begun).finished_at == hourly.now
    assert hourly.runs()[0].status is RunStatus.QUEUED


def test_cancelling_one_cancels_its_runs_and_no_others(hourly: World) -> None:
    hourly.register("other", overlap_policy="allow")
    begun = begin(hourly, max_concurrent=2)
    beside = begin(hourly)
    advance(hourly, begun, [FIRST, FIRST + MINUTE], FIRST + 2 * MINUTE)
    advance(hourly, beside, [FIRST + 5 * MINUTE], FIRST)
    running = hourly.claim(1)[0]
    manual = hourly.run_now("other")

    cancelled = hourly.do(CancelBackfill(task="t", id=begun.id))

    assert (cancelled.made, cancelled.finished_at) == (2, hourly.now)
    statuses = [run.status for run in hourly.runs()]
    assert statuses == [RunStatus.RUNNING, RunStatus.CANCELLED, RunStatus.QUEUED]
    assert hourly.run(running.id).cancel_requested_at is not None
    assert hourly.run(manual.id).status is RunStatus.QUEUED
    with pytest.raises(NotFound):
        hourly.do(CancelBackfill(task="other", id=begun.id))


def test_a_task_lists_its_own_newest_first(hourly: World) -> None:
    hourly.register("other")
    begun = [begin(hourly).id for _ in range(3)]
    begin(hourly, name="other")
    task = hourly.task().id

    found = [each.id for each in hourly.read(list_backfills, task, None, 2)]
    rest = [each.id for each in hourly.read(list_backfills, task, found[-1], 2)]

    assert found + rest == sorted(begun, reverse=True)


def test_they_go_with_the_rows_of_their_task(hourly: World) -> None:
    for _ in range(3):
        begin(hourly)
    hourly.delete()

    while hourly.do(Purge(2)):
        pass

    assert (hourly.count(tables.backfill), hourly.count(tables.task)) == (0, 0)


def test_a_definition_without_its_defaults_is_read_back_as_it_was() -> None:
    for schedule in (
        {"type": "interval", "every": "90s"},
        {"type": "cron", "expression": "0 9 * * 1-5", "timezone": "Europe/Berlin"},
        {"type": "once", "at": "2026-12-24T17:30:00", "timezone": "Europe/Berlin"},
    ):
        declared = define(schedule=schedule).schedule
        assert read_schedule(declared.model_dump_json(exclude_defaults=True)) == declared


@pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)
def test_neither_the_history_nor_finished_backfills_are_scanned(hourly: World) -> None:
    statements: list[tuple[str, Any]] = []
    with hourly.database.read() as connection:
        event.listen(
            connection,
            "before_cursor_execute",
            lambda *given: statements.append((given[2], given[3])),
        )
        unfinished(connection, None, 9)
        statement, parameters = statements[-1]
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        steps = " ".join(str(row[3]) for row in plan)

    assert "backfill USING INDEX ix_backfill_unfinished" in steps
    assert "run USING INDEX ix_run_unfinished" in steps
