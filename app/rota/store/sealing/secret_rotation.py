"""Rotation of named secrets: those that an earlier key seals are sealed with the first one."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from rota.db.bulk import Bulk
from rota.db.command import Command, Transaction
from rota.db.encryption import Keyring, keyring_of
from rota.db.tables import secret
from rota.errors import Sealed
from rota.store.sealing.named_secrets import Row, Values, open_values, sealed_columns


@dataclass(frozen=True, slots=True)
class SecretWalk:
    """Where a walk over all secrets stands: behind which name."""

    behind: str = ""


@dataclass(frozen=True, slots=True)
class ResealSecrets(Command[int]):
    """Seal secrets with the first key; return how many. One that is locked is skipped: the next walk finds it."""

    patient = False

    names: tuple[str, ...]

    def apply(self, tx: Transaction) -> int:
        return _rewrite(tx, secret.c.name.in_(self.names)) if self.names else 0


@dataclass(frozen=True, slots=True)
class ForgetPrevious(Command[int]):
    """Remove the previous values whose overlap has passed; return of how many secrets."""

    patient = False

    limit: int

    def apply(self, tx: Transaction) -> int:
        over = secret.c.previous_until <= tx.now
        some = select(secret.c.name).where(over).order_by(secret.c.name).limit(self.limit)
        return _rewrite(tx, secret.c.name.in_(some), over)


def next_secrets(
    connection: Connection, walk: SecretWalk, limit: int
) -> tuple[list[str], SecretWalk | None]:
    """Look at up to `limit` secrets; return those that another key seals, and where to continue, if at all."""
    keyring = keyring_of(connection)
    if keyring is None:
        return [], None
    wanted = select(secret.c.name, secret.c.sealed_with).where(secret.c.name > walk.behind)
    rows = connection.execute(wanted.order_by(secret.c.name).limit(limit)).all()
    old = [row.name for row in rows if row.sealed_with != keyring.first]
    return old, SecretWalk(rows[-1].name) if len(rows) == limit else None


def _rewrite(tx: Transaction, *these: Any) -> int:
    keyring = keyring_of(tx.connection)
    if keyring is None:
        return 0
    free = select(secret).where(*these).order_by(secret.c.name).with_for_update(skip_locked=True)
    rows = [_rewritten(tx, keyring, row) for row in tx.connection.execute(free).mappings().all()]
    return _UPDATE.execute(tx.connection, [row for row in rows if row is not None])


def _rewritten(tx: Transaction, keyring: Keyring, row: Row) -> dict[str, Any] | None:
    try:
        values: Values = open_values(tx.connection, row).at(tx.now)
    except Sealed:  # its runs fail and say so; the others are not held up
        return None
    columns = sealed_columns(keyring, row, values)
    return {
        "g_name": row["name"],
        "g_version": row["version"],
        **{f"n_{column}": value for column, value in columns.items()},
    }


_UPDATE = Bulk(
    update(secret)
    .where(secret.c.name == bindparam("g_name"), secret.c.version == bindparam("g_version"))
    .values(
        sealed=bindparam("n_sealed"),
        sealed_with=bindparam("n_sealed_with"),
        previous_until=bindparam("n_previous_until"),
    )
)
