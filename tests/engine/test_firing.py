"""Firing passes on a fake clock."""

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from sqlalchemy import func, select, update

from rota.db import tables
from rota.domain.reasons import SkipReason
from rota.domain.runs.plan import DueTask, Plan
from rota.domain.runs.planning import plan
from rota.domain.runs.status import RunStatus
from rota.domain.tasks.definition import TaskStatus
from rota.engine import firing
from rota.engine.firing import Firing
from rota.engine.timing.scheduler import Scheduler
from rota.errors import Unavailable
from rota.metrics import Metrics
from rota.store.scheduling.due import due_tasks
from rota.store.scheduling.fire import Fire
from tests.support.factories import (
    BROKEN,
    DAY,
    DEADLINE,
    HOUR,
    MINUTE,
    NOON,
    World,
    eventually,
    foreign_lock,
    once,
)


class Passes:
    """A scheduler that records the passes of the firing thread."""

    def __init__(self) -> None:
        self.ended: list[datetime | None] = []
        self.failures: list[Exception] = []

    def pass_begins(self) -> None:
        if self.failures:
            raise self.failures.pop()

    def pass_ended(self, next_due: datetime | None) -> None:
        self.ended.append(next_due)

    def start(self) -> None: ...

    def stop(self) -> None: ...


@pytest.fixture
def passes(world: World) -> Firing:
    return Firing(world.database, world.writer, world.clock, Metrics())


@pytest.fixture
def started(passes: Firing) -> Iterator[tuple[Firing, Passes]]:
    recorded = Passes()
    passes.scheduler = cast("Scheduler", recorded)
    passes.start()
    yield passes, recorded
    passes.stop()


def _step(world: World, passes: Firing, until: datetime, by: timedelta) -> None:
    while world.now < until:
        world.clock.advance(by)
        passes.make_pass()
        for claimed in world.claim():
            assert claimed.scheduled_for <= world.now, "too early"
            world.succeed(claimed)


@pytest.mark.parametrize(
    ("schedule", "times"),
    [
        (once(NOON + 90 * MINUTE), [90]),
        ({"type": "interval", "every": "25m"}, [25, 50, 75, 100]),
        ({"type": "cron", "expression": "*/40 * * * *"}, [40, 60, 100, 120]),
        ({"type": "cron", "expression": "30 14 * * *", "timezone": "Europe/Berlin"}, [90]),
        ({"type": "manual"}, []),
    ],
)
def test_each_schedule_fires_at_its_times(
    world: World, passes: Firing, schedule: dict[str, Any], times: list[int]
) -> None:
    world.register(schedule=schedule)

    _step(world, passes, NOON + 2 * HOUR, by=5 * MINUTE)

    runs = world.runs()
    assert [run.scheduled_for for run in runs] == [NOON + time * MINUTE for time in times]
    assert {run.status for run in runs} <= {RunStatus.SUCCEEDED}
    assert {run.lateness for run in runs} <= {timedelta(0)}


def test_a_pass_returns_when_something_is_due_next(world: World, passes: Firing) -> None:
    assert passes.make_pass() is None
    world.register("b", schedule=once(NOON + 2 * HOUR))
    assert passes.make_pass() == NOON + 2 * HOUR
    world.register("a", schedule=once(NOON + HOUR))
    assert passes.make_pass() == NOON + HOUR
    world.clock.advance(HOUR)
    assert passes.make_pass() == NOON + 2 * HOUR


def test_a_pass_releases_delayed_retries(world: World, passes: Firing) -> None:
    world.register(schedule={"type": "manual"}, retry={"initial_interval": 60, "jitter": False})
    claimed = world.start()
    world.end(claimed, BROKEN)

    before = passes.make_pass()
    nothing = world.claim()
    world.clock.advance(MINUTE)
    after = passes.make_pass()

    assert (before, after) == (NOON + MINUTE, None)
    assert nothing == []
    assert [run.id for run in world.claim()] == [claimed.id]


def test_a_pass_continues_until_nothing_is_due(
    world: World, passes: Firing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firing, "BATCH", 3)
    world.register("delayed", overlap_policy="allow", schedule={"type": "manual"})
    for number in range(10):
        world.register(f"t{number}", schedule=once(NOON + MINUTE))
        world.run_now("delayed", scheduled_for=NOON + MINUTE)
    world.clock.advance(HOUR)

    assert passes.make_pass() is None

    assert len(world.claim()) == 20


def test_a_long_outage_is_one_gap_and_one_run(world: World, passes: Firing) -> None:
    world.register("interval")
    world.register("cron", schedule={"type": "cron", "expression": "*/7 * * * *"})
    world.clock.advance(30 * DAY)

    passes.make_pass()

    for name, count in (("interval", 30 * 24 * 60), ("cron", 30 * 24 * 9)):
        *gaps, last = world.runs(name)
        assert {gap.reason for gap in gaps} == {SkipReason.MISFIRE}
        assert sum(run.count for run in [*gaps, last]) == count
        assert last.status is RunStatus.QUEUED
        assert world.now - last.scheduled_for < 7 * MINUTE


def test_a_task_that_another_transaction_changed_first_is_not_fired(
    world: World, passes: Firing, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.register("overtaken")
    world.register("other")
    world.clock.advance(MINUTE)

    def pausing(task: DueTask, now: datetime, most: int) -> Plan:
        if task.name == "overtaken":
            world.pause("overtaken")
        return plan(task, now, most)

    monkeypatch.setattr(firing, "plan", pausing)
    passes.make_pass()

    assert world.runs("overtaken") == []
    assert len(world.runs("other")) == 1
    assert world.task("overtaken").status_reason is None


def _forget_zone(world: World) -> None:
    """Remove a time zone, as a new version of tzdata may do."""
    renamed = func.replace(tables.task.c.definition, "Asia/Tokyo", "Atlantis/Capital")
    with world.transaction() as tx:
        tx.connection.execute(update(tables.task).values(definition=renamed))


def test_a_task_that_cannot_be_planned_is_paused_and_does_not_affect_the_others(
    world: World, passes: Firing
) -> None:
    tokyo = {"type": "cron", "expression": "* * * * *", "timezone": "Asia/Tokyo"}
    for name in ("a", "c"):
        world.register(name, schedule=tokyo)
    world.register("b")
    _forget_zone(world)
    world.clock.advance(MINUTE)

    assert passes.make_pass() == NOON + 2 * MINUTE

    tasks = [world.task(name) for name in ("a", "b", "c")]
    assert [task.status for task in tasks] == ["paused", "active", "paused"]
    assert [task.status_reason for task in tasks] == ["unplannable", None, "unplannable"]
    assert [len(world.runs(name)) for name in ("a", "b", "c")] == [0, 1, 0]


def test_more_unplannable_tasks_than_a_batch_has_do_not_delay_the_others(
    world: World, passes: Firing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firing, "BATCH", 2)
    tokyo = {"type": "cron", "expression": "* * * * *", "timezone": "Asia/Tokyo"}
    for name in ("a", "b", "c"):
        world.register(name, schedule=tokyo)
    _forget_zone(world)
    world.register("z", schedule=once(NOON + 2 * MINUTE))
    world.clock.advance(2 * MINUTE)

    while (due := passes.make_pass()) is not None and due <= world.now:
        pass

    assert len(world.runs("z")) == 1


def test_a_firing_that_the_database_refuses_pauses_only_its_task(
    world: World, passes: Firing, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.register("refused", priority=7)
    world.register("other")
    world.clock.advance(MINUTE)

    def wrong(task: DueTask, now: datetime, most: int) -> Plan:
        made = plan(task, now, most)
        if task.name == "refused":
            object.__setattr__(made.runs[0], "count", 0)  # against ck_run_span
        return made

    monkeypatch.setattr(firing, "plan", wrong)
    passes.make_pass()

    assert world.task("refused").status_reason == "unplannable"
    assert len(world.runs("other")) == 1


def test_without_a_database_nothing_is_paused(
    world: World, passes: Firing, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.register()
    world.clock.advance(MINUTE)

    def unavailable(*_: Any) -> int:
        raise Unavailable("The database does not answer.")

    monkeypatch.setattr(Fire, "apply_all", unavailable)
    with pytest.raises(Unavailable):
        passes.make_pass()

    assert world.task().status is TaskStatus.ACTIVE


# --- the thread
def test_a_wake_up_makes_a_pass(world: World, started: tuple[Firing, Passes]) -> None:
    passes, recorded = started
    world.register(schedule=once(NOON + HOUR))
    world.clock.advance(MINUTE)
    assert passes.age() == 60

    passes.wake()
    eventually(lambda: recorded.ended)

    assert recorded.ended == [NOON + HOUR]
    eventually(lambda: passes.age() == 0)


@pytest.mark.parametrize("failure", [Unavailable("no database"), RuntimeError("a bug")])
def test_after_a_pass_that_failed_the_next_one_comes(
    started: tuple[Firing, Passes], failure: Exception
) -> None:
    passes, recorded = started
    recorded.failures.append(failure)

    passes.wake()
    eventually(lambda: not recorded.failures)
    passes.wake()

    eventually(lambda: recorded.ended)


def test_a_stop_ends_a_pass_between_two_batches(
    world: World, passes: Firing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firing, "BATCH", 1)
    for number in range(5):
        world.register(f"t{number}", schedule=once(NOON))
    reached, go_on = threading.Event(), threading.Event()

    def slow(task: DueTask, now: datetime, most: int) -> Plan:
        reached.set()
        assert go_on.wait(DEADLINE)
        return plan(task, now, most)

    monkeypatch.setattr(firing, "plan", slow)
    passes.start()
    passes.wake()
    assert reached.wait(DEADLINE)
    stopping = threading.Thread(target=passes.stop)
    stopping.start()
    eventually(passes._stopped.is_set)
    go_on.set()
    stopping.join(DEADLINE)

    assert not stopping.is_alive()
    assert world.count(tables.run) == 1


def test_firing_that_was_never_started_can_be_stopped(passes: Firing) -> None:
    passes.stop()

    assert passes._stopped.is_set()


def test_a_task_that_this_version_cannot_read_is_paused_and_does_not_affect_the_others(
    world: World, passes: Firing
) -> None:
    world.register("a")
    world.register("b")
    with world.transaction() as tx:
        spoilt = update(tables.task).where(tables.task.c.name == "a")
        tx.connection.execute(spoilt.values(definition='{"schedule":{"type":"lunar"}}'))
    world.clock.advance(MINUTE)

    passes.make_pass()

    assert (world.task("a").status, world.task("a").status_reason) == ("paused", "unplannable")
    assert [len(world.runs(name)) for name in ("a", "b")] == [0, 1]


# --- locks of other transactions
@pytest.mark.parametrize("database_engine", ["postgresql"], indirect=True)
class TestOnPostgresql:
    pytestmark = pytest.mark.postgres

    def test_a_pass_skips_a_locked_task_and_retries_it_shortly_afterwards(
        self, world: World, passes: Firing
    ) -> None:
        for name in ("a", "locked", "b"):
            world.register(name)
        world.clock.advance(MINUTE)

        with foreign_lock(world, _row_of("locked")):
            again = passes.make_pass()
            fired = [name for name in ("a", "locked", "b") if world.runs(name)]
            later = passes.make_pass()
        following = passes.make_pass()

        assert fired == ["a", "b"]
        # Neither in a busy loop, nor only at the next fire time of the others.
        assert again == later == world.now + timedelta(seconds=0.2)
        assert [run.scheduled_for for run in world.runs("locked")] == [NOON + MINUTE]
        assert following == NOON + 2 * MINUTE

    def test_locked_tasks_do_not_delay_those_behind_them(
        self, world: World, passes: Firing, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As if another replica fired them: this one continues with the next ones instead of waiting for them."""
        monkeypatch.setattr(firing, "BATCH", 3)
        for number in range(12):
            world.register(f"t{number:02}", schedule=once(NOON + MINUTE * (number + 1)))
        world.clock.set(NOON + 12 * MINUTE)

        with foreign_lock(world, select(tables.task.c.id).where(tables.task.c.name < "t07")):
            passes.make_pass()
            waiting = [due.name for due in world.read(due_tasks, world.now, 99)]
        passes.make_pass()

        assert waiting == [f"t{number:02}" for number in range(7)]
        assert world.read(due_tasks, world.now, 99) == []

    def test_a_locked_successor_delays_only_the_firing_of_its_predecessor(
        self, world: World, passes: Firing
    ) -> None:
        """The commit of the firing notifies it of a skip, which needs its row."""
        world.register("busy")
        world.register("free")
        world.register("next", schedule={"type": "after", "tasks": ["busy"]})
        world.start("busy")
        world.clock.advance(MINUTE)

        with foreign_lock(world, _row_of("next")):
            again = passes.make_pass()
            fired = len(world.runs("free"))
            skipped = len(world.runs("busy", trigger=("schedule",)))
        passes.make_pass()

        assert (fired, skipped) == (1, 0)
        assert again == world.now + timedelta(seconds=0.2)
        assert len(world.runs("busy", trigger=("schedule",))) == 1

    def test_a_locked_task_that_cannot_be_planned_does_not_affect_the_others(
        self, world: World, passes: Firing, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(due: DueTask, *given: Any) -> Plan:
            if due.name == "broken":
                raise ValueError("no plan")
            return plan(due, *given)

        monkeypatch.setattr(firing, "plan", broken)
        world.register("broken")
        world.register("good")
        world.clock.advance(MINUTE)

        with foreign_lock(world, _row_of("broken")):
            passes.make_pass()
            fired = len(world.runs("good"))
        passes.make_pass()

        assert fired == 1
        assert world.task("broken").status_reason == "unplannable"

    def test_a_locked_delayed_run_does_not_prevent_a_pass_from_ending(
        self, world: World, passes: Firing
    ) -> None:
        world.register(schedule={"type": "manual"})
        waiting = world.run_now(scheduled_for=NOON + MINUTE)
        world.clock.advance(MINUTE)

        with foreign_lock(world, select(tables.run.c.id).where(tables.run.c.id == waiting.id)):
            again = passes.make_pass()
            claimed = world.claim()
        passes.make_pass()

        assert (again, claimed) == (world.now + timedelta(seconds=0.2), [])
        assert [run.id for run in world.claim()] == [waiting.id]


def _row_of(name: str) -> Any:
    return select(tables.task.c.id).where(tables.task.c.name == name)
