"""Replicas and their leases.

On SQLite the one process locks every other out of the file, so nothing is ever taken from it, at any time: its row is
its lease. On PostgreSQL a replica whose lease has expired, by the database's clock, may be removed by another, which
releases its runs. As long as that has not happened, an expired lease is renewed like any other.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Text,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    true,
    update,
)

from rota.db.command import Command, Transaction
from rota.db.tables import handler, replica
from rota.domain.primitives.ids import Id
from rota.domain.primitives.json import json_text
from rota.domain.time_zones.zone import database

# No lease is longer (`ROTA_LEASE_TTL`).
LONGEST_TTL = timedelta(minutes=10)
#: The `isolation` of a handler that workers outside execute.
OUTSIDE: Final = "outside"


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
    """Renew the lease; return when, by the clock of leases, or None if it was taken over.

    Only the row counts: a replica that takes over an expired lease removes it. Until then nothing was released, and a
    process that was suspended, or whose clock was set, may renew it late.
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
    """End the lease of a process that stops; the runs that it still holds can be taken over at once."""

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
    """Guard: a replica that has lost its lease claims nothing. Parameter: `g_holder`."""
    held = replica.c.id == bindparam("g_holder", type_=replica.c.id.type)
    return exists().where(held, is_live(is_sqlite))


def is_live(is_sqlite: bool) -> ColumnElement[bool]:  # noqa: FBT001
    """Return the condition for the row of a replica with a live lease."""
    return true() if is_sqlite else replica.c.lease_expires_at > func.clock_timestamp()


def remove_expired(tx: Transaction, but: Id | None = None) -> int:
    """Remove the other replicas whose lease has expired; return how many. There are none on SQLite.

    A lease that seems to last longer than the longest was not renewed since the database's clock was set back.
    """
    if tx.is_sqlite:
        return 0
    now, until = database_time(tx), replica.c.lease_expires_at
    ended = delete(replica).where(or_(until <= now, until > now + LONGEST_TTL))
    if but is not None:
        ended = ended.where(replica.c.id != but)
    return tx.connection.execute(ended).rowcount


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """A process of the service."""

    id: Id
    host: str
    pid: int
    handlers: tuple[str, ...]
    live: bool
    started_at: datetime
    lease_expires_at: datetime
    zone_release: str | None


def list_replicas(connection: Connection) -> list[Replica]:
    """Return all replicas, in the order in which they were started."""
    live = is_live(connection.dialect.name == "sqlite").label("live")
    rows = connection.execute(select(replica, live).order_by(replica.c.started_at, replica.c.id))
    return [
        Replica(
            id=row.id,
            host=row.host,
            pid=row.pid,
            handlers=tuple(json_text.loads(row.handlers)),
            live=bool(row.live),
            started_at=row.started_at,
            lease_expires_at=row.lease_expires_at,
            zone_release=row.zone_release,
        )
        for row in rows
    ]


def known_handlers(connection: Connection) -> frozenset[str]:
    """Return the handlers that a live replica knows, and those that are declared for workers outside."""
    return _names(connection, _KNOWN)


def served_handlers(connection: Connection) -> frozenset[str]:
    """Return the handlers that a live replica knows."""
    return _names(connection, _ANNOUNCED)


def _names(connection: Connection, lists: Any) -> frozenset[str]:
    return frozenset(
        name for text in connection.execute(lists).scalars() for name in json_text.loads(text)
    )


_ANNOUNCED = select(replica.c.handlers)
# As a list of one, in the same statement: every insertion of runs needs both. A declared name needs no escapes.
_KNOWN = _ANNOUNCED.union_all(
    select(literal('["', Text).concat(handler.c.name).concat('"]')).where(
        handler.c.isolation == literal(OUTSIDE)
    )
)
