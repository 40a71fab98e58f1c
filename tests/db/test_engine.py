"""Engines, and the lock that excludes a second process from an SQLite file."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.exc import DBAPIError, OperationalError

from rota.db import failures, tables
from rota.db.command import Command, Transaction
from rota.db.engine import Database, migrating_engine
from rota.db.engines.urls import parse_url
from rota.db.reader import Reader
from rota.errors import Invalid, Unavailable
from rota.store.runs.queues import PutQueue
from rota.store.tasks.registration import Register
from tests.support.databases import damage
from tests.support.factories import HANDLERS, NOON, World, define, eventually, together

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
def test_urls_of_both_databases_are_accepted(url: str, driver: str) -> None:
    assert parse_url(url).drivername == driver


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("rota.db", "not a database URL"),
        ("mysql://h/d", "'mysql'"),
        ("postgresql+asyncpg://h/d", "asyncpg"),
        ("sqlite://", "must name a file"),
        ("sqlite:///:memory:", "must name a file"),
    ],
)
def test_other_urls_are_refused_with_a_correct_example(url: str, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        parse_url(url)


def test_readers_cannot_write(world: World) -> None:
    with pytest.raises((DBAPIError, Unavailable)), world.database.read() as connection:
        connection.execute(insert(tables.handler), ROW)

    assert world.count(tables.handler, tables.handler.c.name == "x") == 0


def test_a_reader_sees_one_snapshot(world: World) -> None:
    with world.database.read() as connection:
        before = connection.execute(select(tables.task.c.name)).all()
        world.register()
        during = connection.execute(select(tables.task.c.name)).all()
    with world.database.read() as connection:
        after = connection.execute(select(tables.task.c.name)).all()

    assert (before, during, len(after)) == ([], [], 1)


def test_closing_a_database_waits_for_reads_in_progress(
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
            eventually(lambda: is_refused(database), "reads are still possible")
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
    program = f"from rota.db.engine import Database; Database({migrated_database_url!r})"
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
def test_connections_to_postgresql_have_timeouts(world: World) -> None:
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


@pytest.mark.postgres
@pytest.mark.parametrize("database_engine", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    ("silence", "limit"), [(3.0, "3s"), (60.0, "3s"), (1.25, "1250ms"), (0.0, "500ms")]
)
def test_the_writer_waits_only_briefly_for_locks_and_loses_its_own_when_it_is_idle(
    migrated_database_url: str, silence: float, limit: str
) -> None:
    database = Database(migrated_database_url, silence=silence)
    with database.writing.connect() as connection:
        limits = [
            connection.execute(text(f"SHOW {name}")).scalar_one()
            for name in ("lock_timeout", "idle_in_transaction_session_timeout")
        ]
    database.close()

    assert limits == ["200ms", limit]


# --- errors of the database
def test_a_database_that_does_not_answer_is_named_with_the_reason_and_without_the_password() -> (
    None
):
    database = Database("postgresql://rota:hunter2@127.0.0.1:1/stored")

    with pytest.raises(Unavailable) as raised, database.read():
        pass
    database.close()

    assert "127.0.0.1:1/stored does not answer: connection failed" in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_a_password_in_a_message_of_the_driver_is_not_shown() -> None:
    url = parse_url("postgresql://rota:hunter2@db.example:5433/stored")
    error = OperationalError("SELECT 1", {}, Exception("bad conninfo password=hunter2\nmore"))

    unavailable = failures.not_read(error, url)

    assert (
        unavailable.detail
        == "The database db.example:5433/stored does not answer: bad conninfo password=***."
    )


@sqlite_only
def test_a_read_only_database_is_reported(world: World) -> None:
    with world.database.writing.connect() as connection:
        connection.execute(text("PRAGMA query_only = ON"))

    with pytest.raises(Unavailable) as raised:
        world.register()

    assert "rota.db is read-only (attempt to write a readonly database)" in str(raised.value)
    assert "was not stored" in str(raised.value)


@pytest.mark.postgres
@pytest.mark.parametrize("database_engine", ["postgresql"], indirect=True)
class TestOnPostgresql:
    def test_a_read_only_database_is_reported(self, world: World) -> None:
        class ReadOnly(Command[Any]):
            def apply(self, tx: Transaction) -> Any:
                tx.connection.execute(text("SET TRANSACTION READ ONLY"))
                return Register(name="t", definition=define()).apply(tx)

        with pytest.raises(Unavailable, match=r"is read-only .*read-only transaction"):
            world.do(ReadOnly())

        assert world.count(tables.task) == 0

    def test_missing_tables_are_an_outage_and_no_error_of_a_statement(self, world: World) -> None:
        with world.transaction() as tx:
            tx.connection.execute(text("ALTER TABLE task RENAME TO elsewhere"))

        with pytest.raises(Unavailable, match='relation "task" does not exist'):
            world.task()
        with pytest.raises(Unavailable, match='relation "task" does not exist'):
            world.register()

    def test_damage_is_reported_and_recorded(self, world: World) -> None:
        raised = "DO $$ BEGIN RAISE 'invalid page in block 7' USING ERRCODE='XX001'; END $$"

        with (
            pytest.raises(Unavailable, match=r"is damaged .invalid page in block 7"),
            world.database.read() as connection,
        ):
            connection.execute(text(raised))

        assert "restore it from a backup" in str(world.database.trouble())


@sqlite_only
class TestDamage:
    """A damaged page: commands that need it fail, the others are committed, and the damage is recorded."""

    @pytest.fixture
    def damaged(self, migrated_database_url: str) -> Iterator[World]:
        damage(Path(migrated_database_url.removeprefix("sqlite:///")), "event")
        made = World(migrated_database_url)
        yield made
        made.close()

    def test_a_read_of_a_damaged_page_is_refused(self, damaged: World) -> None:
        assert damaged.database.trouble() is None

        with (
            pytest.raises(Unavailable, match=r"rota.db is damaged .*malformed.*from a backup"),
            damaged.database.read() as connection,
        ):
            connection.execute(select(tables.event)).all()

        assert "is damaged" in str(damaged.database.trouble())
        assert damaged.count(tables.task) == 0
        assert "is damaged" in str(damaged.database.trouble())

    def test_a_write_to_a_damaged_page_is_refused_and_the_others_are_committed(
        self, damaged: World
    ) -> None:
        class Read(Command[None]):
            def apply(self, tx: Transaction) -> None:
                tx.connection.execute(select(tables.event)).all()

        queue = PutQueue(name="q", concurrency=3, paused=False, by="me")
        first, failed, last = together(damaged.writer, [queue, Read(), replace(queue, name="p")])

        assert (first.exception(), last.exception()) == (None, None)
        assert isinstance(failed.exception(), Unavailable)
        assert "malformed" in str(failed.exception())
        assert "The write was not stored." in str(failed.exception())
        assert "is damaged" in str(damaged.database.trouble())

    def test_reads_that_share_a_transaction_with_a_damaged_page_are_answered(
        self, damaged: World
    ) -> None:
        reader = Reader(damaged.database)

        def count(connection: Connection, table: Any) -> int:
            return len(connection.execute(select(table)).all())

        async def ask() -> list[Any]:
            wanted = (tables.handler, tables.event, tables.task)
            asked = [asyncio.ensure_future(reader.run(count, table)) for table in wanted]
            await asyncio.sleep(0)
            reader.start()  # now, so that they are one batch
            return await asyncio.gather(*asked, return_exceptions=True)

        handlers, failed, tasks = asyncio.run(ask())
        reader.stop()

        assert (handlers, tasks) == (len(HANDLERS), 0)
        assert isinstance(failed, Unavailable)
        assert "malformed" in str(failed)


# --- the file itself
def test_other_users_cannot_read_a_new_file_and_those_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "rota.db"
    before = os.umask(0)
    try:
        database = Database(f"sqlite:///{path}")
        with database.writing.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE t (a)")
        modes = {each.name: each.stat().st_mode & 0o777 for each in tmp_path.iterdir()}
        database.close()
    finally:
        os.umask(before)

    assert modes == dict.fromkeys(["rota.db", "rota.db-lock", "rota.db-shm", "rota.db-wal"], 0o600)


@sqlite_only
class TestFile:
    @pytest.fixture
    def path(self, migrated_database_url: str) -> Path:
        return Path(migrated_database_url.removeprefix("sqlite:///"))

    @pytest.mark.parametrize("way", ["symbolic", "hard", "folder", "no-lock-file"])
    def test_a_second_path_to_a_file_in_use_is_refused(
        self, path: Path, tmp_path: Path, way: str
    ) -> None:
        first = Database(f"sqlite:///{path}")
        other = tmp_path / "other.db"
        match way:
            case "symbolic":
                other.symlink_to(path)
            case "hard":
                other.hardlink_to(path)
            case "folder":
                (tmp_path / "folder").symlink_to(tmp_path)
                other = tmp_path / "folder" / path.name
            case _:
                Path(f"{path}-lock").unlink()
                other = path

        with pytest.raises(Unavailable, match="Another process is using"):
            Database(f"sqlite:///{other}")
        first.close()
        second = Database(f"sqlite:///{other}")
        second.close()

    def test_a_relative_path_is_resolved_at_the_start(
        self, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(path.parent)
        database = Database(f"sqlite:///{path.name}")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")

        assert database.trouble() is None
        with database.read() as connection:
            assert connection.execute(select(tables.task)).all() == []
        database.close()

    @pytest.mark.parametrize("replaced", [False, True])
    def test_no_write_to_a_removed_file_is_accepted(
        self, world: World, path: Path, replaced: bool
    ) -> None:
        world.register("before")
        kept = path.with_name("kept.db")
        path.rename(kept)
        if replaced:
            shutil.copyfile(kept, path)
        reason = "was replaced" if replaced else "was removed"

        for _ in range(3):
            with pytest.raises(Unavailable, match=rf"rota.db {reason}.*was not stored"):
                world.register("after")
        assert reason in str(world.database.trouble())
        assert path.exists() is replaced

        kept.rename(path)
        world.register("back again")
        assert world.database.trouble() is None
        assert world.count(tables.task) == 2

    def test_a_write_to_a_file_that_is_removed_meanwhile_is_in_doubt(
        self, world: World, path: Path
    ) -> None:
        class Move(Command[Any]):
            def apply(self, tx: Transaction) -> Any:
                path.rename(path.with_name("kept.db"))
                return Register(name="t", definition=define()).apply(tx)

        with pytest.raises(Unavailable, match=r"was removed.*may or may not have been stored"):
            world.do(Move())
        with pytest.raises(Unavailable, match="was removed"):
            world.register("next")
        assert not path.exists()

        path.with_name("kept.db").rename(path)
        world.register("back again")

    def test_a_file_that_replaced_the_database_is_not_read(self, world: World, path: Path) -> None:
        """A new connection of a reader would open the new file."""
        kept = path.with_name("kept.db")
        path.rename(kept)
        shutil.copyfile(kept, path)
        world.database._reading.dispose()

        with pytest.raises(Unavailable, match="was replaced"):
            world.count(tables.task)
        kept.rename(path)
        assert world.count(tables.task) == 0
