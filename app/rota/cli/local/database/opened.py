"""The database of a service, opened by a command."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from rota.cli.local.terminal import refusal
from rota.clock import SystemClock
from rota.configuration import keyring
from rota.db import failures, migrations
from rota.db.command import Command, R, Transaction
from rota.db.engine import Database
from rota.db.engines.sqlite_file import exists
from rota.db.engines.urls import parse_url
from rota.errors import AppError, Unavailable
from rota.settings import Settings
from rota.store.sealing import sealed_values


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    """Open the database of a service, which must not run on SQLite. Exits if it cannot be used, or a key is missing."""
    try:
        with database_of(settings) as database:
            with database.read() as connection:
                sealed_values.check_keys(connection)
            yield database
    except AppError as error:
        raise refusal(error.detail) from None


@contextmanager
def database_of(settings: Settings) -> Iterator[Database]:
    """Open the database of a service, which must not run on SQLite; raises AppError if that is not possible."""
    check_exists(settings.database_url)
    database = Database(settings.database_url, keyring(settings))
    try:
        with database.read() as connection:
            migrations.check(connection)
        yield database
    finally:
        database.close()


def check_exists(url: str) -> None:
    """Raise Unavailable if there is no SQLite file: opening it would make one, in whatever folder this is."""
    parsed = parse_url(url)
    if not exists(parsed):
        raise Unavailable(
            f"There is no database {Path(str(parsed.database)).absolute()}. Go to the folder of the service, or set "
            "ROTA_DATABASE_URL; or make a new database: `rota db upgrade`."
        )


def commit(database: Database, command: Command[R]) -> R:
    """Commit a command without a writer; raises what it raises."""
    try:
        with database.writing.begin() as connection:
            return command.apply(Transaction(connection, SystemClock().now()))
    except DBAPIError as error:
        if not failures.is_outage(error):
            raise
        raise failures.not_written(error, database.url, failures.Fate.NOT_STORED) from error
