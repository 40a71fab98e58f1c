"""The database: whether it can be reached and used, its disk, its clock, keys, and sealed values."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Connection

from rota.cli.local.findings import Finding, Level
from rota.cli.local.health.file_systems import file_system_of, is_network
from rota.clock import SystemClock
from rota.configuration import keyring
from rota.db import migrations
from rota.db.engines.sqlite_file import exists
from rota.db.engines.urls import parse_url
from rota.db.inspection import inspected, time_of
from rota.errors import AppError
from rota.listening import check_loopback
from rota.settings import Settings
from rota.store.access.reading import has_administrators, has_kept_keys
from rota.store.sealing.readability import missing_keys

_LITTLE = 1_000_000_000
_TOO_LITTLE = 50_000_000
_MOST_DIFFERENCE = timedelta(seconds=1)
_OF_OTHERS = 0o077
_NEW_ADMINISTRATOR = "rota key create --name admin --scope admin"


def file(settings: Settings) -> Iterator[Finding]:
    """Yield the findings about the file of SQLite, and its disk."""
    try:
        url = parse_url(settings.database_url)
    except AppError:  # it is reported with what is in it
        return
    if url.get_backend_name() != "sqlite":
        return
    path = Path(str(url.database).removeprefix("file:")).absolute()
    if not path.parent.is_dir():
        return
    kind = file_system_of(path)
    if is_network(kind):
        message = f"{path} is on a network disk ({kind}), where SQLite's locks cannot be relied on."
        yield Finding(Level.ERROR, "disk", message, "Move it to a local disk, or use PostgreSQL")
    yield _space(path)
    if exists(url) and path.stat().st_mode & _OF_OTHERS:
        message = f"Others can read {path}, which has the data of tasks."
        yield Finding(Level.WARNING, "database", message, f"chmod 600 {path}")


def _space(path: Path) -> Finding:
    free = shutil.disk_usage(path.parent).free
    message = f"{free / 1_000_000_000:.1f} GB are free for {path}."
    if free >= _LITTLE:
        return Finding(Level.OK, "disk", message)
    level = Level.ERROR if free < _TOO_LITTLE else Level.WARNING
    return Finding(level, "disk", message, "Free space, or keep fewer runs: 'retention' of tasks")


def content(settings: Settings) -> Iterator[Finding]:
    """Yield the findings about the content of the database."""
    try:
        if not exists(parse_url(settings.database_url)):
            message = f"There is no file yet for {settings.database_url}."
            yield Finding(Level.WARNING, "database", message, "rota serve makes it")
            yield from _keys(settings, None)
            return
        with inspected(settings.database_url, keyring(settings)) as connection:
            yield from _clock(connection)
            try:
                migrations.check(connection)
            except AppError as error:
                yield Finding(Level.ERROR, "database", error.detail, "rota db upgrade")
                return
            yield Finding(
                Level.OK, "database", f"It can be used, with the schema {migrations.head()}."
            )
            yield from _keys(settings, connection)
            yield from _encryption(settings, connection)
    except AppError as error:
        yield Finding(Level.ERROR, "database", error.detail, "Check ROTA_DATABASE_URL")


def _clock(connection: Connection) -> Iterator[Finding]:
    """Compare the clock with that of the server, by which replicas hold their runs."""
    theirs = time_of(connection)
    if theirs is None:
        return
    difference = abs(SystemClock().now() - theirs)
    message = f"It differs by {difference.total_seconds():.1f} s from that of the database."
    if difference <= _MOST_DIFFERENCE:
        yield Finding(Level.OK, "clock", message)
    else:
        fix = "Set both machines by NTP: timedatectl set-ntp true"
        yield Finding(Level.WARNING, "clock", message, fix)


def _keys(settings: Settings, connection: Connection | None) -> Iterator[Finding]:
    if settings.api_key:
        yield Finding(Level.OK, "keys", "ROTA_API_KEY is set.")
        return
    if connection is not None and has_kept_keys(connection):
        if has_administrators(connection, SystemClock().now()):
            yield Finding(Level.OK, "keys", "There is a key with the scope admin.")
        else:
            message = "There are keys, and none has the scope admin: nobody can make or revoke keys over HTTP."
            yield Finding(Level.ERROR, "keys", message, _NEW_ADMINISTRATOR)
        return
    yield _without_keys(settings)


def _without_keys(settings: Settings) -> Finding:
    try:
        check_loopback(settings.host, settings.port)
    except AppError as error:
        return Finding(Level.ERROR, "keys", error.detail, _NEW_ADMINISTRATOR)
    return Finding(Level.OK, "keys", "There is none: only programs of this machine can use Rota.")


def _encryption(settings: Settings, connection: Connection) -> Iterator[Finding]:
    missing = missing_keys(connection)
    if missing:
        message = f"Stored values need the encryption keys {', '.join(missing)}."
        fix = "Add them to ROTA_ENCRYPTION_KEYS, behind the first one"
        yield Finding(Level.ERROR, "encryption", message, fix)
    elif settings.encryption_keys:
        yield Finding(Level.OK, "encryption", "The keys that stored values need are set.")
    else:
        yield Finding(Level.OK, "encryption", "Values are stored as they are: no key is set.")
