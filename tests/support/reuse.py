"""PostgreSQL databases that one test uses after the other, and the connections to them.

To make a database takes longer than most tests, and so does what each new connection reads about its tables before it
can use them. So a database is emptied instead, and what the pools of one test close stays open for those of the next.
"""

import select
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
import pytest
from psycopg import sql
from psycopg.pq import TransactionStatus
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from tests.support.postgres import LEAVING_SECONDS, PostgresServer

#: Rows that were deleted take room until a VACUUM, and the planner sees it.
MOST_USES = 40
MOST_BYTES = 8_000_000
_KEPT_OF_A_KIND = 8

Connection = psycopg.Connection[tuple[Any, ...]]
#: How a connection was made.
Kind = frozenset[tuple[str, Any]]
#: The port of the server, and the name of the database.
Place = tuple[int, str]

_TABLES = (
    "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
)
_SIZE = (
    "SELECT sum(pg_relation_size(oid)) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
)
# What DDL changes: a table, an index or a constraint that was made, altered or dropped.
_SCHEMA = """
    SELECT
        (SELECT sum(hashtext(concat(oid, relname, relfilenode, xmin)))
            FROM pg_class WHERE relnamespace = 'public'::regnamespace),
        (SELECT sum(hashtext(concat(oid, xmin)))
            FROM pg_constraint WHERE connamespace = 'public'::regnamespace)
"""
_OTHERS = """
    SELECT FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'
        AND pid != ALL(%s)
"""


class KeptConnections:
    """Connections that were closed on some databases: they stay open, for whoever connects in the same way."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places: set[Place] = set()
        self._kinds: WeakKeyDictionary[Connection, Kind] = WeakKeyDictionary()
        self._free: defaultdict[Kind, list[Connection]] = defaultdict(list)

    def keep(self, place: Place) -> None:
        """Keep what will be closed on a database."""
        self._places.add(place)

    def forget(self, place: Place) -> None:
        """Close all on a database, and keep no more."""
        self._places.discard(place)
        with self._lock:
            freed = [self._free.pop(kind) for kind in list(self._free) if _place(kind) == place]
        for connection in chain(*freed):
            connection.close()

    def pids(self, place: Place) -> list[int]:
        """Return the server's processes of those on a database that nobody uses at the moment."""
        with self._lock:
            free = [each for kind, each in self._free.items() if _place(kind) == place]
        return [connection.info.backend_pid for connection in chain(*free)]

    def take(self, kind: Kind) -> Connection | None:
        """Return a connection of a kind that the server has not closed."""
        with self._lock:
            free = self._free.get(kind, [])
            while free:
                connection = free.pop()
                if _is_alive(connection):
                    return connection
                connection.close()
        return None

    def note(self, connection: Connection, kind: Kind) -> None:
        """Note how a connection was made, if it is to be kept."""
        if _place(kind) in self._places:
            self._kinds[connection] = kind

    def give_back(self, connection: Connection) -> bool:
        """Take a connection that would be closed; returns whether it stays open."""
        kind = self._kinds.get(connection)
        if kind is None or not _is_alive(connection) or not _reset(connection):
            return False
        with self._lock:
            free = self._free[kind]
            if _place(kind) not in self._places or len(free) >= _KEPT_OF_A_KIND:
                return False
            free.append(connection)
            return True


def _place(kind: Kind) -> Place:
    options = dict(kind)
    return options.get("port", 0), options.get("dbname", "")


@contextmanager
def connections_are_kept() -> Iterator[KeptConnections]:
    """Let SQLAlchemy keep connections of psycopg."""
    kept = KeptConnections()
    connect, close, terminate = (
        getattr(PGDialect_psycopg, name) for name in ("connect", "do_close", "do_terminate")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PGDialect_psycopg, "connect", _connecting(kept, connect))
        patch.setattr(PGDialect_psycopg, "do_close", _closing(kept, close))
        patch.setattr(PGDialect_psycopg, "do_terminate", _closing(kept, terminate))
        yield kept


def _connecting(kept: KeptConnections, plain: Callable[..., Any]) -> Callable[..., Any]:
    def connect(dialect: Any, *args: Any, **options: Any) -> Any:
        kind = frozenset(options.items() - {("context", options.get("context"))})  # of each dialect
        connection = kept.take(kind)
        if connection is None:
            connection = plain(dialect, *args, **options)
            kept.note(connection, kind)
        return connection

    return connect


def _closing(kept: KeptConnections, plain: Callable[..., Any]) -> Callable[..., Any]:
    def close(dialect: Any, connection: Any) -> None:
        if not kept.give_back(connection):
            plain(dialect, connection)

    return close


def _is_alive(connection: Connection) -> bool:
    """Return whether it is open and between transactions: nothing has come that was not asked for, such as an end."""
    if connection.closed or connection.info.transaction_status != TransactionStatus.IDLE:
        return False
    look = select.poll()
    look.register(connection.fileno(), select.POLLIN)
    return not look.poll(0)


def _reset(connection: Connection) -> bool:
    """Set a connection back to how it was made; SQLAlchemy adds its handler of notices each time."""
    connection._notice_handlers.clear()
    connection.pgconn.exec_(b"RESET ALL")
    return connection.info.transaction_status == TransactionStatus.IDLE


class ReusedDatabases:
    """Copies of a template; each is given to one test at a time, without rows but those of the template."""

    def __init__(self, server: PostgresServer, template: str, kept: KeptConnections) -> None:
        self._server = server
        self._template = template
        self._kept = kept
        self._free: list[_Reused] = []
        self._used: dict[str, _Reused] = {}

    def take(self) -> str:
        """Return the URL of a database."""
        found = self._free.pop() if self._free else self._make()
        self._used[found.url] = found
        return found.url

    def give_back(self, url: str) -> None:
        """Empty a database for the next test; if that is not possible, remove it."""
        used = self._used.pop(url)
        if used.is_emptied(self._kept):
            self._free.append(used)
        else:
            self._remove(used)

    def close(self) -> None:
        """Close the connections; the server takes the databases with it."""
        for each in [*self._free, *self._used.values()]:
            self._kept.forget(each.place)
            each.close()

    def _make(self) -> "_Reused":
        made = _Reused(self._server.create_database(template=self._template))
        self._kept.keep(made.place)
        return made

    def _remove(self, used: "_Reused") -> None:
        self._kept.forget(used.place)
        used.close()
        self._server.drop_database(used.url)


class _Reused:
    """One database, with a connection that empties it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._uses = 0
        self._connection: Connection = psycopg.connect(url.replace("+psycopg", ""), autocommit=True)
        self.place = (self._connection.info.port, self._connection.info.dbname)
        # No triggers: neither those of foreign keys nor the one that lets nobody delete the audit.
        self._connection.execute("SET session_replication_role = replica")
        self._execute = partial(self._connection.execute, prepare=True)
        self._tables = [str(name) for (name,) in self._connection.execute(_TABLES)]
        self._own = {name: rows for name in self._tables if (rows := self._rows(name))}
        self._filled = sql.SQL(" UNION ALL ").join(_has_rows(name) for name in self._tables)
        self._schema = self._execute(_SCHEMA).fetchone()

    def is_emptied(self, kept: KeptConnections) -> bool:
        """Remove what a test has written; returns whether another can use the database."""
        self._uses += 1
        try:
            if self._uses == MOST_USES or not self._is_unused(kept) or self._has_changed():
                return False
            self._empty()
        except (
            psycopg.OperationalError
        ):  # the test has ended the connection, or restarted the server
            return False
        return True

    def close(self) -> None:
        self._connection.close()

    def _is_unused(self, kept: KeptConnections) -> bool:
        """Wait briefly for connections that are being closed; the test may have left others open."""
        idle = [*kept.pids(self.place), self._connection.info.backend_pid]
        until = time.monotonic() + LEAVING_SECONDS
        while (others := self._execute(_OTHERS, [idle]).fetchone()) is not None:
            if time.monotonic() > until:
                break
            time.sleep(0.0005)
        return others is None

    def _has_changed(self) -> bool:
        """Return whether the tables are not as they were made, or take much room."""
        schema = self._execute(_SCHEMA).fetchone()
        (size,) = self._execute(_SIZE).fetchone() or (0,)
        return schema != self._schema or size > MOST_BYTES

    def _empty(self) -> None:
        filled = {name for (name,) in self._execute(self._filled)}
        for name in filled | self._own.keys():
            own = self._own.get(name, [])
            if self._rows(name) != own:
                self._execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(name)))
                for row in own:
                    self._insert(name, row)

    def _rows(self, name: str) -> list[tuple[Any, ...]]:
        return self._execute(
            sql.SQL("SELECT * FROM {} LIMIT 2").format(sql.Identifier(name))
        ).fetchall()

    def _insert(self, name: str, row: tuple[Any, ...]) -> None:
        values = sql.SQL(", ").join(sql.Placeholder() * len(row))
        statement = sql.SQL("INSERT INTO {} VALUES ({})").format(sql.Identifier(name), values)
        self._execute(statement, row)


def _has_rows(table: str) -> sql.Composed:
    of = sql.SQL("SELECT {} WHERE EXISTS (SELECT FROM {})")
    return of.format(sql.Literal(table), sql.Identifier(table))
