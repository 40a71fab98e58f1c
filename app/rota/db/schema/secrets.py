"""Named secrets."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, LargeBinary, Text
from sqlmodel import Field

from rota.db.schema.base import Row, name_type
from rota.db.types import Instant, StoredId
from rota.domain.primitives.ids import Id


class SecretRow(Row, table=True):
    """A named secret: its value, sealed together with what it is bound to.

    `origins` and `tasks` are JSON lists. A row in which one of them, the name or the version was changed does not open.
    """

    __tablename__ = "secret"
    __table_args__ = (CheckConstraint("version > 0", name="version"),)

    name: str = Field(sa_type=name_type(64), primary_key=True)
    id: Id = Field(sa_type=StoredId)
    version: int = Field(sa_type=BigInteger)
    origins: str = Field(sa_type=Text)
    tasks: str = Field(sa_type=Text)
    description: str | None = Field(None, sa_type=Text)
    #: Until when the value before is sealed with the present one.
    previous_until: datetime | None = Field(None, sa_type=Instant)
    rotated_at: datetime = Field(sa_type=Instant)
    created_at: datetime = Field(sa_type=Instant)
    updated_at: datetime = Field(sa_type=Instant)
    updated_by: str
    sealed_with: str = Field(sa_type=name_type(32))
    sealed: bytes = Field(sa_type=LargeBinary)
