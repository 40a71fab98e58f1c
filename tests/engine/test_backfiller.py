"""Backfills advance without a request: in order, a few at a time, on any replica, after any stop."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rota import Context, handler
from rota.db import tables
from rota.domain.backfills import Backfill, times_from
from rota.domain.primitives.ids import Id
from rota.domain.runs.status import RunStatus
from rota.engine import backfiller
from rota.engine.backfiller import Backfiller
from rota.errors import Unplannable
from rota.store.scheduling.backfill_rows import find_backfill, unfinished
from tests.engine.service import Service
from tests.support.backfills import begin
from tests.support.factories import HOUR, MINUTE, NOON, Client, World, eventually

FIRST = NOON + MINUTE


@pytest.fixture
def hourly(world: World) -> World:
    """A world whose task `t` was registered at noon, an hour ago, and fires every minute."""
    world.register(overlap_policy="allow")
    world.clock.advance(HOUR)
    return world


@pytest.fixture
def engine(hourly: World) -> Backfiller:
    return Backfiller(hourly.database, hourly.writer)


def _made(world: Client, of: Backfill) -> list[datetime]:
    """Return the fire times that have become runs, in the order of insertion."""
    runs = sorted(world.runs(backfill_id=[of.id]), key=lambda run: run.id)
    return [run.scheduled_for for run in runs]


def _finish_all(world: World, engine: Backfiller) -> list[datetime]:
    """End every run and insert further ones until there are none; return the order in which they ran."""
    ran: list[datetime] = []
    while claimed := world.claim():
        for each in claimed:
            ran.append(each.scheduled_for)
            world.succeed(each)
        engine.make_pass()
    return ran


@pytest.mark.parametrize("newest_first", [False, True])
def test_fire_times_run_one_after_the_other_in_the_requested_order(
    hourly: World, engine: Backfiller, newest_first: bool
) -> None:
    begun = begin(hourly, newest_first=newest_first)

    engine.make_pass()
    engine.make_pass()
    first = _made(hourly, begun)
    ran = _finish_all(hourly, engine)

    wanted = [FIRST + number * MINUTE for number in range(10)]
    assert len(first) == 1
    assert ran == (wanted[::-1] if newest_first else wanted)
    ended = hourly.read(find_backfill, begun.task_id, begun.id)
    assert (ended.made, ended.finished_at) == (10, hourly.now)


def test_no_more_runs_are_unfinished_than_allowed(hourly: World, engine: Backfiller) -> None:
    begun = begin(hourly, max_concurrent=3)
    engine.make_pass()
    counts = [len(_made(hourly, begun))]

    for claimed in hourly.claim(2):
        hourly.succeed(claimed)
    engine.make_pass()
    counts.append(len(_made(hourly, begun)))

    assert counts == [3, 5]
    assert hourly.read(unfinished, None, 9)[0].room == 0


def test_many_runs_are_inserted_in_several_writes(
    hourly: World, engine: Backfiller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfiller, "BATCH", 4)
    monkeypatch.setattr(backfiller, "_PAGE", 1)
    begun = [begin(hourly, max_concurrent=50), begin(hourly, max_concurrent=9)]

    engine.make_pass()

    assert [len(_made(hourly, each)) for each in begun] == [10, 9]


def test_a_backfill_that_cannot_be_planned_ends_and_the_others_continue(
    hourly: World, engine: Backfiller, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, sound = begin(hourly, newest_first=True), begin(hourly)

    def fails_backwards(*given: Any, **fields: Any) -> Iterator[datetime]:
        if fields["newest_first"]:
            raise Unplannable("the zone is gone")
        return times_from(*given, **fields)

    monkeypatch.setattr(backfiller, "times_from", fails_backwards)
    engine.make_pass()

    assert [len(_made(hourly, each)) for each in (broken, sound)] == [0, 1]
    ended = hourly.read(find_backfill, broken.task_id, broken.id)
    assert (ended.made, ended.finished_at) == (0, hourly.now)


def test_another_process_inserts_the_runs_that_a_stopped_one_has_not(
    hourly: World, engine: Backfiller
) -> None:
    begun = begin(hourly)
    engine.make_pass()
    hourly.succeed(hourly.claim()[0])  # the process dies before it has inserted the next one

    ran = _finish_all(hourly, _passed(Backfiller(hourly.database, hourly.writer)))

    wanted = [FIRST + number * MINUTE for number in range(10)]
    assert [FIRST, *ran] == wanted
    assert _made(hourly, begun) == wanted


def _passed(engine: Backfiller) -> Backfiller:
    engine.make_pass()
    return engine


@pytest.mark.parametrize("database_engine", ["postgresql"], indirect=True)
def test_two_replicas_never_insert_the_same_run_twice(
    migrated_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both read the same row before either writes."""
    one, other = World(migrated_database_url), World(migrated_database_url)
    try:
        one.register(overlap_policy="allow")
        one.clock.advance(HOUR)
        other.clock.advance(HOUR)
        begun = begin(one, minutes=30, max_concurrent=5)
        both_have_read = threading.Barrier(2, timeout=20)
        real = Backfiller._command

        def read_together(self: Backfiller, *given: Any) -> Any:
            command = real(self, *given)
            both_have_read.wait()
            return command

        for _ in range(6):
            monkeypatch.setattr(Backfiller, "_command", read_together)
            passes = [
                threading.Thread(target=Backfiller(world.database, world.writer).make_pass)
                for world in (one, other)
            ]
            for each in passes:
                each.start()
            for each in passes:
                each.join(20)
            assert len(one.runs(backfill_id=[begun.id], status=["queued"])) == 5
            for claimed in one.claim():
                one.succeed(claimed)

        assert _made(one, begun) == [FIRST + number * MINUTE for number in range(30)]
        ended = one.read(find_backfill, begun.task_id, begun.id)
        assert (ended.made, ended.next_at) == (30, None)
    finally:
        one.close()
        other.close()


def test_a_service_runs_a_backfill_to_its_end(serve: Callable[..., Service]) -> None:
    ran: list[datetime] = []

    @handler("noop")
    async def noop(ctx: Context) -> None:
        ran.append(ctx.scheduled_for)

    # No watchdog is needed: each end of a run wakes the thread.
    service = serve(noop, watchdog_interval=60)
    begun = _begin_yesterday(service)

    ended = eventually(lambda: _ended(service, begun.id), "the backfill did not end")

    assert ended.made == begun.runs == 24
    assert ran == sorted(ran)
    assert len(ran) == 24


def test_a_backfill_continues_after_a_restart(serve: Callable[..., Service]) -> None:
    stopped, going = threading.Event(), threading.Event()

    @handler("noop")
    async def noop(ctx: Context) -> None:
        going.set()
        while not stopped.is_set():  # noqa: ASYNC110  # set in another thread
            await asyncio.sleep(0.005)

    first = serve(noop)
    begun = _begin_yesterday(first)
    assert going.wait(20)
    first.stop()
    stopped.set()

    second = serve(noop)

    assert eventually(lambda: _ended(second, begun.id), "the backfill did not continue").made == 24
    runs = second.runs(backfill_id=[begun.id])
    assert len({run.scheduled_for for run in runs}) == len(runs) == 24
    assert {run.status for run in runs} == {RunStatus.SUCCEEDED}


def test_spaced_runs_never_start_before_their_times(serve: Callable[..., Service]) -> None:
    @handler("noop")
    async def noop(ctx: Context) -> None:
        return None

    service = serve(noop)
    begun = _begin_yesterday(service, hours=3, max_concurrent=3, spacing=timedelta(seconds=0.2))

    eventually(lambda: _ended(service, begun.id), "the backfill did not end")

    runs = service.runs()
    waited = [run.first_started_at - run.created_at for run in runs if run.first_started_at]
    assert len(waited) == 3
    assert waited[1] >= timedelta(seconds=0.2)
    assert waited[2] >= timedelta(seconds=0.4)


def _begin_yesterday(service: Service, hours: int = 24, **fields: Any) -> Backfill:
    """Begin a backfill of the whole hours of some hours of a past day."""
    anchor = "2026-01-01T00:00:00Z"
    service.register(schedule={"type": "interval", "every": 3600, "anchor": anchor})
    midnight = datetime(2026, 1, 2, tzinfo=UTC)
    return begin(service, starts_at=midnight, minutes=60 * (hours - 1), **fields)


def _ended(service: Service, id: Id) -> Backfill | None:
    found: Backfill = service.read(find_backfill, service.task().id, id)
    unfinished_runs = service.count(tables.run, tables.run.c.finished_at.is_(None))
    return found if found.finished_at and not unfinished_runs else None
