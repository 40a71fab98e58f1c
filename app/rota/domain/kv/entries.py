"""The key-value table of a task: its entries, what bounds them, and what a run changes of them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from rota.domain.kv.operations import Check, Commuting
from rota.domain.kv.present import JSON_TYPE
from rota.domain.primitives.ids import Id
from rota.domain.primitives.json import json_text
from rota.domain.primitives.texts.names import key_fault
from rota.domain.primitives.value_class import value_class
from rota.errors import Conflict, Invalid, TooLarge

_CONTENT_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+( *;[ -~]*)?")
_LONGEST_TYPE = 255


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
    #: Which attempt of the run it was.
    attempt: int | None = None
    #: What is stored does not open: the value is not known.
    sealed: bool = False


def written_by(run_id: Id, attempt: int) -> str:
    """Return who writes an entry, as it is kept, where that is an attempt of a run."""
    return f"run:{run_id}/{attempt}"


def read_author(kept: str) -> tuple[str, int | None]:
    """Return who wrote an entry, as the API shows it, and the attempt if that was a run (and it was recorded)."""
    author, _, attempt = kept.partition("/")
    return (author, int(attempt)) if attempt and author.startswith("run:") else (kept, None)


@value_class()
class KvChange:
    """One key as a run leaves it: `value` None deletes it; `ttl` counts from the commit.

    `replaces` says that the run's snapshot had the key: if it is gone at the commit, another writer deleted it.
    """

    key: str
    value: bytes | None
    ttl: timedelta | None = None
    replaces: bool = False
    content_type: str = JSON_TYPE


#: What a run does to a key: a change that conflicts with other writers, one that commutes with them, or a check that
#: must also hold at the commit.
Change = KvChange | Commuting | Check


class CheckFailed(Conflict):
    """An entry is not as a run has checked that it is; `changed`: it may have been, when the attempt began."""

    changed = False


@dataclass(frozen=True, slots=True)
class KvSnapshot:
    """A task's live entries, read at one moment, and the revision that they had then; `types` of those not JSON."""

    entries: Mapping[str, bytes]
    revision: int
    types: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, int] = field(default_factory=dict)


class KvSettings(Protocol):
    """What bounds the kv of tasks, of all that can be set."""

    @property
    def max_value_bytes(self) -> int: ...

    @property
    def max_kv_entries(self) -> int: ...

    @property
    def max_kv_bytes(self) -> int: ...

    @property
    def max_key_length(self) -> int: ...

    @property
    def kv_key_pattern(self) -> str: ...


@dataclass(frozen=True, slots=True)
class KvLimits:
    """How many bytes a value may have, and how many entries, with how many bytes in all, a task (Rota's own apart)."""

    value_bytes: int = 262_144
    entries: int = 10_000
    total_bytes: int = 16_777_216
    #: What keys must be besides what all must be; an empty pattern fits everything.
    key_length: int = 255
    key_pattern: str = ""

    @classmethod
    def of(cls, settings: "KvSettings") -> "KvLimits":
        """Return the limits that the service is set to."""
        return cls(
            settings.max_value_bytes,
            settings.max_kv_entries,
            settings.max_kv_bytes,
            settings.max_key_length,
            settings.kv_key_pattern,
        )

    def key_fault(self, key: str) -> str | None:
        """Return why `key` is not to be written where these limits are set, naming the setting; None if it is."""
        if len(key) > self.key_length:
            return f"a key has at most {self.key_length} characters (ROTA_MAX_KEY_LENGTH)"
        own = key.startswith("_")  # Rota's
        if self.key_pattern and not own and not re.fullmatch(self.key_pattern, key):
            return f"a key matches {self.key_pattern} (ROTA_KV_KEY_PATTERN)"
        return None


DEFAULT_LIMITS = KvLimits()


def encode(key: str, value: Any, limit: int) -> bytes:
    """Return a JSON value as it is kept; raises NotJson or TooLarge, naming the key and the limit (bytes)."""
    encoded = json_text.dumps(value).encode()
    if len(encoded) > limit:
        raise TooLarge(f"The value of {key!r} has {len(encoded)} bytes; the limit is {limit}.")
    return encoded


def is_content_type(text: str) -> bool:
    """Return whether a text can be stored as a content type."""
    return len(text) <= _LONGEST_TYPE and _CONTENT_TYPE.fullmatch(text) is not None


def encode_as(content_type: str, key: str, value: Any, limit: int) -> bytes:
    """Return a value as it is kept: JSON, or bytes as they come under another content type."""
    if content_type == JSON_TYPE:
        return encode(key, value, limit)
    if not is_content_type(content_type):
        raise Invalid(f"{content_type[:300]!r} is no content type, such as image/png.")
    if not isinstance(value, bytes):
        raise Invalid(f"The value of {key!r} is to be {content_type}: give bytes.")
    if len(value) > limit:
        raise TooLarge(f"The value of {key!r} has {len(value)} bytes; the limit is {limit}.")
    return value


def check_key(key: str, limits: KvLimits | None = None) -> None:
    """Raise Invalid, saying why, if a client or a run cannot write `key`, or (with limits) not here."""
    fault = key_fault(key) or (None if limits is None else limits.key_fault(key))
    if fault is not None:
        raise Invalid(f"{key[:300]!r} cannot be written: {fault}.", slug="invalid-key")
