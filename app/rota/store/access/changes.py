"""Changes of API keys: made, rotated, revoked, used."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, insert, or_, update

from rota.db.command import Command, StaleError, Transaction
from rota.db.tables import api_key
from rota.domain.access.keys import KeyId, new_key, new_key_id
from rota.domain.access.scopes import Scope
from rota.domain.access.stored_key import KeyStatus, StoredKey
from rota.domain.primitives.json import json_text
from rota.errors import Conflict
from rota.store.access.reading import find_key

_NOT_REVOKED = api_key.c.revoked_at.is_(None)

#: The use of a key is stored at most once in so long.
USE_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A stored key, and its text, which is in no row."""

    stored: StoredKey
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateKey(Command[MadeKey]):
    """Make a key with a random id and secret."""

    name: str
    scopes: tuple[Scope, ...]
    tasks: tuple[str, ...] | None = None
    queues: tuple[str, ...] | None = None
    rate: float | None = None
    max_tasks: int | None = None
    max_unfinished_runs: int | None = None
    max_kv_bytes: int | None = None
    expires_at: datetime | None = None
    by: str

    def apply(self, tx: Transaction) -> MadeKey:
        key = new_key(new_key_id())
        row = {
            "id": key.id,
            "version": 1,
            "name": self.name,
            "digest": key.digest,
            "scopes": json_text.dumps(sorted(self.scopes)),
            "tasks": _list(self.tasks),
            "queues": _list(self.queues),
            "rate": self.rate,
            "max_tasks": self.max_tasks,
            "max_unfinished_runs": self.max_unfinished_runs,
            "max_kv_bytes": self.max_kv_bytes,
            "expires_at": self.expires_at,
            "created_at": tx.now,
            "created_by": self.by,
        }
        tx.connection.execute(insert(api_key), row)
        return MadeKey(find_key(tx.connection, key.id), key.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateKey(Command[MadeKey]):
    """Give a key another secret, and another expiry if there is one; the secret before is accepted for the overlap.

    Raises NotFound, and Conflict for a key that is revoked or has expired.
    """

    id: str
    overlap: timedelta
    expires_at: datetime | None = None

    def apply(self, tx: Transaction) -> MadeKey:
        present = find_key(tx.connection, self.id)
        status = present.status(tx.now)
        if status is not KeyStatus.ACTIVE:
            raise Conflict(
                f"The key {self.id!r} ({present.name}) is {status}, so it cannot be rotated; create another one.",
                slug="wrong-status",
                present={"key": {"id": self.id, "name": present.name, "status": status}},
            )
        key = new_key(present.id)
        previous = (present.digest, tx.now + self.overlap) if self.overlap else (None, None)
        changed = (
            update(api_key)
            .where(api_key.c.id == self.id, unchanged_since(present))
            .values(
                version=api_key.c.version + 1,
                digest=key.digest,
                previous_digest=previous[0],
                previous_until=previous[1],
                rotated_at=tx.now,
                expires_at=self.expires_at or present.expires_at,
            )
        )
        if tx.connection.execute(changed).rowcount != 1:
            raise StaleError("the key was changed by another replica")
        return MadeKey(find_key(tx.connection, self.id), key.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeKey(Command[StoredKey]):
    """Revoke a key for good, and return it; a revoked one stays as it is. Raises NotFound."""

    id: str
    by: str

    def apply(self, tx: Transaction) -> StoredKey:
        revoked = (
            update(api_key)
            .where(api_key.c.id == self.id, _NOT_REVOKED)
            .values(version=api_key.c.version + 1, revoked_at=tx.now, revoked_by=self.by)
        )
        count = tx.connection.execute(revoked).rowcount
        found = find_key(tx.connection, self.id)
        if not count and found.revoked_at is None:
            raise StaleError("the key was changed by another replica")
        return found


@dataclass(frozen=True, slots=True)
class NoteUses(Command[int]):
    """Store when keys were used last, unless that was done less than a minute ago; return for how many it was."""

    patient = False  # it is tried again anyway

    used: Mapping[KeyId, datetime]

    def apply(self, tx: Transaction) -> int:
        return sum(_note(tx, id, at) for id, at in sorted(self.used.items()))


def unchanged_since(key: StoredKey) -> ColumnElement[bool]:
    """Guard: another rotation, or a revocation, wins."""
    return and_(api_key.c.digest == key.digest, _NOT_REVOKED)


def _note(tx: Transaction, id: KeyId, at: datetime) -> int:
    last = api_key.c.last_used_at
    noted = (
        update(api_key)
        .where(api_key.c.id == id, or_(last.is_(None), last <= at - USE_EVERY))
        .values(last_used_at=at)
    )
    return tx.connection.execute(noted).rowcount


def _list(names: tuple[str, ...] | None) -> str | None:
    return None if names is None else json_text.dumps(list(names))
