"""The database: one engine that writes, on one connection, and one that reads.

On SQLite a lock file excludes a second process.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from rota.db import failures
from rota.db.connection_state.alerting import ALERTING
from rota.db.connection_state.known_holds import KNOWN_HOLDS, KnownHolds
from rota.db.encryption import OPTION, SECRETS, Keyring
from rota.db.engines import postgresql, sqlite
from rota.db.engines.sqlite_file import FileLock
from rota.db.engines.urls import parse_url
from rota.domain.alerts.defaults import Alerting
from rota.domain.secrets.opened import OpenedSecret
from rota.errors import Unavailable

log = structlog.get_logger(__name__)

_READERS = 8
# How many seconds the writer may be idle in a transaction (on a frozen machine, for example) before the server ends it
# and releases its locks, so that other replicas can continue: less than the part of a lease that is not relied on.
_LONGEST_SILENCE = 3.0
_SHORTEST_SILENCE = 0.5
# How many seconds a stop waits for reads in progress.
_LONGEST_READ = 5.0


class Database:
    """The two engines on one database, and the lock that SQLite needs."""

    def __init__(
        self,
        url: str,
        keyring: Keyring | None = None,
        silence: float = _LONGEST_SILENCE,
        secrets: Mapping[str, OpenedSecret] | None = None,
        alerting: Alerting | None = None,
    ) -> None:
        """Open it; every connection carries the keyring, the secrets of the environment, and the defaults of alerts.

        `silence`: how many seconds the writer may be idle in a transaction before PostgreSQL ends it. Raises Invalid
        for a URL that cannot be used, and Unavailable for an SQLite file that another process uses.
        """
        self.url = parse_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        #: The holds as they were read last, by whichever thread.
        self.known_holds = KnownHolds()
        self._damage: str | None = None
        self._lock = FileLock(self.url) if self.is_sqlite else None
        silence = min(max(silence, _SHORTEST_SILENCE), _LONGEST_SILENCE)
        if self._lock is not None:
            writing = sqlite.writing_engine(self.url, self._lock)
            reading = sqlite.reading_engine(self.url, self._lock, _READERS)
        else:
            writing = postgresql.writing_engine(self.url, silence)
            reading = postgresql.reading_engine(self.url, _READERS)
        options: dict[str, Any] = {KNOWN_HOLDS: self.known_holds}
        if keyring is not None:
            options[OPTION] = keyring
        if secrets:
            options[SECRETS] = secrets
        if alerting is not None:
            options[ALERTING] = alerting
        self.writing = writing.execution_options(**options)
        self._reading = reading.execution_options(**options)
        self._reads = _Reads()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a read-only transaction: one snapshot for all statements. Raises Unavailable."""
        try:
            with self._reads.entered(), self._reading.connect() as connection:
                yield connection
        except PoolTimeoutError as error:
            place = failures.place_of(self.url)
            raise Unavailable(
                f"The database {place} does not answer: all {_READERS} connections are busy."
            ) from error
        except DBAPIError as error:
            self.record_damage(error)
            if not failures.is_outage(error):
                raise
            raise failures.not_read(error, self.url) from error

    def trouble(self) -> str | None:
        """Return the permanent failure of the database, None if there is none: damage, or a file that was removed."""
        return self._damage or (self._lock.trouble() if self._lock is not None else None)

    def close(self) -> None:
        """Close every connection and release the file; waits for the reads in progress."""
        self._reads.end()
        self._reading.dispose()
        self.writing.dispose()
        if self._lock is not None:
            # After the connections: closing the file releases SQLite's own locks.
            self._lock.release()
            self._lock = None

    def record_damage(self, error: BaseException) -> None:
        """Record that the database is damaged, if an error shows it: damage is permanent."""
        if self._damage is None and failures.is_damage(error):
            reason = failures.reason(error, self.url)
            self._damage = failures.damaged(failures.place_of(self.url), reason)
            log.critical("database.damaged", error=reason)


class _Reads:
    """Counts the reads in progress: a connection that is returned after the end would never be closed."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._in_progress = 0
        self._ended = False

    @contextmanager
    def entered(self) -> Iterator[None]:
        with self._changed:
            if self._ended:
                raise Unavailable("The service is stopping.")
            self._in_progress += 1
        try:
            yield
        finally:
            with self._changed:
                self._in_progress -= 1
                self._changed.notify_all()

    def end(self) -> None:
        """Refuse further reads; wait for those in progress, for a limited time."""
        with self._changed:
            self._ended = True
            self._changed.wait_for(lambda: not self._in_progress, _LONGEST_READ)


def migrating_engine(url: URL) -> Engine:
    """Return an engine for migrations."""
    if url.get_backend_name() == "sqlite":
        return sqlite.migrating_engine(url)
    return postgresql.migrating_engine(url)


@contextmanager
def locked(url: URL) -> Iterator[None]:
    """Lock an SQLite file against other processes; nothing on PostgreSQL. Raises as FileLock does."""
    lock = FileLock(url) if url.get_backend_name() == "sqlite" else None
    try:
        yield
    finally:
        if lock is not None:
            lock.release()
