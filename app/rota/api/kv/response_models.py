"""Response models of a task's kv, for the documentation page."""

from typing import Any

from pydantic import (
    BaseModel,
    Field,
)

from rota.domain.primitives.instants import Instant


class KvEntryOut(BaseModel):
    """An entry of a task's key-value table."""

    key: str
    value: Any = None
    encoding: str | None = Field(None, description="`base64` where the value is not JSON.")
    content_type: str | None = Field(None, description="Where the value is not JSON, or left out.")
    size: int | None = Field(None, description="Bytes of the value, where it is left out.")
    unreadable: list[str] = Field(
        [],
        description="`value`, where it is null because what is stored cannot be read: its key is missing, or it was "
        "changed past Rota.",
    )
    version: int
    updated_at: Instant
    updated_by: str
    attempt: int | None = Field(None, description="Where a run wrote it: which attempt.")
    expires_at: Instant | None


class KvEntriesOut(BaseModel):
    """A page of entries, by key; one snapshot."""

    items: list[KvEntryOut]
    next_cursor: str | None
    count: int | None = Field(None, description="With `include=count`: of all pages together.")
    bytes: int | None = Field(None, description="With `include=count`: of all values together.")
    revision: int | None = Field(None, description="With `at`: the revision that the table had.")
    incomplete: bool | None = Field(
        None, description="With `at`: the history does not reach back for all that there was."
    )
    missing: list[str] | None = Field(
        None,
        description="With `at`: keys of this page of which nobody knows any more what they were.",
    )


class KvTransactionOut(BaseModel):
    """The entries that the operations named, as they are now; those that are not there are left out."""

    items: list[KvEntryOut]


class KvDeletedOut(BaseModel):
    """How many entries were removed."""

    deleted: int


class KvVersionOut(KvEntryOut):
    """What an entry was from a version on."""

    deleted: bool = Field(description="It was removed; there is no value.")
    expired: bool = Field(description="It is still in the table, but has expired.")


class KvVersionsOut(BaseModel):
    """A page of the versions of an entry that are kept, the newest first."""

    items: list[KvVersionOut]
    next_cursor: str | None
    incomplete: bool = Field(description="There may be older ones that are forgotten.")


class KvRevertedOut(BaseModel):
    """What was set and removed to make the table as it was."""

    dry_run: bool
    set: list[str]
    deleted: list[str]
    reverted_to: int = Field(description="The table is as it was at this revision.")
    previous_revision: int = Field(description="Revert to it to undo this.")
    revision: int = Field(description="The revision that the table has now.")


class KvImportedOut(BaseModel):
    """What an import did."""

    set: int = Field(description="Entries that were written.")
    unchanged: int = Field(description="Entries that were there already, just so.")
    expired: int = Field(description="Entries that have expired since they were exported.")
    deleted: int = Field(description="With `mode=replace`: entries that did not come.")
