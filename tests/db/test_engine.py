"""Engines, and the lock that keeps a second process off an SQLite file."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import DBAPIError

from app.db import tables
from app.db.engine import Database, migrating_engine, parse_url
from app.errors import Invalid, Unavailable
from tests.factories import NOON, World, eventually

ROOT = Path(__file__).parents[2]
sqlite_only = pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)
ROW = {"name": "x", "description": "", "isolation": "none", "updated_at": NOON}


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("sqlite:///rota.db", "sqlite"),
        ("sqlite:////var/lib/rota.db", "sqlite"),
        ("postgresql+psycopg://u:p@h/d", "postgresql+psycopg"),
        ("postgresql://u:p@h/d", "postgresql+psycopg"),
        ("postgres://u:p@h/d", "postgresql+psycopg"),
    ],
)
def test_urls_of_both_databases_are_taken(url: str, driver: str) -> None:
    assert parse_url(url).drivername == driver


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("rota.db", "not a database URL"),
        ("mysql://h/d", "'mysql'"),
        ("postgresql+asyncpg://h/d", "asyncpg"),
        ("sqlite://", "must name a file"),
        ("sqlite:///:memory:", "must name a file"),
    ],
)
def test_other_urls_are_refused_with_what_would_be_right(url: str, says: str) -> None:
    with pytest.raises(Invalid, match=says):
        parse_url(url)


def test_readers_cannot_write(world: World) -> None:
    with pytest.raises((DBAPIError, Unavailable)), world.database.read() as connection:
        connection.execute(insert(tables.handler), ROW)

    assert world.count(tables.handler, tables.handler.c.name == "x") == 0


def test_a_reader_sees_one_moment(world: World) -> None:
    with world.database.read() as connection:
        before = connection.execute(select(tables.task.c.name)).all()
        world.register()
        during = connection.execute(select(tables.task.c.name)).all()
    with world.database.read() as connection:
        after = connection.execute(select(tables.task.c.name)).all()

    assert (before, during, len(after)) == ([], [], 1)


def test_a_database_that_is_closed_waits_for_the_reads_under_way(
    migrated_database_url: str,
) -> None:
    database = Database(migrated_database_url)
    order: list[str] = []

    def close() -> None:
        database.close()
        order.append("closed")

    with ThreadPoolExecutor() as threads:
        with database.read() as connection:
            closing = threads.submit(close)
            eventually(lambda: is_refused(database), "reads go on")
            assert connection.scalar(select(1)) == 1
            order.append("read")
        closing.result(20)

    assert order == ["read", "closed"]


def is_refused(database: Database) -> bool:
    try:
        with database.read():
            return False
    except Unavailable:
        return True


def test_a_database_that_does_not_answer_is_unavailable() -> None:
    database = Database("postgresql://rota@127.0.0.1:1/rota")

    with pytest.raises(Unavailable), database.read():
        pass
    database.close()


@sqlite_only
def test_a_second_user_of_an_sqlite_file_is_refused(migrated_database_url: str) -> None:
    first = Database(migrated_database_url)

    with pytest.raises(Unavailable, match="exactly one"):
        Database(migrated_database_url)
    first.close()
    second = Database(migrated_database_url)
    second.close()
    second.close()


@sqlite_only
def test_a_second_process_on_an_sqlite_file_is_refused(migrated_database_url: str) -> None:
    program = f"from app.db.engine import Database; Database({migrated_database_url!r})"
    database = Database(migrated_database_url)

    refused = _run(program)
    database.close()
    served = _run(program)

    assert refused.returncode != 0
    assert "Another process is using" in refused.stderr
    assert served.returncode == 0, served.stderr


def _run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=False, text=True
    )


def test_the_folder_of_an_sqlite_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="does not exist"):
        Database(f"sqlite:///{tmp_path / 'missing' / 'rota.db'}")


@sqlite_only
def test_a_commit_on_sqlite_survives_a_power_cut_and_references_hold(world: World) -> None:
    def pragma(connection: object, name: str) -> object:
        return connection.execute(text(f"PRAGMA {name}")).scalar_one()  # type: ignore[attr-defined]

    with world.database.writing.connect() as connection:
        writing = [pragma(connection, name) for name in ("journal_mode", "synchronous")]
        keys = pragma(connection, "foreign_keys")
    engine = migrating_engine(world.database.url)
    with engine.connect() as connection:
        keys_of_migrations = pragma(connection, "foreign_keys")
    engine.dispose()

    assert writing == ["wal", 2]
    assert (keys, keys_of_migrations) == (1, 0)


@pytest.mark.postgres
@pytest.mark.parametrize("database_engine", ["postgresql"], indirect=True)
def test_nothing_hangs_for_ever_on_postgresql(world: World) -> None:
    with world.database.read() as connection:
        limits = [
            connection.execute(text(f"SHOW {name}")).scalar_one()
            for name in (
                "statement_timeout",
                "lock_timeout",
                "idle_in_transaction_session_timeout",
                "timezone",
            )
        ]

    assert limits == ["30s", "10s", "10s", "UTC"]
