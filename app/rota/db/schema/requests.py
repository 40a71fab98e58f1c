"""What serves clients: events, and responses to idempotent requests."""

from datetime import datetime

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, String, Text
from sqlmodel import Field

from rota.db.schema.base import Row, name_type
from rota.db.types import Instant


class EventRow(Row, table=True):
    """The events of one commit: a JSON list, empty when its retention has passed."""

    __tablename__ = "event"
    __table_args__ = (Index("ix_event_position", "xid", "id"),)

    id: int | None = Field(
        None, sa_type=BigInteger().with_variant(Integer, "sqlite"), primary_key=True
    )
    #: PostgreSQL: the transaction id, which orders the events; SQLite: 0.
    xid: int = Field(sa_type=BigInteger)
    at: datetime = Field(sa_type=Instant)
    events: str = Field(sa_type=Text)


class IdempotencyRow(Row, table=True):
    """The response to a request with an `Idempotency-Key`, stored in the commit of its write."""

    __tablename__ = "idempotency"
    __table_args__ = (Index("ix_idempotency_created_at", "created_at"),)

    key: str = Field(sa_type=name_type(255), primary_key=True)
    principal: str = Field(sa_type=name_type(64), primary_key=True)
    fingerprint: str = Field(sa_type=String(64))
    status: int
    headers: str = Field(sa_type=Text)
    body: bytes = Field(sa_type=LargeBinary)
    created_at: datetime = Field(sa_type=Instant)
