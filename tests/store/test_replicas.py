"""Leases of processes."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from app.db import tables
from app.domain.ids import Id, random_id
from app.store.replicas import Enlist, Renew, Retire, database_time
from tests.factories import HOUR, NOON, World

TTL = timedelta(seconds=15)


def _replicas(world: World) -> set[Id]:
    with world.database.read() as connection:
        return set(connection.execute(select(tables.replica.c.id)).scalars())


def _enlist(world: World) -> Id:
    id = random_id()
    world.do(Enlist(id=id, host="h", pid=1, handlers=("b", "a"), ttl=TTL))
    return id


def test_a_process_becomes_a_replica_with_its_handlers(world: World) -> None:
    id = _enlist(world)

    with world.database.read() as connection:
        row = connection.execute(select(tables.replica).where(tables.replica.c.id == id)).one()
    assert row.handlers == '["a","b"]'
    assert row.lease_expires_at - row.started_at == TTL


def test_there_is_one_replica_on_sqlite_and_any_number_on_postgresql(world: World) -> None:
    first, second = _enlist(world), _enlist(world)

    assert _replicas(world) == ({second} if world.is_sqlite else {world.holder, first, second})


def test_a_lease_is_renewed_while_it_lasts(world: World) -> None:
    id = _enlist(world)

    assert world.do(Renew(id, TTL)) is True
    world.end_lease(id)
    assert world.do(Renew(id, TTL)) is False
    assert world.do(Renew(random_id(), TTL)) is False


def test_a_process_that_stops_gives_its_lease_up(world: World) -> None:
    id = _enlist(world)

    world.do(Retire(id))

    assert id not in _replicas(world)
    assert world.do(Renew(id, TTL)) is False


@pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)
def test_on_sqlite_leases_go_by_our_clock(world: World) -> None:
    id = _enlist(world)

    world.clock.advance(TTL - timedelta(milliseconds=1))
    assert world.do(Renew(id, TTL)) is True
    world.clock.advance(TTL)
    assert world.do(Renew(id, TTL)) is False


@pytest.mark.postgres
@pytest.mark.parametrize("database_engine", ["postgresql"], indirect=True)
def test_on_postgresql_leases_go_by_the_database_s_clock(world: World) -> None:
    id = _enlist(world)

    world.clock.advance(1_000 * HOUR)

    assert world.do(Renew(id, TTL)) is True
    with world.transaction() as tx:
        assert database_time(tx) != tx.now
    assert world.now != NOON
