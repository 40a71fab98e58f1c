"""The key-value table of a task: entries, and the draft of changes that a run makes to them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from app.domain import values
from app.domain.names import key_fault
from app.errors import Invalid, TooLarge

JSON_TYPE = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class KvEntry:
    """One entry; `value` holds bytes of `content_type` (JSON in this version)."""

    key: str
    value: bytes
    content_type: str = JSON_TYPE
    version: int
    updated_at: datetime
    updated_by: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class KvChange:
    """One key as a run leaves it: `value` None deletes it; `ttl` counts from the commit.

    `replaces` says that the run's snapshot had the key: if it is gone at the commit, somebody deleted it.
    """

    key: str
    value: bytes | None
    ttl: timedelta | None = None
    replaces: bool = False


@dataclass(frozen=True, slots=True)
class KvSnapshot:
    """A task's live entries, read at one moment, and the revision that they had then."""

    entries: Mapping[str, bytes]
    revision: int


def encode(key: str, value: Any, limit: int) -> bytes:
    """Return a JSON value as it is kept; raises NotJson or TooLarge, naming the key and the limit (bytes)."""
    encoded = values.dumps(value).encode()
    if len(encoded) > limit:
        raise TooLarge(f"The value of {key!r} has {len(encoded)} bytes; the limit is {limit}.")
    return encoded


def check_key(key: str) -> None:
    """Raise Invalid, saying why, if a client or a run cannot write `key`."""
    fault = key_fault(key)
    if fault is not None:
        raise Invalid(f"{key[:300]!r} cannot be written: {fault}.", slug="invalid-key")


class KvDraft:
    """A run's view of its task's table: a snapshot and its own writes, which commit with its success or not at all."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._snapshot: KvSnapshot | None = None
        self._changes: dict[str, KvChange] = {}

    @property
    def loaded(self) -> bool:
        return self._snapshot is not None

    @property
    def revision(self) -> int | None:
        """The revision of the snapshot; None if nothing was read."""
        return None if self._snapshot is None else self._snapshot.revision

    @property
    def changes(self) -> tuple[KvChange, ...]:
        known: Mapping[str, bytes] = {} if self._snapshot is None else self._snapshot.entries
        return tuple(
            replace(change, replaces=key in known) for key, change in self._changes.items()
        )

    def load(self, snapshot: KvSnapshot) -> None:
        """Take the snapshot that reads see; a second one is ignored, so that reads stay consistent."""
        if self._snapshot is None:
            self._snapshot = snapshot

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of `key`, this run's own write first, else `default`."""
        change = self._changes.get(key)
        encoded = self._entries.get(key) if change is None else change.value
        return default if encoded is None else values.loads(encoded)

    def items(self, prefix: str = "") -> Iterator[tuple[str, Any]]:
        """Yield (key, value) in the order of the keys, this run's own writes included."""
        for key in sorted(self._entries.keys() | self._changes.keys()):
            if key.startswith(prefix) and (value := self.get(key, _ABSENT)) is not _ABSENT:
                yield key, value

    def set(self, key: str, value: Any, ttl: timedelta | None = None) -> None:
        """Write any JSON value; raises Invalid, NotJson or TooLarge here rather than at the end of the run."""
        check_key(key)
        self._changes[key] = KvChange(key, encode(key, value, self._limit), ttl)

    def delete(self, key: str) -> None:
        """Remove `key`; nothing happens if it is not there."""
        check_key(key)
        self._changes[key] = KvChange(key, None)

    @property
    def _entries(self) -> Mapping[str, bytes]:
        if self._snapshot is None:
            raise RuntimeError("the snapshot has not been loaded")
        return self._snapshot.entries


_ABSENT = object()
