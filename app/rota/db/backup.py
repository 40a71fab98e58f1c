"""A copy of a database: of an SQLite file by SQLite itself, of PostgreSQL by its own program `pg_dump`."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from sqlalchemy.engine import URL

from rota.errors import Unavailable

#: Called with how many pages of a file are copied, and how many there are.
OnProgress = Callable[[int, int], None]
_PAGES_AT_A_TIME = 2_048


def copy_file(source: Path, target: Path, on_progress: OnProgress) -> None:
    """Copy an SQLite file as it is at one moment, also while a service writes to it. Raises Unavailable.

    The read transaction makes it one moment: without it, the copy would begin again with each write meanwhile.
    """
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True)) as origin,
            closing(sqlite3.connect(target, isolation_level=None)) as copy,
        ):
            origin.execute("BEGIN")
            origin.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            origin.backup(
                copy,
                pages=_PAGES_AT_A_TIME,
                progress=lambda _status, left, all_: on_progress(all_ - left, all_),
                sleep=0,
            )
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, with nothing beside it
            (found,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise Unavailable(f"The database {source} cannot be copied: {error}.") from None
    if found != "ok":
        raise Unavailable(f"The database {source} is damaged: {found}. The copy is not kept.")


def dump_command(url: URL, target: Path) -> list[str]:
    """Return the command that dumps a PostgreSQL database; the password is not in it."""
    plain = URL.create(
        "postgresql",
        username=url.username,
        host=url.host,
        port=url.port,
        database=url.database,
        query=url.query,
    )
    return ["pg_dump", "--format=custom", f"--file={target}", f"--dbname={plain}"]


def dump(url: URL, target: Path) -> None:
    """Dump a PostgreSQL database. Raises Unavailable, with the command to run elsewhere if it cannot be run here."""
    command = dump_command(url, target)
    program = shutil.which(command[0])
    if program is None:
        raise Unavailable(
            "pg_dump makes backups of PostgreSQL, and is not on the PATH here. Install the client programs of "
            f"PostgreSQL, or run it where they are: {' '.join(command)}"
        )
    password = {} if url.password is None else {"PGPASSWORD": str(url.password)}
    ended = subprocess.run(  # noqa: S603  # its arguments are a list, and no shell sees them
        [program, *command[1:]],
        env={**os.environ, **password},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise Unavailable(f"pg_dump has failed: {ended.stderr.strip() or ended.returncode}")
