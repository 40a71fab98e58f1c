"""Entries of key-value tables."""

from datetime import datetime
from typing import Any, ClassVar

from rota.client.models.base import Model


class KvEntry(Model):
    """An entry of a task's key-value table."""

    schema_name: ClassVar[str] = "KvEntryOut"

    key: str
    value: Any = None
    encoding: str | None = None
    content_type: str | None = None
    size: int | None = None
    unreadable: tuple[str, ...] = ()
    version: int
    updated_at: datetime
    updated_by: str
    attempt: int | None = None
    expires_at: datetime | None


class KvVersion(KvEntry):
    """An entry as it was from a version on."""

    schema_name: ClassVar[str] = "KvVersionOut"

    deleted: bool
    expired: bool


class KvChange(Model):
    """An entry that a run has written; of several writes the last one counts."""

    schema_name: ClassVar[str] = "KvChangeOut"

    key: str
    before: KvEntry | None
    before_is_known: bool
    after: KvEntry | None


class KvReverted(Model):
    """The keys that were set and deleted to restore the table."""

    schema_name: ClassVar[str] = "KvRevertedOut"

    dry_run: bool
    set: tuple[str, ...]
    deleted: tuple[str, ...]
    reverted_to: int
    previous_revision: int
    revision: int


class KvImported(Model):
    """What an import did."""

    schema_name: ClassVar[str] = "KvImportedOut"

    set: int
    unchanged: int
    expired: int
    deleted: int
