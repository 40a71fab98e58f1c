"""Values of entries, as they were written."""

from base64 import b64decode
from collections.abc import Sequence
from typing import Any

from rota.client.entries.draft import Operation
from rota.client.errors import ProblemError
from rota.client.models.kv import KvEntry
from rota.client.problems import KvConflict


def value_of(entry: KvEntry) -> Any:
    """Return the value of an entry: JSON, or bytes if it was written as such."""
    return b64decode(entry.value) if entry.encoding == "base64" else entry.value


def conflict_in(error: ProblemError, operations: Sequence[Operation]) -> ProblemError:
    """Return the error of a transaction: a KvConflict if it is one of its checks that has failed."""
    for fault in error.errors:
        parts = (fault.pointer or "").split("/")
        index = parts[2] if len(parts) > 2 and parts[1] == "operations" else ""
        if index.isdecimal() and operations[int(index)]["op"] == "check":
            return KvConflict(error.status, error.members, error.retry_after)
    return error


def written_since(key: str) -> KvConflict:
    """Return the error for an entry that was written since a transaction began to read."""
    detail = f"{key!r} was written since this transaction began to read. Nothing was written."
    document = {"type": f"/problems/{KvConflict.slug}", "title": "Conflict", "detail": detail}
    return KvConflict(409, document)
