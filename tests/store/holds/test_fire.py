"""No plan is committed that did not know a hold, and firing costs no statement for holds."""

from datetime import timedelta

import pytest
from sqlalchemy import Connection, create_engine, event, text

from rota.db.tables import hold, task
from rota.domain.holds.model import HeldFireTimes
from rota.domain.runs.planning import plan
from rota.errors import Locked
from rota.store.holds.retention import RemoveHolds, removable_holds
from rota.store.scheduling.due import due_tasks
from rota.store.scheduling.fire import Fire, OvertakenError
from rota.store.scheduling.held_tasks import deferred_tasks
from tests.store.holds.test_changes import end, put
from tests.support.factories import DAY, MINUTE, NOON, World

CATCH_UP = HeldFireTimes.CATCH_UP


def planned(world: World) -> list[Fire]:
    due = world.read(due_tasks, world.now, 100)
    return [Fire(each, plan(each, world.now)) for each in due]


@pytest.mark.parametrize("change", ["set", "end"])
def test_a_plan_that_does_not_know_the_holds_as_they_are_is_not_committed(
    world: World, change: str
) -> None:
    world.register()
    if change == "end":
        put(world)
    world.clock.advance(MINUTE)
    (fire,) = planned(world)
    put(world) if change == "set" else end(world)

    with pytest.raises(OvertakenError):
        world.do(fire)

    assert world.runs() == []
    (again,) = planned(world)
    world.do(again)
    assert len(world.runs()) == 1


def test_a_change_of_holds_that_was_refused_overtakes_nothing(world: World) -> None:
    world.register()
    world.clock.advance(MINUTE)
    (fire,) = planned(world)
    put(world, starts_at=NOON + DAY)
    end(world)

    world.do(fire)

    assert len(world.runs()) == 1


def test_a_task_without_an_end_of_its_hold_is_deferred_and_its_span_stays_open(
    world: World,
) -> None:
    """What is skipped next is added to the span before the deferral."""
    world.register()
    put(world, ends_at=NOON + 2 * MINUTE)
    put(world, "next", fire_times=CATCH_UP, starts_at=NOON + 2 * MINUTE, ends_at=NOON + 4 * MINUTE)
    for minute in (1, 2):
        world.clock.set(NOON + minute * MINUTE)
        world.fire()
    deferred = world.read(deferred_tasks, None, 9, with_tags=True)
    assert [(each.name, each.deferred_until) for each in deferred] == [("t", NOON + 4 * MINUTE)]
    assert world.read(due_tasks, world.now, 9) == []

    put(world, "next", fire_times=HeldFireTimes.SKIP, ends_at=NOON + 4 * MINUTE)
    with world.transaction() as tx:
        tx.connection.execute(task.update().values(deferred_until=None))
    world.clock.set(NOON + 3 * MINUTE)
    world.fire()

    assert [(each.count, each.reason) for each in world.runs()] == [(3, "held")]


def test_firing_under_holds_costs_no_statement_more(world: World) -> None:
    """After a change of holds one pass reads them again, and after a start."""
    world.register(overlap_policy="allow")
    counts: list[int] = []
    for name in (None, "a", "b"):
        if name is not None:
            put(world, name, starts_at=NOON + DAY)
        world.clock.advance(MINUTE)
        world.fire()
        world.clock.advance(MINUTE)
        counts.append(_statements_of_a_fire(world))

    assert len(set(counts)) == 1


def _statements_of_a_fire(world: World) -> int:
    statements: list[str] = []

    def note(_connection: Connection, _cursor: object, statement: str, *_others: object) -> None:
        statements.append(statement)

    engines = (world.database.writing, world.database._reading)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    world.fire()
    for engine in engines:
        event.remove(engine, "before_cursor_execute", note)
    return len(statements)


@pytest.mark.postgres
@pytest.mark.parametrize("database_engine", ["postgresql"], indirect=True)
def test_a_deferral_waits_for_a_change_of_holds_by_another_replica(world: World) -> None:
    """Who changes holds looks at all tasks that are deferred by then; one that was deferred later would stay so."""
    world.register()
    world.register("other")
    put(world, fire_times=CATCH_UP)
    world.clock.advance(MINUTE)
    fires = planned(world)
    engine = create_engine(world.database.url)
    with engine.connect() as other:
        other.execute(text("LOCK TABLE hold IN SHARE ROW EXCLUSIVE MODE"))
        answers = world.writer.call_all(fires)
    engine.dispose()

    assert [type(each.exception()) for each in answers] == [Locked, Locked]
    assert [each.result() for each in world.writer.call_all(fires)] == [0, 0]


def test_a_hold_is_kept_as_long_as_a_task_has_yet_to_plan_what_is_in_it(world: World) -> None:
    world.register("running")
    world.register("paused", paused=True)
    made, _ = put(world, ends_at=NOON + 2 * MINUTE)
    world.clock.advance(31 * DAY)
    ids = (made.hold.id,)

    for name in ("running", "paused"):
        assert world.read(removable_holds, world.now, 30 * DAY, 9) == []
        assert world.do(RemoveHolds(ids)) == 0
        world.cancel(name)

    assert world.read(removable_holds, world.now, timedelta(days=30), 9) == list(ids)
    assert world.do(RemoveHolds(ids)) == 1
    assert world.count(hold) == 0
