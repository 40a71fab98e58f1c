"""Response models of a task's kv: what `show_…` returns, and what OpenAPI describes."""

from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from rota.api.http.formats import InstantText


class KvEntryOut(TypedDict):
    """An entry of a task's key-value table."""

    key: str
    value: NotRequired[Annotated[Any, Field(None)]]
    encoding: NotRequired[
        Annotated[str | None, Field(None, description="`base64` where the value is not JSON.")]
    ]
    content_type: NotRequired[
        Annotated[str | None, Field(None, description="Where the value is not JSON, or left out.")]
    ]
    size: NotRequired[
        Annotated[int | None, Field(None, description="Bytes of the value, where it is left out.")]
    ]
    unreadable: NotRequired[
        Annotated[
            list[str],
            Field(
                [],
                description="`value`, where it is null because the stored value cannot be read: its key is missing, or "
                "it was changed outside Rota.",
            ),
        ]
    ]
    version: int
    updated_at: InstantText
    updated_by: str
    attempt: NotRequired[
        Annotated[int | None, Field(None, description="Where a run wrote it: which attempt.")]
    ]
    expires_at: InstantText | None


class KvEntriesOut(TypedDict):
    """A page of entries, by key; one snapshot."""

    items: list[KvEntryOut]
    next_cursor: str | None
    count: NotRequired[
        Annotated[
            int | None, Field(None, description="With `include=count`: of all pages together.")
        ]
    ]
    bytes: NotRequired[
        Annotated[
            int | None, Field(None, description="With `include=count`: of all values together.")
        ]
    ]
    revision: NotRequired[
        Annotated[
            int | None, Field(None, description="With `at`: the revision that the table had.")
        ]
    ]
    incomplete: NotRequired[
        Annotated[
            bool | None,
            Field(None, description="With `at`: the history does not cover all entries."),
        ]
    ]
    missing: NotRequired[
        Annotated[
            list[str] | None,
            Field(
                None,
                description="With `at`: keys of this page whose value at that moment is not known any more.",
            ),
        ]
    ]


class KvTransactionOut(TypedDict):
    """The entries that the operations named, as they are now; those that do not exist are left out."""

    items: list[KvEntryOut]


class KvDeletedOut(TypedDict):
    """How many entries were deleted."""

    deleted: int


class KvVersionOut(KvEntryOut):
    """An entry as it was from a version on."""

    deleted: Annotated[bool, Field(description="It was deleted; there is no value.")]
    expired: Annotated[bool, Field(description="It is still in the table, but has expired.")]


class KvVersionsOut(TypedDict):
    """A page of the versions of an entry that are kept, the newest first."""

    items: list[KvVersionOut]
    next_cursor: str | None
    incomplete: Annotated[bool, Field(description="There may be older ones that are forgotten.")]


class KvRevertedOut(TypedDict):
    """The keys that were set and deleted to restore the table."""

    dry_run: bool
    set: list[str]
    deleted: list[str]
    reverted_to: Annotated[
        int, Field(description="The table has the entries that it had at this revision.")
    ]
    previous_revision: Annotated[int, Field(description="Revert to it to undo this.")]
    revision: Annotated[int, Field(description="The revision that the table has now.")]


class KvImportedOut(TypedDict):
    """What an import did."""

    set: Annotated[int, Field(description="Entries that were written.")]
    unchanged: Annotated[int, Field(description="Entries that already had the same value.")]
    expired: Annotated[
        int, Field(description="Entries that have expired since they were exported.")
    ]
    deleted: Annotated[
        int, Field(description="With `mode=replace`: entries that the import does not have.")
    ]
