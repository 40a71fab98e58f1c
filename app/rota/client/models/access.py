"""API keys, named secrets and the audit log."""

from datetime import datetime
from typing import Any, ClassVar

from rota.client.models.base import Model


class Key(Model):
    """A key without its secret."""

    schema_name: ClassVar[str] = "KeyOut"

    id: str
    name: str
    status: str
    scopes: tuple[str, ...]
    tasks: tuple[str, ...] | None
    queues: tuple[str, ...] | None
    rate: float | None
    max_tasks: int | None
    max_unfinished_runs: int | None
    max_kv_bytes: int | None = None
    expires_at: datetime | None
    created_at: datetime
    created_by: str
    rotated_at: datetime | None
    previous_until: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None


class MadeKey(Key):
    """A key with its secret: no other response has that."""

    schema_name: ClassVar[str] = "MadeKeyOut"

    key: str


class OwnKey(Model):
    """The client of this request, and what it may do."""

    schema_name: ClassVar[str] = "OwnKeyOut"

    id: str | None
    name: str | None
    label: str
    scopes: tuple[str, ...]
    tasks: tuple[str, ...] | None
    queues: tuple[str, ...] | None
    rate: float | None
    max_tasks: int | None
    max_unfinished_runs: int | None
    max_kv_bytes: int | None = None
    expires_at: datetime | None


class Secret(Model):
    """A secret without its value."""

    schema_name: ClassVar[str] = "SecretOut"

    name: str
    source: str
    origins: tuple[str, ...]
    tasks: tuple[str, ...]
    description: str | None
    version: int | None
    previous_until: datetime | None
    rotated_at: datetime | None
    created_at: datetime | None
    updated_at: datetime | None
    updated_by: str | None


class AuditSubject(Model):
    """What was changed."""

    schema_name: ClassVar[str] = "SubjectOut"

    name: str
    kind: str
    task: str | None


class AuditData(Model):
    """Who made a change, from where, and what differs."""

    schema_name: ClassVar[str] = "EntryDataOut"

    id: str
    principal: str
    key_id: str | None
    address: str | None
    request_id: str
    subject: AuditSubject
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    details: dict[str, Any] | None


class AuditEntry(Model):
    """One change."""

    schema_name: ClassVar[str] = "EntryOut"

    type: str
    timestamp: datetime
    data: AuditData
