"""API keys as they are stored: read for a list, and all of them for the memory of a process."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never

from sqlalchemy import Connection, and_, func, or_, select

from rota.db.tables import api_key
from rota.domain.access.keys import KeyId
from rota.domain.access.scopes import Scope
from rota.domain.access.stored_key import KeyStatus, StoredKey, id_of
from rota.domain.primitives.json import json_text
from rota.errors import Invalid, NotFound

_SCOPES = frozenset(str(scope) for scope in Scope)
_SAME = (
    "id",
    "name",
    "rate",
    "max_tasks",
    "max_unfinished_runs",
    "max_kv_bytes",
    "expires_at",
    "created_at",
    "created_by",
    "rotated_at",
    "previous_until",
    "last_used_at",
    "revoked_at",
    "revoked_by",
    "digest",
    "previous_digest",
)


def find_key(connection: Connection, id: str) -> StoredKey:
    """Return a key; raises NotFound."""
    row = connection.execute(select(api_key).where(api_key.c.id == id)).mappings().one_or_none()
    if row is None:
        raise missing_key(id)
    return to_key(row)


def list_keys(
    connection: Connection, after: tuple[datetime, str] | None, limit: int
) -> list[StoredKey]:
    """Return up to `limit` keys in the order in which they were made, behind a position."""
    made_at, id = api_key.c.created_at, api_key.c.id
    wanted = select(api_key).order_by(made_at, id).limit(limit)
    if after is not None:
        wanted = wanted.where(or_(made_at > after[0], and_(made_at == after[0], id > after[1])))
    return [to_key(row) for row in connection.execute(wanted).mappings()]


def all_keys(connection: Connection, revoked_since: datetime) -> dict[KeyId, StoredKey]:
    """Return the keys that are not revoked, and those that were lately, so that their holders can be informed."""
    wanted = select(api_key).where(
        or_(api_key.c.revoked_at.is_(None), api_key.c.revoked_at >= revoked_since)
    )
    keys = (to_key(row) for row in connection.execute(wanted).mappings())
    return {key.id: key for key in keys}


def mark(connection: Connection) -> int:
    """Return a number that rises with each change of a key; the use of a key is none."""
    return int(
        connection.execute(select(func.coalesce(func.sum(api_key.c.version), 0))).scalar_one()
    )


@dataclass(frozen=True, slots=True)
class KeysRead:
    """The keys that a process needs in its memory, and the mark that they had when they were read."""

    mark: int
    keys: Mapping[KeyId, StoredKey]


def keys_if_changed(
    connection: Connection, known: int | None, revoked_since: datetime
) -> KeysRead | None:
    """Return the keys, unless they still have the mark that is known."""
    present = mark(connection)
    return None if present == known else KeysRead(present, all_keys(connection, revoked_since))


def why_not_accepted(connection: Connection, label: str, now: datetime) -> str | None:
    """Return why the stored key of a client (`key:…`) is not accepted now; None for all other clients."""
    id = id_of(label)
    wanted = select(api_key).where(api_key.c.id == id)
    row = None if id is None else connection.execute(wanted).mappings().one_or_none()
    if row is None:
        return None
    found = to_key(row)
    match found.status(now):
        case KeyStatus.REVOKED:
            return f"The key {found.id} ({found.name}) was revoked."
        case KeyStatus.EXPIRED:
            return f"The key {found.id} ({found.name}) has expired."
        case KeyStatus.ACTIVE:
            return None
        case status:
            assert_never(status)


def has_kept_keys(connection: Connection) -> bool:
    """Return whether there are keys that are not revoked."""
    kept = select(api_key.c.id).where(api_key.c.revoked_at.is_(None)).limit(1)
    return connection.execute(kept).one_or_none() is not None


def has_administrators(connection: Connection, now: datetime) -> bool:
    """Return whether a key with the scope `admin` is accepted now."""
    keys = all_keys(connection, now).values()
    return any(Scope.ADMIN in key.scopes and key.status(now) is KeyStatus.ACTIVE for key in keys)


def to_key(row: Mapping[Any, Any]) -> StoredKey:
    """Return the key of a row; what cannot be read in it permits nothing."""
    return StoredKey(
        **{name: row[name] for name in _SAME},
        scopes=frozenset(Scope(each) for each in _texts(row["scopes"]) if each in _SCOPES),
        tasks=None if row["tasks"] is None else _texts(row["tasks"]),
        queues=None if row["queues"] is None else _texts(row["queues"]),
    )


def missing_key(id: str) -> NotFound:
    """Return the error for an id that no key has."""
    return NotFound(f"There is no key {id!r}.")


def _texts(column: str) -> tuple[str, ...]:
    try:
        found = json_text.loads(column)
    except Invalid:
        return ()
    # An empty beginning would be that of all names.
    return (
        tuple(each for each in found if isinstance(each, str) and each)
        if isinstance(found, list)
        else ()
    )
