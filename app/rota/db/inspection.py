"""Looking at a database from beside: also while a service uses it, and whatever schema it has."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from rota.db import failures
from rota.db.encryption import OPTION, Keyring
from rota.db.engine import migrating_engine
from rota.db.engines.sqlite import inspecting_engine
from rota.db.engines.sqlite_file import exists
from rota.db.engines.urls import parse_url
from rota.errors import Unavailable

#: How many faults of a file are listed.
MOST_FAULTS = 20


@contextmanager
def inspected(url: str, keyring: Keyring | None = None) -> Iterator[Connection]:
    """Open a read-only connection, which takes no lock. Raises Invalid and Unavailable."""
    parsed = parse_url(url)
    if not exists(parsed):
        raise Unavailable(f"There is no database {Path(str(parsed.database)).absolute()}.")
    is_sqlite = parsed.get_backend_name() == "sqlite"
    engine = inspecting_engine(parsed) if is_sqlite else migrating_engine(parsed)
    options = {} if keyring is None else {OPTION: keyring}
    try:
        with engine.execution_options(**options).connect() as connection:
            if not is_sqlite:
                connection.execute(text("SET TRANSACTION READ ONLY"))
            yield connection
    except DBAPIError as error:
        raise _unusable(error, parsed) from error
    finally:
        engine.dispose()


def _unusable(error: DBAPIError, url: URL) -> Unavailable:
    reason, place = failures.reason(error, url), failures.place_of(url)
    if failures.is_damage(error):
        return Unavailable(failures.damaged(place, reason))
    return Unavailable(f"The database {place} cannot be used: {reason}.")


def is_empty(path: Path) -> bool:
    """Return whether a file is an SQLite database without tables; what is no database is not empty."""
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)
        ) as connection:
            (number,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.Error:
        return False
    return bool(number == 0)


def faults_of_file(connection: Connection) -> list[str]:
    """Return what SQLite finds wrong in its file, up to 20 faults; none on PostgreSQL, which has no such check."""
    if connection.dialect.name != "sqlite":
        return []
    found = connection.execute(text(f"PRAGMA integrity_check({MOST_FAULTS})")).scalars()
    return [each for each in found if each != "ok"]


def broken_references(connection: Connection) -> list[str]:
    """Return the references to rows that do not exist, counted by their tables; PostgreSQL allows none."""
    if connection.dialect.name != "sqlite":
        return []
    counts: dict[str, int] = {}
    for table, _, parent, _ in connection.execute(text("PRAGMA foreign_key_check")):
        counts[f"{table} to {parent}"] = counts.get(f"{table} to {parent}", 0) + 1
    return [f"{names}: {number}" for names, number in sorted(counts.items())]


def time_of(connection: Connection) -> datetime | None:
    """Return the present time of the database server; None on SQLite, which has no clock of its own."""
    if connection.dialect.name == "sqlite":
        return None
    found: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return found
