"""API keys."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Float, Index, LargeBinary, String, Text
from sqlmodel import Field

from rota.db.schema.base import Row, name_type
from rota.db.types import Instant


class ApiKeyRow(Row, table=True):
    """A key that the service has made: a digest of its secret, and what it may do. `scopes`, `tasks`, `queues`: JSON.

    A revoked key keeps its row: other rows name it.
    """

    __tablename__ = "api_key"
    __table_args__ = (
        CheckConstraint("version > 0", name="version"),
        CheckConstraint("rate > 0", name="rate"),
        CheckConstraint("max_tasks > 0", name="max_tasks"),
        CheckConstraint("max_unfinished_runs > 0", name="max_unfinished_runs"),
        CheckConstraint("max_kv_bytes > 0", name="max_kv_bytes"),
        CheckConstraint(
            "(previous_digest IS NULL) = (previous_until IS NULL)", name="previous_ends"
        ),
        CheckConstraint("(revoked_at IS NULL) = (revoked_by IS NULL)", name="revoked_by"),
    )

    id: str = Field(sa_type=name_type(12), primary_key=True)
    #: Rises with every change but that of `last_used_at`: replicas notice changes by the sum of all.
    version: int
    name: str = Field(sa_type=String(100))
    #: SHA-256 of the secret, and of the one before, which is accepted until `previous_until`.
    digest: bytes = Field(sa_type=LargeBinary)
    previous_digest: bytes | None = Field(None, sa_type=LargeBinary)
    previous_until: datetime | None = Field(None, sa_type=Instant)
    scopes: str = Field(sa_type=Text)
    #: Beginnings of names; NULL for all.
    tasks: str | None = Field(None, sa_type=Text)
    queues: str | None = Field(None, sa_type=Text)
    #: Requests per second; NULL for any number.
    rate: float | None = Field(None, sa_type=Float)
    #: Tasks that have not ended, unfinished runs, and bytes of kv values, that there may be under its prefixes; NULL
    #: for any number.
    max_tasks: int | None = None
    max_unfinished_runs: int | None = None
    max_kv_bytes: int | None = Field(None, sa_type=BigInteger)
    expires_at: datetime | None = Field(None, sa_type=Instant)
    created_at: datetime = Field(sa_type=Instant)
    created_by: str
    rotated_at: datetime | None = Field(None, sa_type=Instant)
    last_used_at: datetime | None = Field(None, sa_type=Instant)
    revoked_at: datetime | None = Field(None, sa_type=Instant)
    revoked_by: str | None = None


class SessionRow(Row, table=True):
    """A browser that has signed in to the dashboard: a digest of the token in its cookie, and the key it has used."""

    __tablename__ = "session"
    __table_args__ = (
        CheckConstraint("(key_id IS NULL) = (key_digest IS NULL)", name="key"),
        CheckConstraint("expires_at > created_at", name="lasts"),
        Index("ix_session_principal", "principal"),
    )

    #: SHA-256 of the token.
    digest: bytes = Field(sa_type=LargeBinary, primary_key=True)
    principal: str = Field(sa_type=String(200))
    key_id: str | None = Field(None, sa_type=name_type(12))
    key_digest: bytes | None = Field(None, sa_type=LargeBinary)
    created_at: datetime = Field(sa_type=Instant)
    expires_at: datetime = Field(sa_type=Instant)
    #: Where it was signed in from, for its owner to recognise.
    address: str | None = Field(None, sa_type=String(64))
    browser: str | None = Field(None, sa_type=String(200))
