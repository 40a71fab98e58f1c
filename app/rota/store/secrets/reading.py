"""Secrets without their values: those of the environment, which take precedence, and those that are stored."""

from collections.abc import Collection, Iterator
from itertools import islice

from sqlalchemy import Connection, select

from rota.db.encryption import environment_secrets
from rota.db.tables import secret
from rota.domain.access.names import UNLIMITED, NameLimit
from rota.domain.secrets.model import Secret, Source, of_environment
from rota.domain.secrets.names import is_within
from rota.errors import NotFound
from rota.store.sealing.named_secrets import Row, read_list

_SHOWN = [column for column in secret.c if column.name not in {"sealed", "sealed_with"}]


def list_secrets(
    connection: Connection, after: str, limit: int, tasks: NameLimit = UNLIMITED
) -> list[Secret]:
    """Return up to `limit` secrets by name, from the name `after` on; `tasks`: only those that are for these tasks."""
    given = environment_secrets(connection)
    stored = (each for each in _stored(connection, after, limit) if each.name not in given)
    found = [of_environment(each) for each in given.values() if each.name > after]
    found = [each for each in found if is_within(each.tasks, tasks)]
    found += islice((each for each in stored if is_within(each.tasks, tasks)), limit)
    return sorted(found, key=lambda each: each.name)[:limit]


def _stored(connection: Connection, after: str, at_a_time: int) -> Iterator[Secret]:
    """Yield the stored secrets by name, from the name `after` on; reads no further than it is asked for."""
    listing = select(*_SHOWN).order_by(secret.c.name).limit(at_a_time)
    while rows := connection.execute(listing.where(secret.c.name > after)).mappings().all():
        yield from map(to_secret, rows)
        if len(rows) < at_a_time:
            return
        after = rows[-1]["name"]


def find_secret(connection: Connection, name: str, tasks: NameLimit = UNLIMITED) -> Secret:
    """Return the secret that a reference to this name means; raises NotFound, also if it is for other tasks."""
    found = secrets_named(connection, (name,)).get(name)
    if found is None or not is_within(found.tasks, tasks):
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
