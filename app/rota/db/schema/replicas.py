"""What replicas announce: their leases, handlers and time zone databases."""

from datetime import datetime

from sqlalchemy import LargeBinary, String, Text
from sqlmodel import Field

from rota.db.schema.base import Row, name_type
from rota.db.types import Instant, StoredId
from rota.domain.primitives.ids import Id


class ReplicaRow(Row, table=True):
    """One process of the service and its lease; a new id at each start."""

    __tablename__ = "replica"

    id: Id = Field(primary_key=True, sa_type=StoredId)
    host: str
    pid: int
    handlers: str = Field(sa_type=Text)
    started_at: datetime = Field(sa_type=Instant)
    lease_expires_at: datetime = Field(sa_type=Instant)
    #: The release of the time zone database that it computes with.
    zone_release: str | None = Field(None, sa_type=String(64))


class HandlerRow(Row, table=True):
    """A handler that tasks can be registered for: announced by a replica, or built in."""

    __tablename__ = "handler"

    name: str = Field(sa_type=name_type(), primary_key=True)
    description: str = Field(sa_type=Text)
    input_schema: str | None = Field(None, sa_type=Text)
    timeout: float | None = None
    isolation: str
    updated_at: datetime = Field(sa_type=Instant)


class ZoneReleaseRow(Row, table=True):
    """A time zone database with which a replica computes, or with which stored fire times were computed."""

    __tablename__ = "zone_release"

    release: str = Field(sa_type=String(64), primary_key=True)
    #: Since when stored fire times are computed with it; NULL: they are computed with another one.
    since: datetime | None = Field(None, sa_type=Instant)
    #: Since then replicas with another one were live, so that some fire times may be computed with that.
    mixed: bool = False
    files: bytes = Field(sa_type=LargeBinary)
