"""`rota db check`: whether the database is whole, as this version needs it, and readable with the keys that are set."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Connection

from rota.cli.exits import ExitCode
from rota.cli.local.findings import Finding, Level, print_findings
from rota.cli.local.terminal import settings_of
from rota.cli.output import Json
from rota.configuration import keyring
from rota.db import migrations
from rota.db.inspection import broken_references, faults_of_file, inspected
from rota.errors import AppError
from rota.settings import Settings
from rota.store.sealing.readability import missing_keys, unreadable_values

_RESTORE = "Restore a backup, and start it with `rota serve --paused`"
_MOST_LISTED = 5


def check(
    file: Annotated[
        Path | None,
        typer.Argument(help="An SQLite file, such as a backup; the database of the settings."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check the file, its references, its schema, and that sealed values can be read; also while the service runs."""
    settings = settings_of()
    if file is not None:
        url = f"sqlite:///{file.absolute()}"
        settings = settings.model_copy(update={"database_url": url})
    findings = list(findings_of_database(settings))
    print_findings(findings, as_json=as_json)
    if any(each.level is Level.ERROR for each in findings):
        raise typer.Exit(ExitCode.FAILED)


def findings_of_database(settings: Settings) -> Iterator[Finding]:
    """Yield what the checks find."""
    try:
        with inspected(settings.database_url, keyring(settings)) as connection:
            yield from _whole(connection)
            try:
                migrations.check(connection)
            except AppError as error:
                yield Finding(Level.ERROR, "schema", error.detail, "rota db upgrade")
                return
            yield Finding(Level.OK, "schema", f"It is {migrations.head()}, as it must be.")
            yield from _sealed(connection)
    except AppError as error:
        yield Finding(Level.ERROR, "database", error.detail, "Check ROTA_DATABASE_URL")


def _whole(connection: Connection) -> Iterator[Finding]:
    if connection.dialect.name != "sqlite":
        yield Finding(Level.OK, "integrity", "PostgreSQL checks its pages and references itself.")
        return
    faults = faults_of_file(connection)
    yield from (Finding(Level.ERROR, "integrity", each, _RESTORE) for each in faults)
    if not faults:
        yield Finding(Level.OK, "integrity", "The file is whole.")
    broken = broken_references(connection)
    yield from (
        Finding(Level.ERROR, "references", f"Rows that refer to none, from {each}.", _RESTORE)
        for each in broken
    )
    if not broken:
        yield Finding(Level.OK, "references", "Every reference leads to a row.")


def _sealed(connection: Connection) -> Iterator[Finding]:
    missing = missing_keys(connection)
    if missing:
        named = ", ".join(missing)
        fix = "Add them to ROTA_ENCRYPTION_KEYS, behind the first one"
        yield Finding(
            Level.ERROR, "encryption", f"Stored values need the encryption keys {named}.", fix
        )
        return
    unreadable = list(islice(unreadable_values(connection), _MOST_LISTED))
    fix = "Set the key that it was sealed with, or write the value again"
    yield from (Finding(Level.ERROR, "encryption", each, fix) for each in unreadable)
    if not unreadable:
        yield Finding(Level.OK, "encryption", "Every sealed value can be read.")
