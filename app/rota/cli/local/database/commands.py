"""`rota db`: the database of a service."""

from functools import partial
from typing import Annotated

import typer

from rota.cli.local.database.check import check
from rota.cli.local.database.copy import backup
from rota.cli.local.database.opened import commit, opened
from rota.cli.local.terminal import announce, refusal, settings_of
from rota.cli.registry import group_of_commands
from rota.db import migrations
from rota.engine.key_rotation import KeyRotation
from rota.errors import AppError
from rota.store.sealing import sealed_values
from rota.store.sealing.header_rotation import header_keys
from rota.store.sealing.input_rotation import earlier_keys

group = group_of_commands("The database.")
group.command()(backup)
group.command()(check)


@group.command()
def upgrade(
    revision: Annotated[str, typer.Argument(help="The revision to migrate to.")] = "head",
) -> None:
    """Create the tables, or migrate them to the schema of this version."""
    settings = settings_of()
    try:
        reached = migrations.upgrade(settings.database_url, revision)
    except AppError as error:
        raise refusal(error.detail) from None
    sentence = f"The database has schema {reached}."
    announce(settings, "database.upgraded", sentence, schema=reached)


@group.command()
def reseal() -> None:
    """Encrypt stored values with the first of ROTA_ENCRYPTION_KEYS; the service does so too, in the background."""
    settings = settings_of()
    with opened(settings) as database:
        sealed = KeyRotation(database, partial(commit, database)).settle()
        with database.read() as connection:
            keys = sorted(
                {
                    *sealed_values.keys_in_use(connection),
                    *earlier_keys(connection),
                    *header_keys(connection),
                }
            )
    sentence = f"Encrypted anew: {sealed}. Keys in use: {', '.join(keys) or 'none'}."
    announce(settings, "database.resealed", sentence, sealed=sealed, keys=keys)
