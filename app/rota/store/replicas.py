"""Replicas and their leases.

On SQLite the one process keeps every other off the file, so nothing is ever taken from it, whatever a clock says: its
row is its lease. On PostgreSQL a replica whose lease is over, by the database's clock, may be removed by another, which
gives its runs back. As long as that has not happened, a lease that is over is renewed like any other.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    true,
    update,
)

from rota.db.tables import replica
from rota.db.writer import Command, Transaction
from rota.domain.primitives import json_text
from rota.domain.primitives.ids import Id
from rota.domain.time_zones.zone import database

# No lease is given for longer (`ROTA_LEASE_TTL`).
LONGEST_TTL = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Enlist(Command[datetime]):
    """Make this process a replica; return when, by the clock of leases.

    On SQLite it is the only one, so the rows of others are of the dead.
    """

    id: Id
    host: str
    pid: int
    handlers: tuple[str, ...]
    ttl: timedelta

    def apply(self, tx: Transaction) -> datetime:
        if tx.is_sqlite:
            tx.connection.execute(delete(replica))
        now = database_time(tx)
        tx.connection.execute(
            insert(replica).values(
                id=self.id,
                host=self.host,
                pid=self.pid,
                handlers=json_text.dumps(sorted(self.handlers)),
                started_at=now,
                lease_expires_at=now + self.ttl,
                zone_release=database().release,
            )
        )
        return now


@dataclass(frozen=True, slots=True)
class Renew(Command[datetime | None]):
    """Renew the lease; return when, by the clock of leases, or None if it is not ours any more.

    It goes by the row alone: whoever takes a lease that is over removes it. Until then nothing was given back, and a
    process that was suspended, or whose clock was set, loses nothing by having been late.
    """

    id: Id
    ttl: timedelta

    def apply(self, tx: Transaction) -> datetime | None:
        now = database_time(tx)
        renewed = tx.connection.execute(
            update(replica).where(replica.c.id == self.id).values(lease_expires_at=now + self.ttl)
        )
        return now if renewed.rowcount == 1 else None


@dataclass(frozen=True, slots=True)
class Retire(Command[None]):
    """End the lease of a process that stops; what it still holds can be taken over at once."""

    id: Id

    def apply(self, tx: Transaction) -> None:
        tx.connection.execute(delete(replica).where(replica.c.id == self.id))


def database_time(tx: Transaction) -> datetime:
    """Return the time that leases go by: the database's own on PostgreSQL, this process's on SQLite."""
    if tx.is_sqlite:
        return tx.now
    now: datetime = tx.connection.execute(select(func.clock_timestamp())).scalar_one()
    return now


def lease_is_live(is_sqlite: bool) -> ColumnElement[bool]:  # noqa: FBT001
    """Guard: who has lost its lease takes nothing. Parameter: `g_holder`."""
    held = replica.c.id == bindparam("g_holder", type_=replica.c.id.type)
    return exists().where(held, is_live(is_sqlite))


def is_live(is_sqlite: bool) -> ColumnElement[bool]:  # noqa: FBT001
    """Return what holds for the row of a replica whose lease is not over."""
    return true() if is_sqlite else replica.c.lease_expires_at > func.clock_timestamp()


def remove_expired(tx: Transaction, but: Id | None = None) -> int:
    """Remove the other replicas whose lease is over; return how many. There are none on SQLite.

    A lease that seems to last longer than any is given for was not renewed since the database's clock was set back.
    """
    if tx.is_sqlite:
        return 0
    now, until = database_time(tx), replica.c.lease_expires_at
    ended = delete(replica).where(or_(until <= now, until > now + LONGEST_TTL))
    if but is not None:
        ended = ended.where(replica.c.id != but)
    return tx.connection.execute(ended).rowcount


def known_handlers(connection: Connection) -> frozenset[str]:
    """Return the handlers that some live replica knows."""
    return frozenset(
        name for text in connection.execute(_ANNOUNCED).scalars() for name in json_text.loads(text)
    )


_ANNOUNCED = select(replica.c.handlers)
