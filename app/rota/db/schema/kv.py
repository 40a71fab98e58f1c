"""Key-value entries, and their history."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Index, LargeBinary, String
from sqlmodel import Field

from rota.db.schema.base import Row, name_type, partial
from rota.db.types import Instant, StoredId
from rota.domain.primitives.ids import Id


class KvRow(Row, table=True):
    """An entry of a task's key-value table."""

    __tablename__ = "kv"
    __table_args__ = (
        CheckConstraint("version > 0", name="version"),
        ForeignKeyConstraint(["task_id"], ["task.id"]),
        Index("ix_kv_expires_at", "expires_at", **partial("expires_at IS NOT NULL")),
        Index("ix_kv_sealed_with", "sealed_with", **partial("sealed_with IS NOT NULL")),
    )

    task_id: Id = Field(primary_key=True, sa_type=StoredId)
    key: str = Field(sa_type=name_type(255), primary_key=True)
    value: bytes = Field(sa_type=LargeBinary)
    content_type: str = Field(sa_type=String(255))
    size: int
    version: int = Field(sa_type=BigInteger)
    updated_at: datetime = Field(sa_type=Instant)
    updated_by: str
    expires_at: datetime | None = Field(None, sa_type=Instant)
    #: The id of the key that encrypts `value`; NULL: it is not encrypted.
    sealed_with: str | None = Field(None, sa_type=name_type(32))


class KvHistoryRow(Row, table=True):
    """An earlier version of an entry; `value` NULL: its removal.

    With an empty `content_type`, a tombstone: versions up to this one are trimmed (with an empty `key`, those of every
    key). See `store.kv.history.rows`.
    """

    __tablename__ = "kv_history"
    __table_args__ = (
        CheckConstraint("version > 0", name="version"),
        ForeignKeyConstraint(["task_id"], ["task.id"]),
        Index("ix_kv_history_version", "task_id", "version"),
        Index("ix_kv_history_sealed_with", "sealed_with", **partial("sealed_with IS NOT NULL")),
    )

    task_id: Id = Field(primary_key=True, sa_type=StoredId)
    key: str = Field(sa_type=name_type(255), primary_key=True)
    version: int = Field(sa_type=BigInteger, primary_key=True)
    content_type: str = Field(sa_type=String(255))
    size: int
    updated_at: datetime = Field(sa_type=Instant)
    updated_by: str
    expires_at: datetime | None = Field(None, sa_type=Instant)
    #: The id of the key that encrypts `value`; NULL: it is not encrypted.
    sealed_with: str | None = Field(None, sa_type=name_type(32))
    #: The last column: SQLite reads all of a large value to reach the columns behind it.
    value: bytes | None = Field(None, sa_type=LargeBinary)


class SealingNoteRow(Row, table=True):
    """The note that all values are encrypted with the first key, so that plain values are refused from then on."""

    __tablename__ = "sealing_note"

    sealed_with: str = Field(sa_type=name_type(32), primary_key=True)
    noted_at: datetime = Field(sa_type=Instant)
    proof: bytes = Field(sa_type=LargeBinary)
