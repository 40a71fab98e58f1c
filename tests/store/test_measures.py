"""What metrics read from the database."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, insert, update

from rota.db import tables
from rota.domain.effects import Effect, RunEnded
from rota.domain.holds.model import HeldFireTimes
from rota.domain.primitives.ids import IdFactory, new_id
from rota.engine.end_counts import EndCounts
from rota.errors import LeaseLost
from rota.metrics import Metrics
from rota.metrics.stored import Measures, QueueMeasure
from rota.store.measures import KEPT_FOR, Measuring, measure, server_of
from tests.support.factories import BROKEN, HOUR, MINUTE, World, once
from tests.support.holds import set_hold

ONCE = {"max_attempts": 1}


def measured(world: World, most: int = 200) -> Measures:
    return measure(world.database, most, world.now)


def names(found: Measures) -> list[str]:
    return [each.name for each in found.tasks]


def fail(world: World, name: str, times: int) -> None:
    for _ in range(times):
        world.end(world.start(name), BROKEN)


def test_a_task_is_shown_with_its_last_success_and_its_failures_in_a_row(world: World) -> None:
    world.register("good")
    world.register("bad", retry=ONCE)
    world.succeed(world.start("good"))
    at = world.now.timestamp()
    fail(world, "bad", 2)

    found = {each.name: each for each in measured(world).tasks}

    assert (found["good"].last_success_at, found["good"].consecutive_failures) == (at, 0)
    assert (found["bad"].last_success_at, found["bad"].consecutive_failures) == (None, 2)


def test_tasks_that_fail_come_first_then_the_others_by_name_up_to_the_limit(world: World) -> None:
    for name in ("e", "d", "c", "b", "a", "p"):
        world.register(name, retry=ONCE)
    fail(world, "e", 1)
    fail(world, "d", 2)
    world.pause("b")
    world.cancel("a")
    world.delete("p")

    assert [names(measured(world, most)) for most in (0, 1, 2, 3, 9)] == [
        [],
        ["d"],
        ["d", "e"],
        ["d", "e", "b"],
        ["d", "e", "b", "c"],
    ]
    assert measured(world).tasks_by_status == {"active": 3, "paused": 1, "cancelled": 1}


def test_a_queue_has_its_unfinished_runs_by_status_and_the_age_of_the_oldest(world: World) -> None:
    world.register("slow", queue="q", overlap_policy="allow")
    world.register("other", queue="r")
    first = world.run_now("slow").id
    world.run_now("slow")
    # Its own factory: the ids of a process rise, and other tests were at later times.
    made_earlier = IdFactory()(world.now - timedelta(seconds=90))
    with world.transaction() as tx:
        moved = update(tables.run).where(tables.run.c.id == first).values(id=made_earlier)
        tx.connection.execute(moved)
    world.run_now("other")
    running = world.claim(queue="r")

    found = {each.name: each for each in measured(world).queues}

    assert len(running) == 1
    assert found["q"].depth == {"queued": 2}
    assert found["q"].oldest == pytest.approx(90, abs=0.01)
    assert found["r"] == QueueMeasure(name="r", depth={"running": 1}, oldest=0.0)


def test_delayed_and_blocked_runs_are_distinguished_from_those_that_could_start(
    world: World,
) -> None:
    world.register("t", retry={"max_attempts": 3, "initial_interval": 60})
    world.end(world.start("t"), BROKEN)
    delayed = measured(world).queues
    world.pause("t")
    blocked = measured(world).queues

    assert [each.depth for each in (*delayed, *blocked)] == [{"delayed": 1}, {"blocked": 1}]


def test_what_is_overdue_is_the_fire_time_or_the_retry_that_was_due_first(world: World) -> None:
    world.register("t", schedule=once(world.now + MINUTE))
    before = measured(world).overdue
    world.clock.advance(timedelta(seconds=90))
    late = measured(world).overdue
    world.fire()
    fired = measured(world).overdue

    assert (before, late, fired) == (0, 30, 0)


def test_a_paused_task_is_not_overdue(world: World) -> None:
    world.register("t")
    world.pause("t")
    world.clock.advance(HOUR)

    assert measured(world).overdue == 0


def test_alerts_that_are_raised_and_notifications_that_wait_are_counted(world: World) -> None:
    task = world.register("t").id
    row = {"task_id": task, "raised_at": world.now}
    sent = {"task_id": task, "kind": "failures", "notifies": "n", "event": "{}", "attempts": 1}
    with world.transaction() as tx:
        tx.connection.execute(
            insert(tables.alert), [row | {"kind": kind} for kind in ("failures", "late")]
        )
        for at in (None, world.now + MINUTE):
            made = sent | {"id": new_id(world.now), "created_at": world.now, "not_before": at}
            tx.connection.execute(insert(tables.notification), made)

    found = measured(world)

    assert found.alerts_by_kind == {"failures": 1, "late": 1}
    assert found.notifications == 1


def test_holds_that_last_are_counted_and_what_one_defers_is_not_overdue(world: World) -> None:
    world.register("t")
    set_hold(world, fire_times=HeldFireTimes.CATCH_UP)
    set_hold(world, "later", starts_at=world.now + HOUR)
    world.clock.advance(2 * MINUTE)
    world.fire()

    assert (measured(world).holds, measured(world).overdue) == (1, 0)


@pytest.mark.parametrize(("starts_after", "overdue"), [(0, 5), (60, 5), (61, 185)])
def test_what_waited_for_a_hold_is_overdue_since_its_end(
    world: World, starts_after: int, overdue: int
) -> None:
    """One that was due before the hold began was late already."""
    world.register("t", tags=["x"])
    starts_at = world.now + timedelta(seconds=starts_after)
    given: dict[str, Any] = {"fire_times": HeldFireTimes.CATCH_UP, "starts_at": starts_at}
    set_hold(world, tags=("x",), ends_at=world.now + 3 * MINUTE, **given)
    set_hold(world, "next", ends_at=world.now + 4 * MINUTE, **given)
    set_hold(world, "other", tags=("y",), **given)

    world.clock.advance(4 * MINUTE + timedelta(seconds=5))

    assert measured(world).overdue == overdue


def test_the_sizes_are_those_of_the_database(world: World) -> None:
    found = measured(world)

    assert found.database_bytes > 50_000
    assert (found.wal_bytes is not None) == world.is_sqlite
    with world.database.read() as connection:
        kind, version = server_of(connection).split(" ")
    assert kind == ("sqlite" if world.is_sqlite else "postgresql")
    assert version[0].isdigit()


def test_scrapes_within_a_few_seconds_read_the_database_once(world: World) -> None:
    executed: list[str] = []
    engine = world.database._reading
    event.listen(engine, "before_cursor_execute", lambda *given: executed.append(given[2]))
    measuring = Measuring(world.database, world.clock, 200)
    world.register("t")

    first = measuring()
    number = len(executed)
    again = measuring()
    world.register("u")
    world.clock.advance(timedelta(seconds=KEPT_FOR))
    later = measuring()

    assert first is again
    assert first is not None
    assert later is not None
    assert names(first) == ["t"]
    assert names(later) == ["t", "u"]
    assert len([each for each in executed[:number] if each.startswith("SELECT")]) == 11


@pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)
def test_no_table_is_read_as_a_whole(world: World) -> None:
    executed: list[tuple[str, Any]] = []
    engine = world.database._reading
    event.listen(engine, "before_cursor_execute", lambda *given: executed.append(given[2:4]))
    measured(world)
    statements = [
        each for each in executed if each[0].startswith("SELECT") and " FROM pragma" not in each[0]
    ]

    with world.database.read() as connection:
        plans = [
            row[-1]
            for statement, given in statements
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given)
        ]

    steps = [plan for plan in plans if plan.startswith(("SCAN", "SEARCH"))]
    assert len(steps) > 10
    assert [step for step in steps if "INDEX" not in step] == []


def test_a_database_that_does_not_answer_gives_none_and_is_not_asked_again_at_once(
    world: World,
) -> None:
    measuring = Measuring(world.database, world.clock, 200)
    world.database._reads.end()

    assert measuring() is None
    world.database._reads._ended = False
    assert measuring() is None
    world.clock.advance(timedelta(seconds=KEPT_FOR))
    assert measuring() is not None


# --------------------------------------------------------------------------------------- counts of what is committed
@pytest.fixture
def counted(world: World) -> Metrics:
    metrics = Metrics()
    counts = EndCounts(metrics)
    metrics.stored.set_function(lambda: measured(world))

    def committed(effects: Sequence[Effect]) -> None:
        world.effects.extend(effects)
        counts.committed(effects)

    world.writer._on_commit = committed
    return metrics


def ends(metrics: Metrics, name: str = "rota_runs_total") -> dict[tuple[str, ...], float]:
    """Return the values of a counter by its labels: status and reason, after the task if there is one."""
    return {
        tuple(
            each.labels[label] for label in ("task", "status", "reason") if label in each.labels
        ): each.value
        for family in metrics.registry.collect()
        for each in family.samples
        if each.name == name
    }


def test_every_end_is_counted_whatever_ended_the_run(world: World, counted: Metrics) -> None:
    world.register("t", retry=ONCE)
    world.succeed(world.start())
    world.end(world.start(), BROKEN)
    world.register("u")
    world.run_now("u")
    world.cancel("u")

    assert ends(counted) == {
        ("succeeded", ""): 1,
        ("failed", "error"): 1,
        ("cancelled", "task_cancelled"): 1,
    }
    by_task = ends(counted, "rota_task_runs_total")
    assert by_task == {
        ("t", "succeeded", ""): 1,
        ("t", "failed", "error"): 1,
    }  # the other has ended


def test_skipped_fire_times_count_each_also_those_that_are_added_to_a_span(
    world: World, counted: Metrics
) -> None:
    world.register("t", misfire_policy="skip", misfire_grace=1)
    world.clock.advance(10 * MINUTE + timedelta(seconds=30))
    world.fire()
    skipped = [run.count for run in world.runs() if run.status == "skipped"]
    world.clock.advance(5 * MINUTE)
    world.fire()
    world.clock.advance(3 * MINUTE)
    world.fire()

    (span,) = [run for run in world.runs() if run.status == "skipped"]
    assert span.count > sum(skipped) > 1
    assert ends(counted)["skipped", "misfire"] == span.count


def test_a_command_that_is_refused_counts_nothing(world: World, counted: Metrics) -> None:
    world.register("t")
    claimed = world.start()
    world.succeed(claimed)
    with pytest.raises(LeaseLost):
        world.succeed(claimed)

    assert ends(counted) == {("succeeded", ""): 1}
    assert len([each for each in world.effects if isinstance(each, RunEnded)]) == 1
