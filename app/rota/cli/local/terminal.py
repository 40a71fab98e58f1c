"""What the commands of the command line share: settings, the database, sentences on the terminal, refusals."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError
from sqlalchemy.exc import DBAPIError

from rota import logs
from rota.clock import SystemClock
from rota.db import failures, migrations
from rota.db.command import Command, R, Transaction
from rota.db.engine import Database
from rota.db.engines.sqlite_file import exists
from rota.db.engines.urls import parse_url
from rota.domain.validation.locations import Place
from rota.domain.validation.messages import word
from rota.errors import AppError, Unavailable
from rota.main import keyring
from rota.settings import Settings
from rota.store.sealing import sealed_values


def settings_of(**given: Any) -> Settings:
    """Return the settings, with those that were given as options. Exits if one is wrong."""
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        lines = faults_of_settings(error)
        raise refusal("\n".join(lines)) from None
    except SettingsError as error:  # a file of a setting cannot be read
        raise refusal(str(error)) from None


def faults_of_settings(error: ValidationError) -> list[str]:
    """Return what is wrong with settings, a sentence each."""
    faults = [
        (each["loc"], word([each], Place("")))
        for each in error.errors(include_input=False)  # it may be a key
    ]
    # Messages about several settings name them.
    return [
        f"ROTA_{'_'.join(map(str, where)).upper()}: {message}" if where else message
        for where, message in faults
    ]


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


def announce(
    settings: Settings, event: str, sentence: str, *, err: bool = False, **fields: Any
) -> None:
    """Print a sentence on the terminal; if the log format is JSON, log an event instead."""
    if settings.log_format == "json":
        logs.write_json("info", event, **fields)
    else:
        typer.echo(sentence, err=err)


def refusal(message: str) -> typer.Exit:
    """Print why a command is refused; return the exit."""
    # Not from the settings: they may be wrong.
    if os.environ.get("ROTA_LOG_FORMAT") == "json":
        logs.write_json("error", "refused", error=message)
    else:
        typer.echo(f"rota: {message}", err=True)
    return typer.Exit(2)
