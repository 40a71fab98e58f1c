"""The key-value table of a task: entries, and the draft of changes that a run makes to them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from app.domain import values
from app.domain.names import key_fault
from app.domain.operations import (
    JSON_TYPE,
    Commuting,
    OperationFailed,
    Present,
    carry_out,
)
from app.errors import Invalid, TooLarge


@dataclass(frozen=True, slots=True, kw_only=True)
class KvEntry:
    """One entry; `value` holds bytes of `content_type`, `size` says how many (`value` may have been left out)."""

    key: str
    value: bytes
    size: int
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
    content_type: str = JSON_TYPE


#: What a run does to a key: a change that conflicts with somebody else's, or one that commutes with it.
Change = KvChange | Commuting


@dataclass(frozen=True, slots=True)
class KvSnapshot:
    """A task's live entries, read at one moment, and the revision that they had then; `types` of those not JSON."""

    entries: Mapping[str, bytes]
    revision: int
    types: Mapping[str, str] = field(default_factory=dict)


class KvSettings(Protocol):
    """What bounds the kv of tasks, of all that can be set."""

    @property
    def max_value_bytes(self) -> int: ...

    @property
    def max_kv_entries(self) -> int: ...

    @property
    def max_kv_bytes(self) -> int: ...


@dataclass(frozen=True, slots=True)
class KvLimits:
    """How many bytes a value may have, and how many entries, with how many bytes in all, a task (Rota's own apart)."""

    value_bytes: int = 262_144
    entries: int = 10_000
    total_bytes: int = 16_777_216

    @classmethod
    def of(cls, settings: "KvSettings") -> "KvLimits":
        """Return the limits that the service is set to."""
        return cls(settings.max_value_bytes, settings.max_kv_entries, settings.max_kv_bytes)


DEFAULT_LIMITS = KvLimits()


def encode(key: str, value: Any, limit: int) -> bytes:
    """Return a JSON value as it is kept; raises NotJson or TooLarge, naming the key and the limit (bytes)."""
    encoded = values.dumps(value).encode()
    if len(encoded) > limit:
        raise TooLarge(f"The value of {key!r} has {len(encoded)} bytes; the limit is {limit}.")
    return encoded


def encode_as(content_type: str, key: str, value: Any, limit: int) -> bytes:
    """Return a value as it is kept: JSON, or bytes as they come under another content type."""
    if content_type == JSON_TYPE:
        return encode(key, value, limit)
    if not isinstance(value, bytes):
        raise Invalid(f"The value of {key!r} is to be {content_type}: give bytes.")
    if len(value) > limit:
        raise TooLarge(f"The value of {key!r} has {len(value)} bytes; the limit is {limit}.")
    return value


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
        # What the run sees of the keys that it wrote, and what its commit is to do to them.
        self._seen: dict[str, Present | None] = {}
        self._changes: dict[str, KvChange | list[Commuting]] = {}

    @property
    def loaded(self) -> bool:
        return self._snapshot is not None

    @property
    def revision(self) -> int | None:
        """The revision of the snapshot; None if nothing was read."""
        return None if self._snapshot is None else self._snapshot.revision

    @property
    def changes(self) -> tuple[Change, ...]:
        known: Mapping[str, bytes] = {} if self._snapshot is None else self._snapshot.entries
        made: list[Change] = []
        for key, change in self._changes.items():
            if isinstance(change, KvChange):
                made.append(replace(change, replaces=key in known))
            else:
                made.extend(change)
        return tuple(made)

    def load(self, snapshot: KvSnapshot) -> None:
        """Take the snapshot that reads see; a second one is ignored, so that reads stay consistent."""
        if self._snapshot is None:
            self._snapshot = snapshot

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of `key` (bytes if it is not JSON), this run's own write first, else `default`."""
        present = self._present(key)
        if present is None:
            return default
        return values.loads(present.value) if present.content_type == JSON_TYPE else present.value

    def items(self, prefix: str = "") -> Iterator[tuple[str, Any]]:
        """Yield (key, value) in the order of the keys, this run's own writes included."""
        for key in sorted(self._loaded.entries.keys() | self._seen.keys()):
            if key.startswith(prefix) and (value := self.get(key, _ABSENT)) is not _ABSENT:
                yield key, value

    def set(
        self,
        key: str,
        value: Any,
        ttl: timedelta | None = None,
        content_type: str = JSON_TYPE,
    ) -> None:
        """Write any JSON value, or bytes of another type; raises Invalid, NotJson or TooLarge here, not at the end."""
        check_key(key)
        encoded = encode_as(content_type, key, value, self._limit)
        self._change(KvChange(key, encoded, ttl, content_type=content_type))

    def set_once(self, key: str, value: Any, ttl: timedelta | None = None) -> bool:
        """Write a value if there is none; return whether it was written."""
        if self._present(key) is not None:
            return False
        self.set(key, value, ttl)
        return True

    def expire(self, key: str, ttl: timedelta | None) -> None:
        """Have the entry expire `ttl` after the commit (None: never). Raises Invalid if there is none."""
        check_key(key)
        present = self._present(key)
        if present is None:
            raise Invalid(f"{key!r} cannot expire: there is no such entry.")
        self._change(KvChange(key, present.value, ttl, content_type=present.content_type))

    def delete(self, key: str) -> None:
        """Remove `key`; nothing happens if it is not there."""
        check_key(key)
        self._change(KvChange(key, None))

    def commute(self, operation: Commuting) -> Any:
        """Do what meets no conflict; return the value as this run sees it. Raises Invalid if the entry forbids it."""
        key = operation.key
        check_key(key)
        try:
            after = carry_out(operation, self._present(key), _ANY_TIME, self._limit)
        except OperationFailed as error:
            name = type(operation).__name__.lower()
            raise Invalid(f"{name} of {key!r} is not possible: {error.detail}.") from None
        assert after is not None  # none of these removes an entry
        own = self._changes.setdefault(key, [])
        if isinstance(own, KvChange):
            self._changes[key] = replace(own, value=after.value, content_type=after.content_type)
        else:
            own.append(operation)
        self._seen[key] = after
        return values.loads(after.value)

    def _change(self, change: KvChange) -> None:
        self._changes[change.key] = change
        present = None if change.value is None else Present(change.value, change.content_type)
        self._seen[change.key] = present

    def _present(self, key: str) -> Present | None:
        if key in self._seen:
            return self._seen[key]
        snapshot = self._loaded
        value = snapshot.entries.get(key)
        return None if value is None else Present(value, snapshot.types.get(key, JSON_TYPE))

    @property
    def _loaded(self) -> KvSnapshot:
        if self._snapshot is None:
            raise RuntimeError("the snapshot has not been loaded")
        return self._snapshot


_ABSENT = object()
# What commutes does not look at the clock.
_ANY_TIME = datetime.max.replace(tzinfo=UTC)
