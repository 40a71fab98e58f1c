"""Secrets without their values: those of the environment, which take precedence, and those that are stored."""

from collections.abc import Collection

from sqlalchemy import Connection, select

from rota.db.encryption import environment_secrets
from rota.db.tables import secret
from rota.domain.secrets.model import Secret, Source, of_environment
from rota.errors import NotFound
from rota.store.sealing.named_secrets import Row, read_list

_SHOWN = [column for column in secret.c if column.name not in {"sealed", "sealed_with"}]


def list_secrets(connection: Connection, after: str, limit: int) -> list[Secret]:
    """Return up to `limit` secrets by name, from the name `after` on."""
    wanted = select(*_SHOWN).where(secret.c.name > after).order_by(secret.c.name).limit(limit)
    found = {row["name"]: to_secret(row) for row in connection.execute(wanted).mappings()}
    given = environment_secrets(connection).values()
    found |= {each.name: of_environment(each) for each in given if each.name > after}
    return [found[name] for name in sorted(found)[:limit]]


def find_secret(connection: Connection, name: str) -> Secret:
    """Return the secret that a reference to this name means; raises NotFound."""
    found = secrets_named(connection, (name,)).get(name)
    if found is None:
        raise missing_secret(name)
    return found


def secrets_named(connection: Connection, names: Collection[str]) -> dict[str, Secret]:
    """Return those of the named secrets that exist, by name."""
    given = environment_secrets(connection)
    found = {name: of_environment(given[name]) for name in names if name in given}
    stored = [name for name in names if name not in given]
    if stored:
        rows = connection.execute(select(*_SHOWN).where(secret.c.name.in_(stored)))
        found |= {row["name"]: to_secret(row) for row in rows.mappings()}
    return found


def to_secret(row: Row) -> Secret:
    """Return the secret of a row, without its value."""
    return Secret(
        name=row["name"],
        source=Source.STORED,
        origins=read_list(row["origins"]),
        tasks=read_list(row["tasks"]),
        description=row["description"],
        id=row["id"],
        version=row["version"],
        previous_until=row["previous_until"],
        rotated_at=row["rotated_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        updated_by=row["updated_by"],
    )


def missing_secret(name: str) -> NotFound:
    """Return the error for a name that no secret has."""
    return NotFound(f"There is no secret {name!r}.")
