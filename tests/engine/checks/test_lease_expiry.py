"""Ends of attempts outside: none for a time in which nobody listened, and none of others is held up by a lock."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from rota.db import tables
from rota.domain.runs.model import ClaimedRun
from rota.domain.runs.status import RunStatus
from rota.engine.checks.lease_expiry import LeaseExpiry
from rota.engine.firing import Firing
from rota.metrics import Metrics
from rota.store.runs.cancellation import CANCEL_GRACE
from rota.store.tasks.run_commands import CancelRun
from tests.store.completion.test_outside import Outside
from tests.support.factories import HOUR, MINUTE, NOON, World, foreign_lock, once

SILENCE = timedelta(seconds=60)


@pytest.fixture
def outside(world: World) -> Outside:
    return Outside(world)


@pytest.fixture
def expiry(world: World) -> LeaseExpiry:
    made = LeaseExpiry(
        world.database, world.writer, world.clock, interval=1, holder=lambda: world.holder
    )
    made.expire(10)
    return made


def _status(outside: Outside, run: ClaimedRun) -> RunStatus:
    return outside.world.run(run.id).status


def test_an_attempt_that_is_silent_while_somebody_listens_is_ended(
    outside: Outside, expiry: LeaseExpiry
) -> None:
    run = outside.begun(heartbeat_timeout=60)
    outside.end_lease(run)
    outside.world.clock.advance(timedelta(seconds=1.5))

    assert expiry.expire(10) is False

    assert _status(outside, run) is RunStatus.QUEUED


def test_after_a_standstill_the_silence_begins_anew_before_anything_is_ended(
    outside: Outside, expiry: LeaseExpiry
) -> None:
    run = outside.begun(heartbeat_timeout=60, timeout=3_600)
    outside.end_lease(run)
    outside.world.clock.advance(timedelta(seconds=4))

    expiry.expire(10)

    assert _status(outside, run) is RunStatus.RUNNING
    left = expiry.next_in()
    assert left is not None
    assert SILENCE - timedelta(seconds=30) < left <= SILENCE
    outside.end_lease(run)
    expiry.expire(10)
    assert _status(outside, run) is RunStatus.QUEUED, "it is forgiven once"


def test_a_look_that_a_lease_had_been_due_for_earlier_is_one_after_a_standstill(
    outside: Outside,
) -> None:
    world = outside.world
    expiry = LeaseExpiry(world.database, world.writer, world.clock, interval=60)
    run = outside.begun(heartbeat_timeout=2, timeout=3_600)
    left = expiry.next_in()
    assert left is not None
    assert timedelta(0) < left <= timedelta(seconds=2)
    world.clock.advance(timedelta(seconds=10))
    outside.end_lease(run)

    expiry.expire(10)

    assert _status(outside, run) is RunStatus.RUNNING


def test_a_standstill_moves_no_timeout(outside: Outside, expiry: LeaseExpiry) -> None:
    run = outside.begun()
    outside.end_lease(run)
    outside.world.clock.advance(HOUR)

    expiry.expire(10)

    assert _status(outside, run) is RunStatus.QUEUED


@pytest.mark.parametrize("by", [2 * HOUR, -2 * HOUR])
@pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)
def test_a_clock_that_is_set_takes_the_leases_with_it_that_go_by_it(
    outside: Outside, expiry: LeaseExpiry, by: timedelta
) -> None:
    world = outside.world
    silent, limited = outside.begun(heartbeat_timeout=60), outside.begun(name="u", timeout=90)
    before_202 = outside.start("v", timeout=90)
    deadlines = [outside.grant(run).deadline_at for run in (silent, limited, before_202)]
    world.clock.set(world.now + by)

    expiry.expire(10)

    assert {_status(outside, run) for run in (silent, limited)} == {RunStatus.RUNNING}
    moved = [outside.grant(run).deadline_at for run in (silent, limited, before_202)]
    assert moved == [at + by for at in deadlines]
    assert expiry.next_in() == SILENCE
    _let_pass(world, timedelta(seconds=61), expiry)
    assert [_status(outside, run) for run in (silent, limited)] == ["queued", "running"]
    _let_pass(world, timedelta(seconds=30), expiry)
    assert _status(outside, limited) is RunStatus.QUEUED


@pytest.mark.parametrize("by", [2 * HOUR, -2 * HOUR])
@pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)
def test_what_was_counted_from_the_clock_that_is_set_already_stays(
    outside: Outside, expiry: LeaseExpiry, by: timedelta
) -> None:
    world = outside.world
    heard = outside.begun(heartbeat_timeout=60)
    cancelled = outside.begun(name="cancelled", timeout=3_600)
    world.clock.advance(timedelta(seconds=2))
    expiry.expire(10)
    world.clock.set(world.now + by)
    began = outside.begun(name="began", timeout=90)
    outside.beat(heard)
    world.do(CancelRun(cancelled.id))

    expiry.expire(10)

    assert outside.row(heard).lease_expires_at == world.now + SILENCE
    assert outside.row(cancelled).lease_expires_at == world.now + CANCEL_GRACE
    assert outside.row(began).lease_expires_at == outside.grant(began).deadline_at
    assert outside.grant(began).deadline_at == world.now + timedelta(seconds=90)


def _let_pass(world: World, time: timedelta, expiry: LeaseExpiry) -> None:
    for _ in range(int(time.total_seconds())):
        world.clock.advance(timedelta(seconds=1))
        expiry.expire(10)


@pytest.mark.postgres
@pytest.mark.parametrize("database_engine", ["postgresql"], indirect=True)
def test_a_suspended_machine_has_heard_nothing_by_the_clock_of_the_database(
    outside: Outside, expiry: LeaseExpiry
) -> None:
    """Its monotonic clock stood still as well."""
    run = outside.begun(heartbeat_timeout=60)
    outside.end_lease(run)
    outside.world.clock.set(NOON + HOUR)

    expiry.expire(10)

    assert _status(outside, run) is RunStatus.RUNNING


@pytest.mark.postgres
@pytest.mark.parametrize("database_engine", ["postgresql"], indirect=True)
def test_a_foreign_lock_on_the_next_run_holds_up_no_other_expiry_and_no_firing(
    outside: Outside, expiry: LeaseExpiry
) -> None:
    world = outside.world
    held = outside.begun(retry={"max_attempts": 1}, overlap_policy="buffer")
    following = world.run_now("t")
    free = outside.begun(name="free", retry={"max_attempts": 1})
    world.register("due", schedule=once(NOON + MINUTE))
    passes = Firing(world.database, world.writer, world.clock, Metrics(), expiry)
    for run in (held, free):
        outside.end_lease(run)
    world.clock.advance(MINUTE)
    expiry.next_in()

    with foreign_lock(world, select(tables.run.c.id).where(tables.run.c.id == following.id)):
        passes.make_pass()
        statuses = [_status(outside, run) for run in (held, free)]

    assert statuses == ["running", "failed"]
    assert len(world.runs("due")) == 1
    passes.make_pass()
    assert _status(outside, held) is RunStatus.FAILED
    assert world.run(following.id).status is RunStatus.QUEUED
