"""API keys as they are stored: what they may do, and until when."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hmac import compare_digest
from typing import assert_never

from rota.domain.access.keys import KeyId
from rota.domain.access.names import NameLimit
from rota.domain.access.principal import Principal
from rota.domain.access.scopes import Scope

_LABEL = "key:"
#: Compared with the secret of a key that is not known, so that the answer takes as long as for one that is.
_NO_DIGEST = bytes(32)


class KeyStatus(StrEnum):
    """Whether a key is accepted."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """A key without its secret. `tasks` and `queues`: the beginnings of names that it is limited to, None for all."""

    id: KeyId
    name: str
    scopes: frozenset[Scope]
    tasks: tuple[str, ...] | None
    queues: tuple[str, ...] | None
    #: Requests per second that it may make; None for any number.
    rate: float | None
    #: How many tasks that have not ended, unfinished runs and bytes of kv values there may be under its prefixes; None
    #: for any number.
    max_tasks: int | None
    max_unfinished_runs: int | None
    max_kv_bytes: int | None
    expires_at: datetime | None
    created_at: datetime
    created_by: str
    rotated_at: datetime | None
    #: Until when the secret before the present one is accepted as well.
    previous_until: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None
    digest: bytes = field(repr=False)
    previous_digest: bytes | None = field(repr=False)

    def status(self, now: datetime) -> KeyStatus:
        """Return whether the key is accepted now, and if not, why."""
        if self.revoked_at is not None:
            return KeyStatus.REVOKED
        if self.expires_at is not None and self.expires_at <= now:
            return KeyStatus.EXPIRED
        return KeyStatus.ACTIVE

    @property
    def principal(self) -> Principal:
        """The client that it represents."""
        label = f"{_LABEL}{self.id}"
        return Principal(
            label=label,
            idempotency_scope=label,
            scopes=self.scopes,
            tasks=NameLimit(self.tasks),
            queues=NameLimit(self.queues),
            key_id=self.id,
            rate=self.rate,
            max_tasks=self.max_tasks,
            max_unfinished_runs=self.max_unfinished_runs,
            max_kv_bytes=self.max_kv_bytes,
        )


def id_of(label: str) -> str | None:
    """Return the id in the label of a client that has a key; None for a client without one."""
    return label.removeprefix(_LABEL) if label.startswith(_LABEL) else None


@dataclass(frozen=True, slots=True)
class Proof:
    """A key whose secret a client has: the present one or the one before, found by its digest."""

    key: StoredKey
    digest: bytes = field(repr=False)

    def fault(self, now: datetime) -> str | None:
        """Return why the client is not accepted now, as a sentence to it; None if it is."""
        match self.key.status(now):
            case KeyStatus.REVOKED:
                return "This key was revoked."
            case KeyStatus.EXPIRED:
                return "This key has expired."
            case KeyStatus.ACTIVE:
                return None if self._is_current(now) else _ROTATED
            case status:
                assert_never(status)

    def _is_current(self, now: datetime) -> bool:
        until = self.key.previous_until
        if self.digest == self.key.digest:
            return True
        return self.digest == self.key.previous_digest and until is not None and now < until


_ROTATED = "This key was rotated, and the secret before is not accepted any more."


def prove(key: StoredKey | None, digest: bytes) -> Proof | None:
    """Return the proof that a client has a secret of the key; None if it has not, or if there is no key.

    It takes the same time in all cases.
    """
    present = _NO_DIGEST if key is None else key.digest
    previous = None if key is None else key.previous_digest
    is_present = compare_digest(present, digest)
    is_previous = compare_digest(previous or _NO_DIGEST, digest) and previous is not None
    return Proof(key, digest) if key is not None and (is_present or is_previous) else None
