"""Changes of stored secrets: declared, rotated, removed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from rota.db.command import Command, StaleError, Transaction
from rota.db.encryption import Keyring, environment_secrets, keyring_of
from rota.db.tables import secret
from rota.domain.access.names import UNLIMITED, NameLimit
from rota.domain.primitives.ids import new_id
from rota.domain.primitives.preconditions import Precondition
from rota.domain.secrets.binding import widens
from rota.domain.secrets.model import Secret
from rota.domain.secrets.names import is_within
from rota.errors import Conflict, Fault, Invalid, PreconditionFailed, Sealed
from rota.store.sealing.named_secrets import (
    Row,
    Values,
    open_values,
    read_list,
    sealed_columns,
    write_list,
)
from rota.store.secrets.reading import missing_secret, to_secret


@dataclass(frozen=True, slots=True, kw_only=True)
class PutSecret(Command[tuple[Secret, bool]]):
    """Declare a secret; return it, and whether it is new. Without a value the present one stays.

    Raises Conflict without encryption keys, or if the environment has a secret of this name; Invalid if there is no
    value to keep, or if it would become sendable to more than before; PreconditionFailed.
    """

    name: str
    value: str | None = field(repr=False)
    origins: tuple[str, ...]
    tasks: tuple[str, ...]
    description: str | None
    by: str
    expected: Precondition | None = None
    #: The tasks that the client may see: a secret that is for others as well does not exist for it.
    limit: NameLimit = UNLIMITED

    def apply(self, tx: Transaction) -> tuple[Secret, bool]:
        row = _find(tx, self.name)
        _check_visible(tx, self.name, row, self.limit)
        keyring = _keyring(tx, self.name)
        _check_expected(self.name, row, self.expected)
        if row is None:
            return self._create(tx, keyring), True
        return self._change(tx, keyring, row), False

    def _create(self, tx: Transaction, keyring: Keyring) -> Secret:
        if self.value is None:
            raise _value_needed("a new secret needs one")
        made = {
            "name": self.name,
            "id": new_id(tx.now),
            "version": 1,
            "created_at": tx.now,
            "rotated_at": tx.now,
            **self._declared(tx),
        }
        made |= sealed_columns(keyring, made, Values(self.value))
        once = (sqlite if tx.is_sqlite else postgresql).insert(secret).values(made)
        once = once.on_conflict_do_nothing().returning(secret.c.name)
        if tx.connection.execute(once).one_or_none() is None:
            raise StaleError("the secret was created by another replica")
        return _read(tx, self.name)

    def _change(self, tx: Transaction, keyring: Keyring, row: Row) -> Secret:
        present = to_secret(row)
        wider = widens(present, self.origins, self.tasks)
        if self.value is None:
            if wider:
                raise _value_needed(
                    "to permit it for more servers or tasks, give its value again: who cannot read a secret must not "
                    "be able to have it sent elsewhere"
                )
            values = open_values(tx.connection, row).at(tx.now)
        else:
            values = _with_value(tx, row, self.value, wider=wider)
        declared = self._declared(tx)
        rotated = self.value is not None and _is_another(tx, row, self.value)
        same = all(declared[name] == row[name] for name in _DECLARED)
        if same and not rotated:
            return present
        _rewrite(tx, keyring, row, declared, values, rotated=rotated)
        return _read(tx, self.name)

    def _declared(self, tx: Transaction) -> dict[str, Any]:
        return {
            "origins": write_list(self.origins),
            "tasks": write_list(self.tasks),
            "description": self.description,
            "updated_at": tx.now,
            "updated_by": self.by,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateSecret(Command[Secret]):
    """Give a secret another value; the one before stays valid for the overlap. With the same value nothing changes.

    Raises NotFound, and Conflict and PreconditionFailed as `PutSecret`.
    """

    name: str
    value: str = field(repr=False)
    overlap: timedelta
    by: str
    expected: Precondition | None = None
    limit: NameLimit = UNLIMITED

    def apply(self, tx: Transaction) -> Secret:
        row = _find(tx, self.name)
        _check_visible(tx, self.name, row, self.limit)
        keyring = _keyring(tx, self.name)
        if row is None:
            raise missing_secret(self.name)
        _check_expected(self.name, row, self.expected)
        present = open_values(tx.connection, row)
        if present.value == self.value:
            return to_secret(row)
        values = (
            Values(self.value, present.value, tx.now + self.overlap)
            if self.overlap
            else Values(self.value)
        )
        _rewrite(tx, keyring, row, {"updated_at": tx.now, "updated_by": self.by}, values)
        return _read(tx, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveSecret(Command[None]):
    """Remove a stored secret. Raises NotFound, PreconditionFailed, and Conflict for one of the environment."""

    name: str
    expected: Precondition | None = None
    limit: NameLimit = UNLIMITED

    def apply(self, tx: Transaction) -> None:
        row = _find(tx, self.name)
        _check_visible(tx, self.name, row, self.limit)
        if row is None:
            _check_not_given(tx, self.name)
            raise missing_secret(self.name)
        _check_expected(self.name, row, self.expected)
        gone = tx.connection.execute(
            delete(secret).where(secret.c.name == self.name, unchanged_since(row))
        )
        if gone.rowcount != 1:
            raise _changed(self.name)


def unchanged_since(row: Row) -> ColumnElement[bool]:
    """Guard: a concurrent change of the secret wins."""
    same: ColumnElement[bool] = secret.c.version == row["version"]
    return same


_DECLARED = ("origins", "tasks", "description")


def _keyring(tx: Transaction, name: str) -> Keyring:
    _check_not_given(tx, name)
    keyring = keyring_of(tx.connection)
    if keyring is None:
        variable = f"ROTA_SECRET_{name.upper().replace('-', '_')}"
        raise Conflict(
            "Secrets are stored encrypted, and ROTA_ENCRYPTION_KEYS is not set. Set it (for example to k1: and the "
            f"output of: openssl rand -base64 32), or give the secret as {variable} and {variable}_ORIGINS.",
            slug="no-encryption-keys",
        )
    return keyring


def _check_not_given(tx: Transaction, name: str) -> None:
    if name in environment_secrets(tx.connection):
        raise Conflict(
            f"The secret {name!r} comes from the environment of the service (ROTA_SECRET_…). Change it there.",
            slug="secret-from-environment",
        )


def _find(tx: Transaction, name: str) -> Row | None:
    wanted = select(secret).where(secret.c.name == name).with_for_update()
    return tx.connection.execute(wanted).mappings().one_or_none()


def _check_visible(tx: Transaction, name: str, row: Row | None, limit: NameLimit) -> None:
    """Raise NotFound if a secret of this name, stored or of the environment, is for tasks beyond a limit."""
    stored = () if row is None else read_list(row["tasks"])
    given = environment_secrets(tx.connection).get(name)
    if not is_within((*stored, *(() if given is None else given.tasks)), limit):
        raise missing_secret(name)


def _read(tx: Transaction, name: str) -> Secret:
    return to_secret(
        tx.connection.execute(select(secret).where(secret.c.name == name)).mappings().one()
    )


def _check_expected(name: str, row: Row | None, expected: Precondition | None) -> None:
    if expected is None or expected.is_met_by(None if row is None else (row["id"], row["version"])):
        return
    if row is None:
        raise PreconditionFailed(f"There is no secret {name!r}.")
    read = expected.match is not None
    raise PreconditionFailed(
        f"Secret {name!r} is not as you read it."
        if read
        else f"There is a secret {name!r} already."
    )


def _with_value(tx: Transaction, row: Row, value: str, *, wider: bool) -> Values:
    """Return the values of a secret that is declared with a value.

    An overlap continues with the present one only, and never if it may be sent to more than before: who knows the
    present value, having rotated it in, need not know the one before.
    """
    if wider or _is_another(tx, row, value):
        return Values(value)
    return open_values(tx.connection, row).at(tx.now)


def _is_another(tx: Transaction, row: Row, value: str) -> bool:
    try:
        return open_values(tx.connection, row).value != value
    except Sealed:  # then it is replaced
        return True


def _rewrite(
    tx: Transaction,
    keyring: Keyring,
    row: Row,
    changes: Mapping[str, Any],
    values: Values,
    *,
    rotated: bool = True,
) -> None:
    changed = {**changes, "version": row["version"] + 1}
    if rotated:
        changed["rotated_at"] = tx.now
    changed |= sealed_columns(keyring, {**row, **changed}, values)
    these = (secret.c.name == row["name"], unchanged_since(row))
    if tx.connection.execute(update(secret).where(*these).values(changed)).rowcount != 1:
        raise _changed(row["name"])


def _changed(name: str) -> Conflict:
    return Conflict(f"Secret {name!r} was changed concurrently; try again.")


def _value_needed(detail: str) -> Invalid:
    return Invalid(f"/value: {detail}.", Fault("/value", detail))
