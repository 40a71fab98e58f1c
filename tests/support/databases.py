"""Fixtures that give each test a database of its own, on SQLite and on PostgreSQL.

`database_url` is empty; `migrated_database_url` has the newest schema, migrated once per process
and then copied. On PostgreSQL a copy is emptied after a test and used for the next (tests/support/reuse.py).
"""

import importlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.support.postgres import PostgresServer, PostgresUnavailableError
from tests.support.reuse import ReusedDatabases, connections_are_kept
from tests.support.torture import Part, torture

QUERY_CACHE_SIZE = 10_000

ENGINES = [
    pytest.param("sqlite", id="sqlite"),
    pytest.param("postgresql", id="postgresql", marks=pytest.mark.postgres),
]


#: The same, but PostgreSQL with the long tests: where little depends on the database, and the store has shown that.
POSTGRESQL_AT_LENGTH = [
    ENGINES[0],
    pytest.param(
        "postgresql", id="postgresql", marks=[pytest.mark.postgres, torture(Part.POSTGRESQL)]
    ),
]
postgresql_at_length = pytest.mark.parametrize(
    "database_engine", POSTGRESQL_AT_LENGTH, indirect=True
)


@pytest.fixture(scope="session", autouse=True)
def statements_are_compiled_once() -> Iterator[None]:
    """Let the engines on one kind of database share SQLAlchemy's cache of compiled statements.

    It keeps that by the dialect, of which each engine has its own: each test would compile the
    same statements again, which takes longer than to run them.
    """
    first: dict[str, sa.Engine] = {}

    def create_engine(url: Any, **options: Any) -> sa.Engine:
        engine = sa.create_engine(url, query_cache_size=QUERY_CACHE_SIZE, **options)
        kept = first.setdefault(engine.driver, engine)
        if kept.dialect.server_version_info is None:  # it has not connected yet
            first[engine.driver] = engine
        else:
            engine.dialect.initialize = _nothing  # type: ignore[assignment, method-assign]  # the first has asked
            engine.dialect = engine.pool._dialect = kept.dialect
            engine._compiled_cache = kept._compiled_cache
        return engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rota.db.engines.sqlite.create_engine", create_engine)
        patch.setattr("rota.db.engines.postgresql.create_engine", create_engine)
        patch.setattr("rota.testing.database.create_engine", create_engine)
        yield


def _nothing(_: sa.Connection) -> None: ...


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for this process (an xdist worker has its own); see its `create_database()`."""
    try:
        server = PostgresServer()
    except PostgresUnavailableError as unavailable:
        if os.environ.get("CI"):
            raise  # a green run that skipped half of the suite would be misleading
        pytest.skip(str(unavailable))
    with server:
        yield server


@pytest.fixture(scope="session")
def migrate() -> Callable[[str], None]:
    """Migrate the database at a URL to the newest schema."""

    def upgrade(url: str) -> None:
        importlib.import_module("rota.db.migrations").upgrade(url)

    return upgrade


@pytest.fixture(params=ENGINES)
def database_engine(request: pytest.FixtureRequest) -> str:
    """Which database this test runs on; parametrise it indirectly to run on one only."""
    return str(request.param)


@pytest.fixture
def database_url(
    database_engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[str]:
    """The URL of a fresh and empty database."""
    if database_engine == "sqlite":
        yield f"sqlite:///{tmp_path / 'rota.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = server.create_database()
    yield url
    server.drop_database(url)


@pytest.fixture
def migrated_database_url(
    database_engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[str]:
    """The URL of a fresh database with the newest schema and no rows."""
    if database_engine == "sqlite":
        shutil.copyfile(request.getfixturevalue("sqlite_template"), tmp_path / "rota.db")
        yield f"sqlite:///{tmp_path / 'rota.db'}"
        return
    databases: ReusedDatabases = request.getfixturevalue("reused_databases")
    url = databases.take()
    yield url
    databases.give_back(url)


@pytest.fixture(scope="module")
def another_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], str]]:
    """Make a database as `migrated_database_url` does, for all tests of a module; takes the engine, gives the URL."""
    made: list[str] = []

    def make(engine: str) -> str:
        if engine == "sqlite":
            path = tmp_path_factory.mktemp("shared") / "rota.db"
            shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
            return f"sqlite:///{path}"
        databases: ReusedDatabases = request.getfixturevalue("reused_databases")
        made.append(databases.take())
        return made[-1]

    yield make
    for url in made:
        request.getfixturevalue("reused_databases").give_back(url)


@pytest.fixture(scope="session")
def sqlite_template(
    migrate: Callable[[str], None], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A migrated SQLite file that is not open."""
    path = tmp_path_factory.mktemp("template") / "rota.db"
    migrate(f"sqlite:///{path}")
    return path


def damage(path: Path, table: str) -> None:
    """Overwrite the first page of a table in an SQLite file that is not open."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        found = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,))
        (page,) = found.fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * size)


@pytest.fixture(scope="session")
def postgres_template(migrate: Callable[[str], None], postgres_server: PostgresServer) -> str:
    """The name of a migrated database without connections."""
    url = postgres_server.create_database()
    migrate(url)
    return url.rpartition("/")[2]


@pytest.fixture(scope="session")
def reused_databases(
    postgres_server: PostgresServer, postgres_template: str
) -> Iterator[ReusedDatabases]:
    """Migrated databases that tests use one after the other, with the connections to them."""
    with connections_are_kept() as kept:
        databases = ReusedDatabases(postgres_server, postgres_template, kept)
        yield databases
        databases.close()
