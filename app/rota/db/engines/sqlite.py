"""Engines on SQLite: WAL, `synchronous=FULL` (a commit survives power loss), `BEGIN IMMEDIATE` for the writer."""

import sqlite3
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError

from rota.db.engines.sqlite_file import FileLock

_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA busy_timeout=5000",
    "PRAGMA journal_size_limit=67108864",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA cache_size=-16000",
    "PRAGMA wal_autocheckpoint=8000",
)


def writing_engine(url: URL, lock: FileLock) -> Engine:
    """Return the engine of the writer: one connection."""
    pragmas = ("PRAGMA foreign_keys=ON",)
    engine = _sqlite(url, begin="BEGIN IMMEDIATE", pragmas=pragmas, pool_size=1, lock=lock)

    # Writes to a file that was removed are lost: before the commit they can still be refused.
    @event.listens_for(engine, "begin")
    @event.listens_for(engine, "commit")
    def _check_file(_connection: Connection) -> None:
        trouble = lock.trouble()
        if trouble is not None:
            raise OperationalError("COMMIT", None, sqlite3.OperationalError(trouble))

    return engine


def reading_engine(url: URL, lock: FileLock, connections: int) -> Engine:
    """Return the engine of the readers, with so many connections."""
    pragmas = ("PRAGMA query_only=ON",)
    return _sqlite(url, begin="BEGIN", pragmas=pragmas, pool_size=connections, lock=lock)


def migrating_engine(url: URL) -> Engine:
    """Return an engine for migrations: foreign keys are off, since a table copy would cascade."""
    return _sqlite(url, begin="BEGIN IMMEDIATE", pragmas=("PRAGMA foreign_keys=OFF",), pool_size=1)


def inspecting_engine(url: URL) -> Engine:
    """Return an engine that only reads, beside a service: it takes no lock and changes no mode of the file."""
    return _sqlite(url, begin="BEGIN", pragmas=("PRAGMA query_only=ON",), pool_size=1, usual=())


def _sqlite(
    url: URL,
    *,
    begin: str,
    pragmas: tuple[str, ...],
    pool_size: int,
    lock: FileLock | None = None,
    usual: tuple[str, ...] = _PRAGMAS,
) -> Engine:
    arguments: Any = url.get_dialect()().create_connect_args(url)
    given, named = arguments

    def connect() -> sqlite3.Connection:
        # Do not open another file: neither one that has replaced ours, nor a new one at its path.
        trouble = None if lock is None else lock.trouble()
        if trouble is not None:
            raise sqlite3.OperationalError(trouble)
        opened: sqlite3.Connection = sqlite3.connect(*given, **named | {"check_same_thread": False})
        return opened

    engine = create_engine(
        url,
        creator=connect,
        # Values of clients must not appear in errors and logs.
        hide_parameters=True,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=30,
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        # `_begin` begins transactions, not the driver.
        connection.isolation_level = None
        for pragma in (*usual, *pragmas):
            connection.execute(pragma)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
