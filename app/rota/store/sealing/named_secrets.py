"""Named secrets, sealed together with what they are bound to.

Who changes the servers or the tasks in a row, its name or its version, has a row that does not open.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, select

from rota.db.encryption import Keyring, keyring_of, missing_key
from rota.db.tables import secret
from rota.domain.primitives.json import json_text
from rota.domain.primitives.times.instants import format_instant, parse_instant
from rota.domain.secrets.opened import OpenedSecret
from rota.errors import Invalid, Sealed, TooLarge

#: A row of the table, or what is to be one, by column.
Row = Mapping[str, Any] | RowMapping


@dataclass(frozen=True, slots=True)
class Values:
    """The values of a secret: the present one, and the one before it, with the time up to which that is valid."""

    value: str = field(repr=False)
    previous: str | None = field(default=None, repr=False)
    until: datetime | None = None

    def at(self, now: datetime) -> "Values":
        """Return the values that are valid at a time."""
        return self if self.until is None or self.until > now else Values(self.value)


def sealed_columns(keyring: Keyring, row: Row, values: Values) -> dict[str, Any]:
    """Return the columns that hold the values, for a row with its name, id, version, origins and tasks."""
    document = {
        "value": values.value,
        "previous": values.previous,
        "until": None if values.until is None else format_instant(values.until),
    }
    plain = json_text.dumps(document).encode()
    sealed = keyring.seal(row["id"], _place(row["name"]), plain, *bound_to(row))
    return {"sealed": sealed, "sealed_with": keyring.first, "previous_until": values.until}


def open_values(connection: Connection, row: Row) -> Values:
    """Return the values of a row of `secret`; raises Sealed."""
    keyring = keyring_of(connection)
    if keyring is None:
        raise missing_key(row["sealed_with"])
    place = _place(row["name"])
    plain = keyring.open(row["sealed_with"], row["id"], place, row["sealed"], *bound_to(row))
    document = json_text.loads(plain)
    until = document["until"]
    return Values(
        document["value"], document["previous"], None if until is None else parse_instant(until)
    )


def open_secret(connection: Connection, row: Row, now: datetime) -> OpenedSecret:
    """Return a secret in plain from its row, as it is valid at a time; raises Sealed."""
    values = open_values(connection, row).at(now)
    return OpenedSecret(
        row["name"],
        values.value,
        values.previous,
        read_list(row["origins"]),
        read_list(row["tasks"]),
    )


def read_list(text: str) -> tuple[str, ...]:
    """Return the list of a column; one that was changed by hand and cannot be read is empty, and permits nothing."""
    try:
        items = json_text.loads(text)
    except (Invalid, TooLarge):
        return ()
    readable = isinstance(items, list) and all(isinstance(item, str) for item in items)
    return tuple(items) if readable else ()


def write_list(items: Iterable[str]) -> str:
    """Return the column's text for a list."""
    return json_text.dumps(list(items))


def keys_of_secrets(connection: Connection) -> set[str]:
    """Return the ids of the keys that named secrets are sealed with."""
    return set(connection.execute(select(secret.c.sealed_with).distinct()).scalars())


def check_secrets(connection: Connection, tried: int) -> None:
    """Raise Sealed if none of some secrets opens that are sealed with a key: it is another key than it was."""
    for key_id in sorted(keys_of_secrets(connection)):
        some = select(secret).where(secret.c.sealed_with == key_id).limit(tried)
        if not any(_opens(connection, row) for row in connection.execute(some).mappings().all()):
            raise Sealed(
                f"The encryption key {key_id!r} in ROTA_ENCRYPTION_KEYS opens none of the named secrets that are "
                "sealed with the key of this id: it is another key than it was. Set the right one."
            )


def _opens(connection: Connection, row: Row) -> bool:
    try:
        open_values(connection, row)
    except Sealed:
        return False
    return True


def _place(name: str) -> str:
    return f"secret {name!r}"


def bound_to(row: Row) -> tuple[str | int, ...]:
    """Guard: what a value opens beside only, as it was sealed."""
    return row["version"], row["origins"], row["tasks"]
