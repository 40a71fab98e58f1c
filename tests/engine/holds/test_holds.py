"""Holds over firing passes, changes, outages, restarts and changes of the clocks, on a fake clock."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from rota.db.tables import run, task
from rota.domain.fire_time import TICK
from rota.domain.holds.model import HeldFireTimes, Hold, HoldSelector
from rota.domain.runs.model import Run
from rota.domain.runs.status import RunStatus
from rota.domain.schedules.fire_times import fire_times
from rota.domain.tasks.definition import TaskStatus
from rota.engine.firing import Firing
from rota.engine.holds import hold_releaser
from rota.engine.holds.hold_releaser import HoldReleaser
from rota.engine.maintenance import Maintenance
from rota.metrics import Metrics
from rota.store.holds.changes import EndHold, SetHold
from rota.store.holds.reading import holds_that_matter
from rota.store.scheduling.held_tasks import deferred_tasks
from tests.support.factories import DAY, HOUR, MINUTE, NOON, World, foreign_lock
from tests.support.torture import Part, torture

SKIP, CATCH_UP = HeldFireTimes.SKIP, HeldFireTimes.CATCH_UP
SECOND = timedelta(seconds=1)


class Engine:
    """The parts of an engine that holds concern. A new one on the same database is a restart."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.firing = Firing(world.database, world.writer, world.clock, Metrics())
        self.releaser = HoldReleaser(world.database, world.writer, world.clock)

    def step(self, until: datetime, by: timedelta = MINUTE) -> None:
        """Let the time pass, with a pass at each step; every run that may start succeeds at once."""
        while self.world.now < until:
            self.world.clock.advance(min(by, until - self.world.now))
            self.make_pass()

    def make_pass(self) -> None:
        self.releaser.make_pass()
        self.firing.make_pass()
        for claimed in self.world.claim():
            self.world.succeed(claimed)


@pytest.fixture
def engine(world: World) -> Engine:
    return Engine(world)


def put(world: World, name: str = "freeze", **fields: Any) -> Hold:
    defaults: dict[str, Any] = {"selector": HoldSelector(), "fire_times": CATCH_UP, "by": "me"}
    return world.do(SetHold(name=name, **defaults | fields))[0].hold


def end(world: World, name: str = "freeze") -> None:
    world.do(EndHold(name=name, by="me"))


def deferred(world: World) -> list[str]:
    """Return the names of the tasks that firing does not look at."""
    found = select(task.c.name).where(task.c.deferred_until.is_not(None)).order_by(task.c.name)
    with world.database.read() as connection:
        return list(connection.execute(found).scalars())


def spans(world: World, name: str = "t") -> list[tuple[int, str | None]]:
    return [(each.count, each.reason) for each in world.runs(name)]


def ran(runs: list[Run]) -> list[datetime]:
    return [each.scheduled_for for each in runs if each.status is not RunStatus.SKIPPED]


# --- one hold after another
def test_fire_times_within_a_hold_with_skip_are_one_skipped_run(
    world: World, engine: Engine
) -> None:
    world.register()
    put(world, fire_times=SKIP, starts_at=NOON + 90 * SECOND, ends_at=NOON + 5 * MINUTE)

    engine.step(NOON + 6 * MINUTE)

    assert spans(world) == [(1, None), (3, "held"), (1, None), (1, None)]
    assert deferred(world) == []


@pytest.mark.parametrize(
    ("policy", "made"),
    [
        ("run_once", [(2, "held"), (1, None), (1, None)]),
        ("run_all", [(1, None)] * 4),
        ("skip", [(3, "held"), (1, None)]),
    ],
)
def test_a_held_task_is_not_checked_until_the_hold_ends_and_then_catches_up(
    world: World, engine: Engine, policy: str, made: Any
) -> None:
    world.register(misfire_policy=policy, overlap_policy="allow")
    before = world.task()
    put(world, ends_at=NOON + 3 * MINUTE + SECOND)

    engine.step(NOON + 3 * MINUTE)
    assert (spans(world), deferred(world), world.task()) == ([], ["t"], before)
    assert engine.firing.make_pass() is None  # nothing is due before the hold ends
    assert engine.releaser.make_pass() == NOON + 3 * MINUTE + SECOND

    engine.step(NOON + 4 * MINUTE)
    assert spans(world) == made
    assert deferred(world) == []


def test_a_hold_without_an_end_defers_until_it_is_ended(world: World, engine: Engine) -> None:
    world.register()
    put(world)
    engine.step(NOON + DAY + SECOND, by=8 * HOUR)
    assert (spans(world), deferred(world)) == ([], ["t"])

    end(world)
    engine.make_pass()

    assert spans(world) == [(24 * 60 - 1, "held"), (1, None)]


def test_a_hold_that_is_set_or_ended_wakes_the_releaser_and_the_release_wakes_firing(
    world: World, engine: Engine
) -> None:
    engine.releaser.committed(world.effects)
    assert not engine.releaser._woken.is_set()

    put(world)
    engine.releaser.committed(world.effects)

    assert engine.releaser._woken.is_set()


def test_only_what_a_hold_selects_is_held_and_what_another_one_holds_stays_deferred(
    world: World, engine: Engine
) -> None:
    world.register("billing", tags=["money", "eu"])
    world.register("reports", queue="slow")
    world.register("free")
    put(world, "money", selector=HoldSelector(tags=frozenset({"money"})))
    put(world, "slow", selector=HoldSelector(queues=frozenset({"slow"})))
    put(world, "r", selector=HoldSelector(name_prefix="rep"))
    engine.step(NOON + MINUTE)
    assert (deferred(world), spans(world, "free")) == (["billing", "reports"], [(1, None)])

    end(world, "slow")
    engine.make_pass()
    assert deferred(world) == ["billing", "reports"]

    end(world, "money")
    engine.make_pass()
    assert (deferred(world), spans(world, "billing")) == (["reports"], [(1, None)])


@pytest.mark.parametrize("ends_at", [2, 8])
def test_a_hold_that_is_shortened_or_extended_ends_when_it_says_now(
    world: World, engine: Engine, ends_at: int
) -> None:
    world.register()
    put(world, ends_at=NOON + 5 * MINUTE)
    engine.step(NOON + MINUTE)

    put(world, ends_at=NOON + ends_at * MINUTE + SECOND)
    engine.step(NOON + ends_at * MINUTE)
    (looked_at_next,) = world.read(deferred_tasks, None, 9, with_tags=False)
    assert spans(world) == []
    assert looked_at_next.deferred_until > world.now  # else each second takes a look

    engine.step(NOON + ends_at * MINUTE + SECOND)
    assert spans(world) == [(ends_at - 1, "held"), (1, None)]


def test_a_held_task_that_is_edited_so_that_no_hold_selects_it_fires(
    world: World, engine: Engine
) -> None:
    world.register(queue="slow")
    put(world, selector=HoldSelector(queues=frozenset({"slow"})))
    engine.step(NOON + MINUTE)
    assert deferred(world) == ["t"]

    world.register(on_conflict="update")
    engine.make_pass()

    assert (deferred(world), spans(world)) == ([], [(1, None)])


@pytest.mark.parametrize("fire_times", list(HeldFireTimes))
def test_a_task_that_was_paused_by_hand_stays_paused_after_a_hold(
    world: World, engine: Engine, fire_times: HeldFireTimes
) -> None:
    world.register("before")
    world.register("during")
    world.pause("before")
    put(world, fire_times=fire_times, ends_at=NOON + 5 * MINUTE)
    engine.step(NOON + 2 * MINUTE)
    world.pause("during")

    engine.step(NOON + 7 * MINUTE)

    skipped = [(2, "held")] if fire_times is SKIP else []
    for name, made in (("before", []), ("during", skipped)):
        assert (world.task(name).status, spans(world, name)) == (TaskStatus.PAUSED, made)


def test_a_task_that_is_resumed_during_a_hold_fires_after_it(world: World, engine: Engine) -> None:
    """The resumption decides how fire times of the pause are treated, the hold how the rest are."""
    world.register()
    world.pause()
    engine.step(NOON + 2 * MINUTE + SECOND)
    put(world, ends_at=NOON + 10 * MINUTE + SECOND)
    engine.step(NOON + 5 * MINUTE)

    world.resume(catch_up="none")
    engine.make_pass()
    assert (spans(world), deferred(world)) == ([(2, "paused")], ["t"])

    engine.step(NOON + 11 * MINUTE)
    assert spans(world) == [(5, "paused"), (4, "held"), (1, None), (1, None)]


def test_a_past_time_that_is_registered_after_a_hold_runs_at_once(
    world: World, engine: Engine
) -> None:
    put(world, "ended", fire_times=SKIP, ends_at=NOON + 20 * SECOND)
    world.clock.advance(30 * SECOND)
    past = {"type": "once", "at": (NOON + 10 * SECOND).isoformat()}
    world.register("after", schedule=past)
    put(world, "lasts", fire_times=SKIP, selector=HoldSelector(name_prefix="dur"))
    world.clock.advance(SECOND)
    world.register("during", schedule=past)

    engine.make_pass()

    assert (spans(world, "after"), spans(world, "during")) == ([(1, None)], [(1, "held")])


def _utc(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, tzinfo=UTC)


# --- outages, restarts, changes of the clocks
@pytest.mark.parametrize("fire_times", list(HeldFireTimes))
@pytest.mark.parametrize(
    ("night", "is_down"), [(_utc(2026, 3, 29), False), (_utc(2026, 10, 25), True)]
)
def test_each_fire_time_in_a_hold_over_a_dst_change_and_a_restart_has_one_fate(
    world: World, engine: Engine, night: datetime, fire_times: HeldFireTimes, is_down: bool
) -> None:
    """Twice in the repeated hour, at the shifted time in the missing one; the service may be down over the end."""
    world.clock.set(night - 2 * HOUR)
    world.register(
        schedule={
            "type": "cron",
            "expression": "30 * * * *",
            "timezone": "Europe/Berlin",
            "dst": {"fold": "both"},
        },
        misfire_policy="run_all",
        overlap_policy="allow",
    )
    of = world.task()
    starts_at, ends_at = night - HOUR, night + 4 * HOUR
    put(world, fire_times=fire_times, starts_at=starts_at, ends_at=ends_at)

    engine.step(night, by=HOUR)
    restarted = Engine(world)
    if is_down:
        world.clock.set(ends_at + HOUR)
    restarted.step(ends_at + 2 * HOUR, by=HOUR)

    runs = world.runs()
    times = fire_times_of(of.definition.schedule, of.anchor, of.anchored_at, world.now)
    held = [at for at in times if starts_at <= at < ends_at]
    assert len(held) == 5
    assert sum(each.count for each in runs) == len(times)
    assert set(ran(runs)) == set(times) - (set(held) if fire_times is SKIP else set())


def fire_times_of(schedule: Any, anchor: Any, after: datetime, until: datetime) -> list[datetime]:
    found: list[datetime] = []
    for time in fire_times(schedule, anchor, after):
        if time.at > until:
            return found
        found.append(time.at)
    return found


NUMBERS = count()
_MINUTES = st.integers(0, 90)
STEPS = st.lists(
    st.tuples(st.just("advance"), _MINUTES)
    | st.tuples(st.sampled_from(["set", "set open"]), _MINUTES, st.sampled_from(HeldFireTimes))
    | st.tuples(st.sampled_from(["end", "pass", "pass", "restart"])),
    min_size=3,
    max_size=25,
)


POLICIES = st.sampled_from(["run_once", "run_all", "skip"])
_SHORT = settings(
    max_examples=4,
    deadline=None,
    # To shrink a failure takes minutes.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@given(STEPS, POLICIES)
@_SHORT
def test_over_any_history_of_holds_each_fire_time_has_one_fate_and_none_stays_deferred(
    world: World, steps: list[Any], policy: str
) -> None:
    live(world, steps, policy)


@torture(Part.HISTORIES)
@pytest.mark.timeout(900)
@given(STEPS, POLICIES)
@settings(_SHORT, max_examples=100)
def test_over_many_histories_of_holds_each_fire_time_has_one_fate_and_none_stays_deferred(
    world: World, steps: list[Any], policy: str
) -> None:
    live(world, steps, policy)


def live(world: World, steps: list[Any], policy: str) -> None:
    """Let a task have a history, and check what became of its fire times when all holds have ended."""
    name = f"t{next(NUMBERS)}"
    selector = HoldSelector(name_prefix=name)
    world.clock.set(world.now.replace(minute=0, second=0) + HOUR)
    of = world.register(
        name,
        schedule={"type": "cron", "expression": "*/7 * * * *"},
        misfire_policy=policy,
        overlap_policy="allow",
    )
    engine, names = Engine(world), list[str]()
    for step in steps:
        world.clock.advance(SECOND)  # so that nothing happens at a fire time
        match step:
            case ("advance", minutes):
                world.clock.advance(minutes * MINUTE)
            case (("set" | "set open") as kind, minutes, fire_times):
                names.append(f"{name}-{next(NUMBERS)}")
                starts_at = world.now + minutes // 3 * MINUTE
                ends_at = None if kind == "set open" else starts_at + (minutes + 1) * MINUTE
                given: Any = {"starts_at": starts_at, "ends_at": ends_at, "selector": selector}
                put(world, names[-1], fire_times=fire_times, **given)
            case ("end",) if names:
                end(world, names.pop(0))
            case ("restart",):
                engine = Engine(world)
            case _:
                engine.make_pass()
    for each in names:
        end(world, each)
    world.clock.advance(SECOND)
    engine.make_pass()

    runs = world.runs(name)
    times = fire_times_of(of.definition.schedule, of.anchor, of.anchored_at, world.now)
    holds = [each for each in world.read(holds_that_matter).all if each.selector == selector]
    assert name not in deferred(world)
    check_that_they_cover(runs, times)
    check_held(set(ran(runs)), times, holds, policy)


def check_that_they_cover(runs: list[Run], times: list[datetime]) -> None:
    left = list(times)
    for each in runs:
        covered, left = left[: each.count], left[each.count :]
        assert covered[0] == each.scheduled_for
        assert covered[-1] == (each.scheduled_until or each.scheduled_for)
    assert left == []


def check_held(
    executed: set[datetime], times: list[datetime], holds: list[Hold], policy: str
) -> None:
    """Nothing runs in a hold with `skip`; of each that catches up the ones that the policy says, and no others."""
    skipped = {at for at in times if any(x.covers(at) for x in holds if x.fire_times is SKIP)}
    assert not executed & skipped
    catching_up = [each for each in holds if each.fire_times is CATCH_UP]
    groups: dict[datetime, list[datetime]] = {}
    for at in times:
        if at not in skipped and any(each.covers(at) for each in catching_up):
            since = at
            while earlier := [
                each.starts_at
                for each in catching_up
                if each.starts_at < since and (each.ends_at is None or since <= each.ends_at)
            ]:
                since = min(earlier)
            groups.setdefault(since, []).append(at)
    for members in groups.values():
        kept = {"run_once": members[-1:], "run_all": members[-100:], "skip": []}[policy]
        assert executed & set(members) == set(kept)


# --- races
def test_a_plan_that_was_made_before_a_hold_was_set_is_made_again(
    world: World, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hold is set between the reading of what is due and its commit."""
    world.register()
    plain = engine.firing._plan

    def late(*given: Any) -> Any:
        planned = plain(*given)
        put(world, fire_times=SKIP, starts_at=NOON)
        return planned

    world.clock.advance(MINUTE)
    monkeypatch.setattr(engine.firing, "_plan", late)
    engine.firing.make_pass()
    monkeypatch.undo()
    engine.firing.make_pass()

    assert spans(world) == [(1, "held")]


def test_a_task_that_was_deferred_after_the_look_at_the_end_of_its_hold_is_released(
    world: World, engine: Engine
) -> None:
    """A firing pass may plan just before the end, and commit just after it."""
    world.register()
    put(world, ends_at=NOON + 2 * MINUTE)
    engine.step(NOON + MINUTE)
    world.clock.set(NOON + 2 * MINUTE)
    engine.releaser.make_pass()
    with world.transaction() as tx:
        tx.connection.execute(update(task).values(deferred_until=NOON + 2 * MINUTE))

    world.clock.advance(SECOND)
    engine.make_pass()

    assert deferred(world) == []
    assert sum(number for number, _ in spans(world)) == 2


@pytest.mark.postgres
@pytest.mark.parametrize("database_engine", ["postgresql"], indirect=True)
def test_a_task_that_is_locked_when_its_hold_ends_is_released_when_it_is_free(
    world: World, engine: Engine
) -> None:
    world.register("free")
    world.register("locked")
    put(world)
    engine.step(NOON + MINUTE)
    end(world)

    with foreign_lock(world, select(task).where(task.c.name == "locked")):
        engine.releaser.make_pass()
        assert deferred(world) == ["locked"]
    engine.releaser.make_pass()

    assert deferred(world) == []


def test_tasks_are_released_in_batches_and_those_that_stay_held_are_not_written(
    world: World, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hold_releaser, "BATCH", 2)
    for number in range(5):
        world.register(f"t{number}")
    put(world)
    put(world, "last", selector=HoldSelector(name_prefix="t4"))
    engine.step(NOON + MINUTE)
    assert len(deferred(world)) == 5

    end(world)
    engine.releaser.make_pass()

    assert deferred(world) == ["t4"]


# --- removal
def test_a_hold_is_removed_30_days_after_its_end_unless_a_task_has_fire_times_left_in_it(
    world: World, engine: Engine
) -> None:
    """After an outage of two months, what passed during the hold is still known."""
    world.register(schedule={"type": "cron", "expression": "0 */6 * * *"})
    put(world, fire_times=SKIP, ends_at=NOON + DAY)
    maintenance = Maintenance(world.database, world.writer, world.clock)
    world.clock.advance(60 * DAY)
    maintenance.clean()

    engine.make_pass()
    held = [(each.count, each.reason) for each in world.runs() if each.reason == "held"]
    assert held == [(3, "held")]

    maintenance.clean()
    assert world.read(holds_that_matter).all == ()


def test_a_hold_that_ended_within_30_days_is_kept(world: World) -> None:
    put(world, ends_at=NOON + TICK)
    world.clock.advance(30 * DAY)

    Maintenance(world.database, world.writer, world.clock).clean()

    assert len(world.read(holds_that_matter).all) == 1
    assert world.count(run) == 0
