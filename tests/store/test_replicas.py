"""Leases of processes."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, update

from rota.db import tables
from rota.domain.primitives.ids import Id, random_id
from rota.domain.runs.status import RunStatus
from rota.store.completion.finish import Reap
from rota.store.replicas import Enlist, Renew, Retire, database_time
from tests.support.factories import DAY, HOUR, NOON, World

TTL = timedelta(seconds=15)


def _replicas(world: World) -> set[Id]:
    with world.database.read() as connection:
        return set(connection.execute(select(tables.replica.c.id)).scalars())


def _enlist(world: World, *handlers: str) -> Id:
    id = random_id()
    world.do(Enlist(id=id, host="h", pid=1, handlers=handlers or ("b", "a"), ttl=TTL))
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


def _expires_at(world: World, id: Id) -> datetime:
    with world.database.read() as connection:
        wanted = select(tables.replica.c.lease_expires_at).where(tables.replica.c.id == id)
        at: datetime = connection.execute(wanted).scalar_one()
    return at


def _shift(world: World, by: timedelta) -> None:
    """Have every lease end so much later, as it does when the database's clock is set back by that."""
    with world.transaction() as tx:
        for row in tx.connection.execute(select(tables.replica)).all():
            this = update(tables.replica).where(tables.replica.c.id == row.id)
            tx.connection.execute(this.values(lease_expires_at=row.lease_expires_at + by))


def test_a_lease_is_renewed_until_it_is_taken_over(world: World) -> None:
    id = _enlist(world)

    at = world.do(Renew(id, TTL))
    assert at is not None
    assert _expires_at(world, id) == at + TTL
    world.do(Retire(id))
    assert world.do(Renew(id, TTL)) is None
    assert world.do(Renew(random_id(), TTL)) is None


def test_a_lease_that_has_expired_and_was_not_taken_is_still_renewed(world: World) -> None:
    id = _enlist(world)
    _shift(world, -HOUR)

    at = world.do(Renew(id, TTL))

    assert at is not None
    assert _expires_at(world, id) == at + TTL


def test_a_process_that_stops_gives_its_lease_up(world: World) -> None:
    id = _enlist(world)

    world.do(Retire(id))

    assert id not in _replicas(world)
    assert world.do(Renew(id, TTL)) is None


on_sqlite = pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize(
    "database_engine", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)


@on_sqlite
@pytest.mark.parametrize("step", [-HOUR, 10 * TTL, DAY, 365 * DAY])
def test_on_sqlite_no_clock_ends_a_lease(world: World, step: timedelta) -> None:
    world.holder = id = _enlist(world, "noop")
    world.register(overlap_policy="allow")
    running = world.start()

    world.clock.set(world.now + step)

    assert world.do(Reap()) == 0
    assert world.run(running.id).status is RunStatus.RUNNING
    assert world.start().id != running.id  # and it continues to claim
    assert world.do(Renew(id, TTL)) == world.now


@on_postgresql
def test_on_postgresql_leases_go_by_the_database_s_clock(world: World) -> None:
    id = _enlist(world)

    world.clock.advance(1_000 * HOUR)

    assert world.do(Reap()) == 0
    assert world.do(Renew(id, TTL)) != world.now
    with world.transaction() as tx:
        assert database_time(tx) != tx.now
    assert world.now != NOON


@on_postgresql
def test_on_postgresql_another_replica_takes_over_an_expired_lease_but_never_its_own(
    world: World,
) -> None:
    other = _enlist(world)
    _shift(world, -HOUR)

    world.do(Reap(by=other, judging=False))
    assert _replicas(world) == {world.holder, other}
    world.do(Reap(by=other))
    assert _replicas(world) == {other}


@on_postgresql
def test_a_lease_from_before_the_database_s_clock_was_set_back_ends_anyway(
    world: World,
) -> None:
    dead, alive = _enlist(world), _enlist(world)
    _shift(world, HOUR)
    world.do(Renew(alive, TTL))

    world.do(Reap(by=alive))

    assert _replicas(world) == {alive}
    assert dead != alive
