"""Another time zone database, at a restart and beside replicas that still have the old one."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from rota import Context, handler
from rota.db.tables import replica, zone_release
from rota.domain.explain.task import explain_at
from rota.domain.explain.time_slot import slot_at
from rota.domain.runs.upcoming import next_runs
from rota.domain.time_zones import database as zone_database
from rota.domain.time_zones.database import PINNED, ZoneDatabase
from rota.engine.replanning import zone_replanner as replanner
from rota.engine.replanning.zone_replanner import Replanner
from rota.store.explain.facts import facts_of
from rota.store.scheduling.due import due_tasks
from rota.store.scheduling.fire import PauseUnplannable
from rota.store.scheduling.replanning import replanned_of
from rota.store.scheduling.zone_releases import current_release, live_releases
from tests.engine.service import Service
from tests.support.factories import DAY, HOUR, MINUTE, World
from tests.support.zones import changed

#: Berlin is at +1 in November; by these databases it is at +2, and at +1 again.
AHEAD = changed("2099a", {"Europe/Berlin": "Africa/Cairo", "Europe/Paris": None})
NEWER = changed("2099b", {"Europe/Berlin": "Africa/Lagos"})
NINE = {"type": "cron", "expression": "0 9 * * *", "timezone": "Europe/Berlin"}
MIDNIGHT = datetime(2026, 11, 10, tzinfo=UTC)

Restart = Callable[[ZoneDatabase], Replanner]


def at(hour: int, minute: int = 0, day: int = 10) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


@handler("noop")
async def noop(ctx: Context) -> None:
    """Do nothing."""


@pytest.fixture
def have(monkeypatch: pytest.MonkeyPatch) -> Callable[[ZoneDatabase], None]:
    """Give this process another time zone database."""

    def use(database: ZoneDatabase) -> None:
        monkeypatch.setattr(zone_database, "PINNED", database)

    return use


@pytest.fixture
def restart(world: World, have: Callable[[ZoneDatabase], None]) -> Restart:
    """Restart the only replica with another database."""

    def begin(database: ZoneDatabase) -> Replanner:
        with world.transaction() as tx:
            tx.connection.execute(sa.delete(replica))
        have(database)
        world.holder = world.enlist()
        begun = Replanner(world.database, world.writer, world.clock)
        begun.begin()
        return begun

    world.clock.set(MIDNIGHT)
    begin(PINNED)
    return begin


def verdict(world: World, when: datetime, name: str = "t") -> str:
    """Return the status and the reason of the run of a fire time."""
    task = world.task(name)
    slot = slot_at(task, when)
    return explain_at(world.read(facts_of, task, world.now, slot), slot).verdict


def slots(world: World, name: str = "t") -> list[datetime]:
    return [run.scheduled_for for run in world.runs(name)]


def live_until(world: World, end: datetime) -> None:
    """Fire what is due, every ten minutes."""
    while world.now < end:
        world.clock.advance(10 * MINUTE)
        world.fire()


def test_a_fire_time_that_is_later_by_a_new_database_fires_then_and_once(
    world: World, restart: Restart
) -> None:
    restart(AHEAD)
    world.register(schedule=NINE, overlap_policy="allow")
    live_until(world, at(6, 30))
    assert world.task().next_fire_at == at(7)

    restart(NEWER)

    assert world.task().next_fire_at == at(8)
    assert next_runs(world.task(), world.now, 2) == [at(8), at(8, day=11)]
    assert verdict(world, at(8)) == "in_future"
    assert verdict(world, at(7)) == "not_scheduled"
    live_until(world, at(12, day=11))
    assert slots(world) == [at(8), at(8, day=11)]
    assert verdict(world, at(7)) == "not_scheduled"


def test_a_fire_time_that_was_earlier_by_a_new_database_fires_late_and_once(
    world: World, restart: Restart
) -> None:
    world.register(schedule=NINE, overlap_policy="allow")
    live_until(world, at(7, 30))
    assert world.task().next_fire_at == at(8)

    restart(AHEAD)

    assert world.task().next_fire_at == at(7)
    assert verdict(world, at(7)) == "due"
    live_until(world, at(12, day=11))
    assert slots(world) == [at(7), at(7, day=11)]
    assert verdict(world, at(8)) == "not_scheduled"


@pytest.mark.parametrize("hour", [6, 7, 8, 9])
@pytest.mark.parametrize(("one", "other"), [(PINNED, AHEAD), (AHEAD, PINNED)])
def test_each_day_fires_once_whenever_the_restart_is(
    world: World, restart: Restart, hour: int, one: ZoneDatabase, other: ZoneDatabase
) -> None:
    restart(one)
    world.register(schedule=NINE, overlap_policy="allow")
    live_until(world, at(hour, 30))

    restart(other)
    restart(other)
    live_until(world, at(12, day=12))

    assert [each.day for each in slots(world)] == [10, 11, 12]
    assert {each.hour for each in slots(world)} <= {7, 8}
    assert world.task().next_fire_at == at(8 if other is PINNED else 7, day=13)


def test_after_an_outage_one_of_the_missed_fire_times_runs(world: World, restart: Restart) -> None:
    restart(AHEAD)
    world.register(schedule=NINE)
    live_until(world, at(6))
    world.clock.set(at(12, day=12))

    restart(PINNED)
    world.fire()

    first, last = world.runs()
    assert (first.scheduled_for, first.scheduled_until, first.count) == (at(8), at(8, day=11), 2)
    assert (last.scheduled_for, last.status) == (at(8, day=12), "queued")


@pytest.mark.parametrize(
    "rule",
    [
        {"type": "calendar", "unit": "day", "time": "09:00", "timezone": "Europe/Berlin"},
        {"type": "once", "at": "2026-11-10T09:00:00", "timezone": "Europe/Berlin"},
        {"type": "any_of", "schedules": [NINE, {"type": "interval", "every": "3d"}]},
        NINE | {"exclude": ["2026-12-24"]},
    ],
)
def test_every_rule_in_a_zone_is_replanned(
    world: World, restart: Restart, rule: dict[str, Any]
) -> None:
    world.register(schedule=rule)
    assert world.task().next_fire_at == at(8)

    restart(AHEAD)

    assert world.task().next_fire_at == at(7)


@pytest.mark.parametrize(
    "rule",
    [
        NINE | {"timezone": "Asia/Tokyo"},
        {"type": "cron", "expression": "0 9 * * *"},
        {"type": "interval", "every": 3600},
        {"type": "manual"},
    ],
)
def test_tasks_without_a_zone_or_with_an_unchanged_one_are_not_replanned(
    world: World, restart: Restart, rule: dict[str, Any]
) -> None:
    constraint = {"type": "window", "timezone": "Europe/Berlin"}
    before = world.register(schedule=rule, constraints=[constraint])

    restart(AHEAD)

    assert world.task() == before


def test_a_paused_task_is_replanned_and_a_completed_one_is_not(
    world: World, restart: Restart
) -> None:
    world.register(schedule=NINE)
    world.register("done", schedule={"type": "once", "at": "2026-11-10T00:00:00Z"})
    world.pause()

    restart(AHEAD)

    assert world.task().next_fire_at == at(7)
    live_until(world, at(7, 30))
    world.resume(catch_up="once")
    assert slots(world) == [at(7)]


def test_a_moved_fire_time_stays_and_the_regular_one_that_it_replaces_is_replanned(
    world: World, restart: Restart
) -> None:
    world.register(schedule=NINE)
    world.register(schedule=NINE, on_conflict="update", next_fire=at(3))

    restart(AHEAD)

    task = world.task()
    assert (task.next_fire_at, task.overrides_at) == (at(3), at(7))
    live_until(world, at(12, day=11))
    assert slots(world) == [at(3), at(7, day=11)]


def test_a_fire_time_before_a_moved_one_is_replanned_and_still_comes_first(
    world: World, restart: Restart
) -> None:
    world.register(schedule=NINE)
    world.register(schedule=NINE, on_conflict="update", next_fire=at(7, 30, day=11))
    assert world.task().next_fire_at == at(7, 30, day=11)

    restart(AHEAD)

    task = world.task()
    assert (task.next_fire_at, task.overrides_at) == (at(7, day=11), at(7))
    live_until(world, at(12, day=12))
    assert slots(world) == [at(7, day=11), at(7, 30, day=11), at(7, day=12)]


def test_a_moved_fire_time_that_has_fired_does_not_fire_again_with_a_new_database(
    world: World, restart: Restart
) -> None:
    world.register(schedule=NINE)
    world.register(schedule=NINE, on_conflict="update", next_fire=at(7, 30))
    live_until(world, at(7, 40))

    restart(AHEAD)

    live_until(world, at(12, day=11))
    assert slots(world) == [at(7, 30), at(7, day=11)]


def test_a_moved_fire_time_that_has_fired_is_forgotten_when_an_earlier_one_comes_next(
    world: World, restart: Restart
) -> None:
    world.register(schedule=NINE)
    world.register(schedule=NINE, on_conflict="update", next_fire=at(7, 30, day=11))
    live_until(world, at(8, 10, day=11))  # those of the 11th have fired
    world.register(schedule=NINE, on_conflict="update", next_fire=at(7, 30, day=12))
    live_until(world, at(7, 40, day=12))

    restart(AHEAD)

    live_until(world, at(12, day=13))
    fired = slots(world)
    assert len(fired) == len(set(fired))
    assert [each for each in fired if each > at(7, 40, day=12)] == [at(7, day=13)]


def test_a_fire_time_that_becomes_earlier_than_a_fired_moved_one_still_fires(
    world: World, restart: Restart
) -> None:
    world.register(schedule=NINE)
    world.register(schedule=NINE, on_conflict="update", next_fire=at(7, 30, day=11))
    live_until(world, at(7, 40, day=11))

    restart(AHEAD)

    live_until(world, at(12, day=12))
    assert slots(world) == [at(7, day=11), at(7, 30, day=11), at(7, day=12)]


def test_a_task_with_nothing_left_by_the_new_database_is_completed(
    world: World, restart: Restart
) -> None:
    restart(AHEAD)
    world.register(schedule=NINE | {"end_at": "2026-11-10T07:30:00Z"})

    restart(NEWER)

    task = world.task()
    assert (task.next_fire_at, task.status, task.status_changed_by) == (None, "completed", "rota")


def test_a_task_whose_zone_was_removed_is_paused_only_when_it_is_due(
    world: World, restart: Restart
) -> None:
    world.register(schedule=NINE | {"timezone": "Europe/Paris"})
    world.register("other", schedule=NINE)

    restart(AHEAD)
    world.clock.set(at(8))
    (_, gone) = sorted(world.read(due_tasks, world.now, 10), key=lambda due: due.name)
    world.do(PauseUnplannable(gone))
    restart(NEWER)

    assert world.task("other").next_fire_at == at(8)
    assert (world.task().status, world.task().status_reason) == ("paused", "unplannable")
    world.resume(catch_up="once")
    assert slots(world) == [at(8)]


def test_many_tasks_are_replanned_in_batches(
    world: World, restart: Restart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replanner, "BATCH", 3)
    names = [f"t{number}" for number in range(10)]
    for name in names:
        world.register(name, schedule=NINE)

    restart(AHEAD)

    assert {world.task(name).next_fire_at for name in names} == {at(7)}


def test_a_task_that_is_changed_meanwhile_keeps_the_change(
    world: World, restart: Restart, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.register(schedule=NINE)
    world.register("fired", schedule=NINE)

    def meanwhile(*args: Any) -> Any:
        found = replanned_of(*args)
        monkeypatch.setattr(replanner, "replanned_of", replanned_of)
        at_ten = NINE | {"expression": "0 10 * * *"}
        world.register(schedule=at_ten, on_conflict="update")
        world.clock.set(at(8))
        world.fire()
        return found

    monkeypatch.setattr(replanner, "replanned_of", meanwhile)
    restart(AHEAD)

    assert world.task().next_fire_at == at(8, day=11)  # at ten
    assert slots(world) == [at(8)]
    assert world.task("fired").next_fire_at == at(7, day=11)
    assert slots(world, "fired") == [at(8)]


def test_the_first_start_with_a_stored_database_replans_what_the_machine_s_computed(
    world: World, restart: Restart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zone_database, "PINNED", AHEAD)
    world.register(schedule=NINE)
    with world.transaction() as tx:  # as the migration leaves it
        tx.connection.execute(sa.delete(zone_release))
    monkeypatch.setattr(replanner, "OF_THE_MACHINE", AHEAD)

    restart(PINNED)

    assert world.task().next_fire_at == at(8)
    assert world.read(current_release) == (PINNED.release, False)


def test_only_the_newest_of_live_replicas_replans(
    world: World, restart: Restart, have: Callable[[ZoneDatabase], None]
) -> None:
    new = restart(AHEAD)
    have(PINNED)
    older_id = world.enlist()
    world.register(schedule=NINE)
    old = Replanner(world.database, world.writer, world.clock)
    old.begin()
    assert world.task().next_fire_at == at(8)
    assert world.read(current_release) == (AHEAD.release, False)

    have(AHEAD)
    new.check()

    assert world.read(live_releases) == {PINNED.release, AHEAD.release}
    (warning,) = new.warnings
    assert PINNED.release in warning
    assert AHEAD.release in warning
    assert old.warnings == [warning]
    # Once the older replica has ended, what it stored meanwhile is replanned.
    with world.transaction() as tx:
        tx.connection.execute(sa.delete(replica).where(replica.c.id == older_id))
    new.check()
    assert world.task().next_fire_at == at(7)
    assert new.warnings == []
    assert world.read(current_release) == (AHEAD.release, False)


def test_what_an_older_replica_stored_is_replanned_after_a_restart_too(
    world: World, restart: Restart, have: Callable[[ZoneDatabase], None]
) -> None:
    new = restart(AHEAD)
    have(PINNED)
    world.enlist()
    Replanner(world.database, world.writer, world.clock).begin()
    have(AHEAD)
    new.check()
    assert world.read(current_release) == (AHEAD.release, True)
    have(PINNED)
    world.register(schedule=NINE)

    restart(AHEAD)

    assert world.task().next_fire_at == at(7)
    assert world.count(zone_release) == 1


def test_going_back_to_an_older_database_replans_as_well(world: World, restart: Restart) -> None:
    restart(NEWER)
    restart(AHEAD)
    world.register(schedule=NINE)

    restart(PINNED)

    assert world.task().next_fire_at == at(8)
    assert world.read(current_release) == (PINNED.release, False)


def test_the_service_replans_before_it_fires(
    serve: Callable[..., Service], have: Callable[[ZoneDatabase], None]
) -> None:
    first = serve(noop)
    soon = first.now + 20 * DAY
    rule = {"type": "once", "at": f"{soon:%Y-%m-%d}T09:00:00", "timezone": "Africa/Lagos"}
    first.register(schedule=rule)
    stored = first.task().next_fire_at
    assert stored is not None
    first.stop()
    have(changed("2099a", {"Africa/Lagos": "Asia/Tokyo"}))

    second = serve(noop)

    assert second.task().next_fire_at == stored - 8 * HOUR
    assert second.engine.warnings() == []
    assert second.count(zone_release) == 1


def test_a_start_with_the_same_database_reads_no_task(
    world: World, restart: Restart, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.register(schedule=NINE)
    monkeypatch.setattr(replanner, "stored_fire_times", None)

    restart(PINNED).check()

    assert world.task().next_fire_at == at(8)
    assert timedelta() < at(8) - world.now
