"""The lease of a process."""

import asyncio
from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from rota.db import tables
from rota.domain.primitives.ids import Id
from rota.engine import leases
from rota.engine.leases import Lease
from rota.errors import Unavailable
from rota.store.replicas import Retire
from tests.support.factories import HOUR, MINUTE, World, eventually

TTL = 15.0


@pytest.fixture
def lost() -> list[Id]:
    return []


@pytest.fixture
def lease(world: World, lost: list[Id]) -> Lease:
    made = Lease(
        world.writer,
        world.clock,
        ttl=TTL,
        handlers=("noop",),
        on_lost=lambda: lost.append(made.holder),
    )
    return made


def _play(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def _replicas(world: World) -> set[Id]:
    with world.database.read() as connection:
        return set(connection.execute(select(tables.replica.c.id)).scalars())


def test_a_lease_is_trusted_for_less_than_its_ttl(world: World, lease: Lease) -> None:
    assert not lease.trusted
    _play(lease.enlist())
    assert lease.trusted
    world.clock.advance(MINUTE * 11 / 60)
    assert lease.trusted
    world.clock.advance(MINUTE * 1 / 60)
    assert not lease.trusted


def test_a_lease_is_trusted_as_long_after_the_wall_clock_was_set_back(
    world: World, lease: Lease
) -> None:
    _play(lease.enlist())
    world.clock.advance(MINUTE)
    world.clock.set(world.now - 10 * MINUTE)

    assert not lease.trusted


def test_a_renewed_lease_is_trusted_again(world: World, lease: Lease, lost: list[Id]) -> None:
    _play(lease.enlist())
    world.clock.advance(MINUTE * 14 / 60)

    wait = _play(lease.renew())

    assert lease.trusted
    assert wait == TTL / 3
    assert lost == []


def test_a_lost_lease_is_reported_and_a_new_one_is_taken(
    world: World, lease: Lease, lost: list[Id]
) -> None:
    _play(lease.enlist())
    old = lease.holder
    world.do(Retire(old))  # as the replica that takes it over does

    _play(lease.renew())

    assert lost == [old]
    assert lease.holder != old
    assert lease.holder in _replicas(world)
    assert lease.trusted


def test_two_renewals_that_find_the_lease_lost_take_one_new_lease(
    world: World, lease: Lease, lost: list[Id]
) -> None:
    _play(lease.enlist())
    world.do(Retire(lease.holder))

    async def both() -> None:
        await asyncio.gather(lease.renew(), lease.renew())

    _play(both())

    assert len(lost) == 1
    assert _replicas(world) - {world.holder} == {lease.holder}


class DatabaseClock:
    """The clock of the database, as a test sets it."""

    def __init__(self, patch: pytest.MonkeyPatch, at: datetime) -> None:
        self.at = at
        patch.setattr("rota.store.replicas.database_time", lambda _tx: self.at)


@pytest.fixture
def database_clock(world: World, monkeypatch: pytest.MonkeyPatch) -> DatabaseClock:
    return DatabaseClock(monkeypatch, world.now)


@pytest.mark.parametrize("passed", [MINUTE, -HOUR])
def test_a_replica_that_was_silent_or_whose_clock_was_set_does_not_reap_others_at_once(
    world: World, lease: Lease, database_clock: DatabaseClock, passed: timedelta
) -> None:
    _play(lease.enlist())
    at_first = lease.judges
    database_clock.at += passed
    _play(lease.renew())
    after_the_step = lease.judges

    for _ in range(4):
        world.clock.advance(timedelta(seconds=5))
        database_clock.at += timedelta(seconds=5)
        _play(lease.renew())

    assert at_first
    assert not after_the_step
    assert lease.judges


def test_a_replica_that_has_just_lost_its_lease_does_not_reap_others(
    world: World, lease: Lease, database_clock: DatabaseClock
) -> None:
    _play(lease.enlist())
    world.do(Retire(lease.holder))
    database_clock.at += MINUTE

    _play(lease.renew())

    assert lease.trusted
    assert not lease.judges


def test_without_a_database_the_lease_expires_and_renewing_is_retried(
    world: World, lease: Lease, lost: list[Id], monkeypatch: pytest.MonkeyPatch
) -> None:
    _play(lease.enlist())

    async def unavailable(_command: Any) -> bool:
        raise Unavailable("no database")

    with monkeypatch.context() as patched:
        patched.setattr(world.writer, "run", unavailable)
        waits = [_play(lease.renew()) for _ in range(3)]
    world.clock.advance(MINUTE)

    assert waits == [leases._AFTER_A_FAILURE] * 3
    assert not lease.trusted
    assert lost == []


def test_a_lease_is_renewed_until_it_is_retired(
    world: World, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_ttl", 0.03)
    renewals = 0
    renew = lease.renew

    async def counted() -> float:
        nonlocal renewals
        renewals += 1
        return await renew()

    monkeypatch.setattr(lease, "renew", counted)

    async def play() -> None:
        await lease.enlist()
        keeping = asyncio.create_task(lease.keep())
        await asyncio.to_thread(eventually, lambda: renewals >= 3)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await lease.retire()

    _play(play())

    assert not lease.trusted
    assert lease.holder not in _replicas(world)
