"""Engines for both databases: one that writes, on one connection, and one that reads.

SQLite: WAL, `synchronous=FULL` (a commit survives power loss), `BEGIN IMMEDIATE` for the writer, read-only readers, and
a lock file that excludes a second process. PostgreSQL: timeouts, because the defaults block forever behind a network
partition.
"""

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import cycle
from typing import Any

import structlog
from psycopg.pq import Conninfo
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from rota.db import failures
from rota.db.alerting import ALERTING
from rota.db.encryption import OPTION, SECRETS, Keyring
from rota.db.known_holds import KNOWN_HOLDS, KnownHolds
from rota.db.sqlite_file import FileLock
from rota.domain.alerts.defaults import Alerting
from rota.domain.holds.held import Holds
from rota.domain.secrets.opened import OpenedSecret
from rota.errors import Invalid, Unavailable

log = structlog.get_logger(__name__)

_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA busy_timeout=5000",
    "PRAGMA journal_size_limit=67108864",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA cache_size=-16000",
    "PRAGMA wal_autocheckpoint=8000",
)
_POSTGRES_OPTIONS = "-c timezone=UTC -c jit=off -c statement_timeout=30000"
# The one writer waits only briefly for locks of other transactions: all writes wait with it.
_WRITER_LIMITS = " -c lock_timeout=200 -c idle_in_transaction_session_timeout="
_READER_LIMITS = " -c lock_timeout=10000 -c idle_in_transaction_session_timeout=10000"
_POSTGRES_PORT = 5432
_POSTGRES_ARGS: dict[str, Any] = {
    "connect_timeout": 5,
    "tcp_user_timeout": 5000,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "application_name": "rota",
}
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
        self._damage: str | None = None
        self._lock = FileLock(self.url) if self.is_sqlite else None
        silence = min(max(silence, _SHORTEST_SILENCE), _LONGEST_SILENCE)
        writing = (
            _sqlite_writer(self.url, self._lock)
            if self._lock
            else _postgres_writer(self.url, silence)
        )
        reading = _sqlite_reader(self.url, self._lock) if self._lock else _postgres_reader(self.url)
        self._known_holds = KnownHolds()
        options: dict[str, Any] = {KNOWN_HOLDS: self._known_holds}
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

    @property
    def holds(self) -> Holds:
        """The holds as this process has read them last: at most a second ago, while its engine runs."""
        return self._known_holds.latest

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


def parse_url(url: str) -> URL:
    """Return the parsed URL of the database; raises Invalid, with a correct example, for one that Rota cannot use."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise Invalid(
            "ROTA_DATABASE_URL is not a database URL such as 'sqlite:///rota.db'."
        ) from None
    if parsed.drivername in {"postgres", "postgresql"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in {"sqlite", "postgresql+psycopg"}:
        raise Invalid(
            f"ROTA_DATABASE_URL names {parsed.drivername!r}; Rota runs on 'sqlite:///file.db' and "
            "'postgresql+psycopg://user:password@host/name'."
        )
    if parsed.drivername == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise Invalid(
            "ROTA_DATABASE_URL must name a file: tasks in memory would not survive a restart."
        )
    return parsed


def servers_of(url: str) -> list[tuple[str, int]]:
    """Return the hosts and ports of the database, none if it is a file or a socket on a disk; raises Invalid.

    As libpq is given them, or takes them from its environment (the PostgreSQL manual, "Environment Variables").
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        return []
    given = {each.keyword.decode(): (each.val or b"").decode() for each in Conninfo.get_defaults()}
    try:
        given |= parsed.get_dialect()().create_connect_args(parsed)[1]
    except ArgumentError:
        raise Invalid(
            "ROTA_DATABASE_URL has several hosts: give a port for each, or none."
        ) from None
    ports = str(given["port"]).split(",")  # one is for all hosts, and an empty one is the default
    found = []
    for hosts in (given["host"], given["hostaddr"]):
        for host, port in zip(hosts.split(","), cycle(ports), strict=False):
            if host and not host.startswith(("/", "@")):
                found.append((host.strip("[]"), int(port) if port.isdecimal() else _POSTGRES_PORT))
    return found


def migrating_engine(url: URL) -> Engine:
    """Return an engine for migrations: SQLite's foreign keys are off, since a table copy would cascade."""
    if url.get_backend_name() == "sqlite":
        return _sqlite(
            url, begin="BEGIN IMMEDIATE", pragmas=("PRAGMA foreign_keys=OFF",), pool_size=1
        )
    arguments = {**_POSTGRES_ARGS, "options": "-c timezone=UTC -c lock_timeout=10000"}
    return create_engine(url, connect_args=arguments, hide_parameters=True)


@contextmanager
def locked(url: URL) -> Iterator[None]:
    """Lock an SQLite file against other processes; nothing on PostgreSQL. Raises as FileLock does."""
    lock = FileLock(url) if url.get_backend_name() == "sqlite" else None
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


def _sqlite_writer(url: URL, lock: FileLock) -> Engine:
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


def _sqlite_reader(url: URL, lock: FileLock) -> Engine:
    pragmas = ("PRAGMA query_only=ON",)
    return _sqlite(url, begin="BEGIN", pragmas=pragmas, pool_size=_READERS, lock=lock)


def _sqlite(
    url: URL, *, begin: str, pragmas: tuple[str, ...], pool_size: int, lock: FileLock | None = None
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
        for pragma in (*_PRAGMAS, *pragmas):
            connection.execute(pragma)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _postgres_writer(url: URL, silence: float) -> Engine:
    return _postgres(url, f"{_WRITER_LIMITS}{round(silence * 1000)}", pool_size=1)


def _postgres_reader(url: URL) -> Engine:
    engine = _postgres(url, _READER_LIMITS, pool_size=_READERS, pool_pre_ping=True)
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def _postgres(url: URL, limits: str, **pool: Any) -> Engine:
    arguments = {**_POSTGRES_ARGS, "options": _POSTGRES_OPTIONS + limits}
    return create_engine(
        url, connect_args=arguments, hide_parameters=True, max_overflow=0, pool_timeout=30, **pool
    )
