"""Values of kv entries on their way into the tables and out of them: sealed, where the service has a key."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, func, select

from rota.db.encryption import Keyring, keyring_of, missing_key, not_sealed
from rota.db.tables import kv, kv_history
from rota.errors import Sealed
from rota.store.sealing.named_secrets import check_secrets, keys_of_secrets
from rota.store.sealing.notes import enforce_note, noted_with

_SEALED = (kv, kv_history)
# So many values of a key are tried at the start.
_TRIED = 20


def open_value(connection: Connection, row: Any) -> Any:
    """Return the value of a row of `kv` or `kv_history` (None if it has none); raises Sealed.

    The row has `task_id`, `key`, `value`, `sealed_with`, `version` and `content_type`.
    """
    if row.value is None:
        return None
    keyring = keyring_of(connection)
    if row.sealed_with is None:
        if keyring is not None and keyring.strict:
            raise not_sealed(place_of(row.key))
        return row.value
    if keyring is None:
        raise missing_key(row.sealed_with)
    place, beside = place_of(row.key), (row.version, row.content_type)
    return keyring.open(row.sealed_with, row.task_id, place, row.value, *beside)


def seal_values(keyring: Keyring, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows of `kv` as they are to be stored: with their values sealed."""
    return [
        {
            **row,
            "value": seal_value(keyring, row["value"], row),
            "sealed_with": keyring.first,
        }
        for row in rows
    ]


def seal_value(keyring: Keyring, plain: bytes, row: Mapping[str, Any]) -> bytes:
    """Return a value as it is stored in its row: bound to its task and key, its version and its content type."""
    beside = (row["version"], row["content_type"])
    return keyring.seal(row["task_id"], place_of(row["key"]), plain, *beside)


def check_keys(connection: Connection) -> None:
    """Raise Sealed, naming the keys, if there are values that no key of the service opens; heed the note, if there is.

    A key that has the right id and opens nothing is another key than it was: what it would seal could not be read with
    the right one.
    """
    keyring = keyring_of(connection)
    missing = [each for each in keys_in_use(connection) if keyring is None or each not in keyring]
    if missing:
        raise missing_key(*missing)
    for table in _SEALED:
        for key_id in _keys_of(connection, table):
            _check_key(connection, table, key_id)
    check_secrets(connection, _TRIED)
    enforce_note(connection)


def _check_key(connection: Connection, table: Any, key_id: str) -> None:
    """Raise Sealed if none of some values opens; a single one may have been changed outside Rota."""
    some = select(table).where(table.c.sealed_with == key_id, table.c.value.is_not(None))
    rows = connection.execute(some.limit(_TRIED)).all()
    if rows and not any(_opens(connection, row) for row in rows):
        raise Sealed(
            f"The encryption key {key_id!r} in ROTA_ENCRYPTION_KEYS opens none of the values that are sealed with the "
            "key of this id: it is another key than it was. Set the right one."
        )


def _opens(connection: Connection, row: Any) -> bool:
    try:
        open_value(connection, row)
    except Sealed:
        return False
    return True


def keys_in_use(connection: Connection) -> list[str]:
    """Return the ids of the keys that stored values are sealed with."""
    of_values = {each for table in _SEALED for each in _keys_of(connection, table)}
    return sorted(of_values | keys_of_secrets(connection) | noted_with(connection))


def place_of(key: str) -> str:
    """Return what the value of an entry is called."""
    return f"value of {key!r}"


def _keys_of(connection: Connection, table: Any) -> list[str]:
    """One look into the index for each key, however many values are sealed with it."""
    found: list[str] = []
    least = select(func.min(table.c.sealed_with)).where(table.c.sealed_with.is_not(None))
    following = connection.execute(least).scalar_one()
    while following is not None:
        found.append(following)
        following = connection.execute(least.where(table.c.sealed_with > following)).scalar_one()
    return found
