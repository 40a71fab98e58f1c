"""Holds, those that have ended included: the fire times of an outage may be planned after one has ended."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, String, Text
from sqlmodel import Field

from rota.db.schema.base import Row, name_type, one_of, partial
from rota.db.types import Instant, StoredId
from rota.domain.holds.model import HeldFireTimes
from rota.domain.primitives.ids import Id


class HoldRow(Row, table=True):
    """A hold. `closed_at`: since when its name is free again; it keeps covering what it has covered."""

    __tablename__ = "hold"
    __table_args__ = (
        CheckConstraint(one_of("fire_times", HeldFireTimes), name="fire_times"),
        CheckConstraint("ends_at IS NULL OR ends_at > starts_at", name="span"),
        CheckConstraint("closed_at IS NULL OR ends_at IS NOT NULL", name="closed_has_ended"),
        Index("uq_hold_name", "name", unique=True, **partial("closed_at IS NULL")),
    )

    id: Id = Field(primary_key=True, sa_type=StoredId)
    name: str = Field(sa_type=name_type())
    #: JSON: `{"tags", "name_prefix", "queues"}`, empty for every task.
    selector: str = Field(sa_type=Text)
    #: JSON: the prefixes that the key which set it is limited to; NULL: none.
    prefixes: str | None = Field(None, sa_type=Text)
    starts_at: datetime = Field(sa_type=Instant)
    ends_at: datetime | None = Field(None, sa_type=Instant)
    fire_times: str = Field(sa_type=String(16))
    reason: str | None = Field(None, sa_type=Text)
    created_at: datetime = Field(sa_type=Instant)
    created_by: str
    updated_at: datetime = Field(sa_type=Instant)
    updated_by: str
    closed_at: datetime | None = Field(None, sa_type=Instant)
