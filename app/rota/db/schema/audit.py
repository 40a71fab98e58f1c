"""The audit log."""

from datetime import datetime

from sqlalchemy import Index, String, Text
from sqlmodel import Field

from rota.db.schema.base import Row, name_type
from rota.db.types import Instant, StoredId
from rota.domain.primitives.ids import Id


class AuditRow(Row, table=True):
    """A change that a client made, written in the commit of the change. A trigger refuses every UPDATE."""

    __tablename__ = "audit"
    __table_args__ = (
        Index("ix_audit_at", "at", "id"),
        Index("ix_audit_task", "task", "at", "id"),
        Index("ix_audit_principal", "principal", "at", "id"),
        Index("ix_audit_action", "action", "at", "id"),
    )

    id: Id = Field(primary_key=True, sa_type=StoredId)
    at: datetime = Field(sa_type=Instant)
    #: The label of the client, as in `updated_by`, and the id of its stored key.
    principal: str = Field(sa_type=name_type())
    key_id: str | None = Field(None, sa_type=String(32))
    address: str | None = Field(None, sa_type=String(64))
    request_id: str = Field(sa_type=String(64))
    action: str = Field(sa_type=name_type(32))
    kind: str = Field(sa_type=String(16))
    #: The name of what was changed; of a run and a backfill the id.
    name: str = Field(sa_type=name_type(255))
    #: The name of the task that it is, or belongs to.
    task: str | None = Field(None, sa_type=name_type())
    #: JSON objects of the fields that differ.
    before: str | None = Field(None, sa_type=Text)
    after: str | None = Field(None, sa_type=Text)
    details: str | None = Field(None, sa_type=Text)
