"""Replicas and their leases, by the database's clock."""

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
    select,
    update,
)

from app.db.tables import replica
from app.db.writer import Command, Transaction
from app.domain import values
from app.domain.ids import Id
from app.domain.zones import database


@dataclass(frozen=True, slots=True, kw_only=True)
class Enlist(Command[None]):
    """Make this process a replica. On SQLite it is the only one, so the rows of others are of the dead."""

    id: Id
    host: str
    pid: int
    handlers: tuple[str, ...]
    ttl: timedelta

    def apply(self, tx: Transaction) -> None:
        if tx.is_sqlite:
            tx.connection.execute(delete(replica))
        now = database_time(tx)
        tx.connection.execute(
            insert(replica).values(
                id=self.id,
                host=self.host,
                pid=self.pid,
                handlers=values.dumps(sorted(self.handlers)),
                started_at=now,
                lease_expires_at=now + self.ttl,
                zone_release=database().release,
            )
        )


@dataclass(frozen=True, slots=True)
class Renew(Command[bool]):
    """Renew the lease; False if it is not ours any more, because it ended and its runs were given back."""

    id: Id
    ttl: timedelta

    def apply(self, tx: Transaction) -> bool:
        now = database_time(tx)
        renewed = tx.connection.execute(
            update(replica)
            .where(replica.c.id == self.id, replica.c.lease_expires_at > now)
            .values(lease_expires_at=now + self.ttl)
        )
        return renewed.rowcount == 1


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
    """Guard: who has lost its lease takes nothing. Parameters: `g_holder`, and on SQLite `g_now`."""
    held = replica.c.id == bindparam("g_holder", type_=replica.c.id.type)
    at = bindparam("g_now", type_=replica.c.lease_expires_at.type)
    return exists().where(
        held, replica.c.lease_expires_at > (at if is_sqlite else func.clock_timestamp())
    )


def remove_expired(tx: Transaction) -> int:
    """Remove the replicas whose lease has ended; return how many."""
    ended = replica.c.lease_expires_at <= database_time(tx)
    return tx.connection.execute(delete(replica).where(ended)).rowcount


def known_handlers(connection: Connection) -> frozenset[str]:
    """Return the handlers that some live replica knows."""
    return frozenset(
        name for text in connection.execute(_ANNOUNCED).scalars() for name in values.loads(text)
    )


_ANNOUNCED = select(replica.c.handlers)
