"""What is removed and released in the background."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from rota.db import tables
from rota.domain.effects import RunEnded
from rota.domain.runs.status import RunStatus
from rota.engine import maintenance
from rota.engine.maintenance import Maintenance
from rota.errors import Unavailable
from rota.store.idempotency import KEPT_FOR, Once, Reply
from rota.store.kv.entries import KvFilter
from rota.store.kv.history.moments import find_moment
from rota.store.kv.history.reading import list_historic_entries
from rota.store.tasks import retention
from rota.store.tasks.registration import Register
from rota.store.tasks.run_commands import CancelRun
from tests.support.factories import DAY, HOUR, World, define, delete_entry, foreign_lock


@pytest.fixture
def upkeep(world: World) -> Maintenance:
    return Maintenance(world.database, world.writer, world.clock)


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "BATCH", 2)
    monkeypatch.setattr(maintenance, "_SWEPT", 3)


def _finish_runs(world: World, number: int) -> None:
    for _ in range(number):
        world.clock.advance(timedelta(seconds=1))
        world.succeed(world.start())


def test_runs_beyond_the_retention_of_a_task_are_removed(world: World, upkeep: Maintenance) -> None:
    world.register(overlap_policy="allow", retention={"runs": 2})
    _finish_runs(world, 9)
    last = world.runs()[-1]

    upkeep.committed(world.effects)
    upkeep.clean()

    assert len(world.runs()) == 2
    assert world.runs()[-1] == last


def test_the_history_of_entries_that_were_removed_long_ago_is_trimmed(
    world: World, upkeep: Maintenance
) -> None:
    world.register(retention={"age": 3600})
    for key in ("a", "b", "c", "back"):
        world.set(key, 1)
    world.set("kept", 1)
    for key in ("a", "b", "back"):
        world.do(delete_entry("t", key))
    world.set("back", 2)
    world.clock.advance(HOUR)
    world.do(delete_entry("t", "c"))
    world.clock.advance(timedelta(seconds=1))

    for _ in range(9):
        upkeep.clean()

    with world.database.read() as connection:
        kept = connection.execute(
            select(tables.kv_history.c.key, tables.kv_history.c.version)
        ).all()
        moments = [find_moment(connection, "t", revision, world.now) for revision in (6, 7, 9)]
        pages = [
            list_historic_entries(connection, "t", moment, KvFilter(), limit=9)
            for moment in moments
        ]
    assert sorted(tuple(row) for row in kept) == [
        ("", 7),
        ("back", 4),
        ("back", 8),
        ("c", 3),
        ("c", 10),
    ]
    assert [page.is_whole for page in pages] == [False, True, True]
    assert [[each.key for each in page.items] for page in pages[1:]] == [
        ["back", "c", "kept"],
        ["back", "c", "kept"],
    ]


def test_only_tasks_with_a_newly_finished_run_are_read(world: World, upkeep: Maintenance) -> None:
    world.register(overlap_policy="allow", retention={"runs": 1})
    _finish_runs(world, 5)

    upkeep.clean()
    before = len(world.runs())
    upkeep.committed([effect for effect in world.effects if isinstance(effect, RunEnded)])
    upkeep.clean()

    assert (before, len(world.runs())) == (5, 1)


def test_runs_that_could_not_be_removed_are_removed_the_next_time(
    world: World, upkeep: Maintenance, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.register(overlap_policy="allow", retention={"runs": 1})
    _finish_runs(world, 5)
    upkeep.committed(world.effects)
    with monkeypatch.context() as patch:
        patch.setattr(retention, "beyond_count", _unavailable)
        upkeep.clean()

    upkeep.clean()

    assert len(world.runs()) == 1


def _unavailable(*_: object) -> None:
    raise Unavailable("The database is away.")


def test_old_runs_are_removed_sweep_by_sweep(world: World, upkeep: Maintenance) -> None:
    world.register(overlap_policy="allow", retention={"age": "1h"})
    _finish_runs(world, 7)
    world.clock.advance(DAY)
    left = []

    for _ in range(3):
        upkeep.clean()
        left.append(len(world.runs()))

    assert left == [4, 1, 1]  # the last success is kept


def test_expired_entries_and_used_keys_are_removed(world: World, upkeep: Maintenance) -> None:
    world.register()
    for number in range(5):
        world.set(f"k{number}", 1, ttl=HOUR)
        command = Register(name=f"t{number}", definition=define())
        world.do(
            Once(
                key=f"k{number}",
                principal="p",
                fingerprint="f",
                command=command,
                render=lambda _: Reply(201, {}, b""),
            )
        )
    world.set("kept", 1)
    world.clock.advance(KEPT_FOR)

    upkeep.clean()

    assert (world.count(tables.kv), world.count(tables.idempotency)) == (1, 0)


def test_nothing_is_removed_by_age_while_the_clock_may_be_wrong(
    world: World, upkeep: Maintenance
) -> None:
    world.register(overlap_policy="allow", retention={"age": "1h"})
    world.register("ended", schedule={"type": "manual"})
    world.cancel("ended")
    _finish_runs(world, 3)
    world.set("short-lived", 1, ttl=HOUR)
    kept = (tables.run, tables.task, tables.kv, tables.event)
    counts = [world.count(table) for table in kept]

    world.clock.set(world.now + 3_650 * DAY)
    upkeep.clean()
    in_doubt = [world.count(table) for table in kept]
    world.clock.advance(HOUR)
    upkeep.clean()
    upkeep.clean()

    assert in_doubt == counts
    assert all(left < before for left, before in zip(map(world.count, kept), counts, strict=True))


def test_deleted_tasks_are_removed(world: World, upkeep: Maintenance) -> None:
    for name in ("a", "b", "c"):
        world.register(name, overlap_policy="allow")
        for _ in range(3):
            world.run_now(name)
    world.delete("a")
    world.delete("b")

    upkeep.clean()

    assert (world.count(tables.task), world.count(tables.run)) == (1, 3)


def test_ended_tasks_are_removed_when_their_retention_has_passed(
    world: World, upkeep: Maintenance
) -> None:
    for number in range(9):
        own = {"delete_after": "30d"} if number % 3 == 0 else {}
        world.register(f"t{number}", schedule={"type": "manual"}, **own)
        world.cancel(f"t{number}")
    counts = []

    for _ in range(3):
        upkeep.clean()
        counts.append(world.count(tables.task))
        world.clock.advance(7 * DAY)
    world.clock.advance(30 * DAY)
    upkeep.clean()

    assert counts == [9, 5, 3]  # the second sweep continued where the first had ended
    assert world.count(tables.task) == 0


def test_a_setting_determines_how_long_ended_tasks_are_kept(world: World) -> None:
    upkeep = Maintenance(world.database, world.writer, world.clock, timedelta(0))
    world.register(schedule={"type": "manual"})
    world.register("declared", schedule={"type": "manual"}, declared=True)
    world.cancel()
    world.cancel("declared")

    upkeep.clean()

    assert world.count(tables.task) == 1


def test_runs_of_dead_processes_are_released_and_missing_handlers_are_detected(
    world: World, upkeep: Maintenance
) -> None:
    world.register("lost", overlap_policy="allow")
    world.register("unknown", handler="other")
    lost = [world.start("lost").id for _ in range(3)]
    waiting = world.run_now("unknown")
    world.enlist("noop")
    world.end_lease(world.holder)

    upkeep.reap()

    assert {world.run(id).status for id in lost} == {RunStatus.QUEUED}
    assert world.run(waiting.id).waiting_on == ("handler",)


def test_without_a_database_maintenance_is_done_the_next_time(
    world: World, upkeep: Maintenance
) -> None:
    world.writer.stop()

    upkeep.reap()
    upkeep.clean()

    assert world.count(tables.replica) == 1


def test_a_job_that_fails_does_not_stop_the_others(
    world: World, upkeep: Maintenance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RuntimeError("a bug")

    world.register()
    world.set("a", 1, ttl=HOUR)
    world.clock.advance(HOUR)
    monkeypatch.setattr(upkeep, "_remove_old", broken)

    upkeep.clean()

    assert world.count(tables.kv) == 0


@pytest.mark.postgres
@pytest.mark.parametrize("database_engine", ["postgresql"], indirect=True)
def test_a_foreign_lock_on_the_next_run_holds_up_no_release_of_other_lost_runs(
    world: World, upkeep: Maintenance
) -> None:
    world.register("t", overlap_policy="buffer", schedule={"type": "manual"})
    world.register("free", schedule={"type": "manual"})
    held, free = world.start("t"), world.start("free")
    following = world.run_now("t")
    world.do(CancelRun(held.id))  # so that its loss is its end
    world.end_lease(world.holder)
    world.enlist()

    with foreign_lock(world, select(tables.run.c.id).where(tables.run.c.id == following.id)):
        upkeep.reap()
        statuses = [world.run(run.id).status for run in (held, free)]

    assert statuses == [RunStatus.RUNNING, RunStatus.QUEUED]
    upkeep.reap()
    assert world.run(held.id).status is RunStatus.CANCELLED
