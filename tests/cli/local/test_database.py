"""`rota db backup` and `rota db check`, beside a service that has the database open."""

import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rota.cli import app
from rota.db.backup import copy_file, dump_command
from rota.db.engine import Database
from rota.db.engines.urls import parse_url
from tests.support.databases import damage

Rota = Callable[..., Any]
on_sqlite = pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)
KEY = "a:" + "A" * 43 + "="


@pytest.fixture
def rota(monkeypatch: pytest.MonkeyPatch, migrated_database_url: str) -> Rota:
    monkeypatch.setenv("ROTA_DATABASE_URL", migrated_database_url)
    return lambda *arguments, **env: CliRunner().invoke(app, ["db", *arguments], env=env)


@pytest.fixture
def service(migrated_database_url: str) -> Iterator[Database]:
    """A service that uses the database: it holds the lock, and has the file open."""
    with closing(Database(migrated_database_url)) as database:
        yield database


#: An entry of a task that does not exist.
ENTRY = (
    "INSERT INTO kv (task_id, key, value, content_type, size, version, updated_at, updated_by, sealed_with) "
    "VALUES ('01890a5d00007000800000000000abcd', 'a', ?, 'application/json', 1, 1, 0, 'me', ?)"
)


def file_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


@on_sqlite
def test_a_backup_is_made_while_a_service_writes(
    rota: Rota, service: Database, tmp_path: Path
) -> None:
    with service.writing.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE mine (a)")
        connection.exec_driver_sql("INSERT INTO mine VALUES (1)")
    copy = tmp_path / "copy.db"

    with service.writing.begin() as connection:  # not committed: it is not in the copy
        connection.exec_driver_sql("INSERT INTO mine VALUES (2)")
        ended = rota("backup", str(copy))

    assert ended.exit_code == 0, ended.output
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.glob("*copy.db*")] == ["copy.db"]
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT a FROM mine").fetchall() == [(1,)]
    assert "rota serve --paused" in ended.stderr


@on_sqlite
def test_a_backup_replaces_a_file_only_if_it_is_told_to(rota: Rota, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_text("mine")

    refused = rota("backup", str(copy))
    kept = copy.read_text()
    replaced = rota("backup", str(copy), "--overwrite", "--json")

    assert (refused.exit_code, kept) == (5, "mine")
    assert "--overwrite" in refused.stderr
    assert replaced.exit_code == 0
    assert copy.read_bytes().startswith(b"SQLite format 3\0")


@on_sqlite
def test_a_copy_of_what_is_damaged_is_not_kept(
    rota: Rota, migrated_database_url: str, tmp_path: Path
) -> None:
    damage(file_of(migrated_database_url), "alembic_version")

    ended = rota("backup", str(tmp_path / "copy.db"))

    assert ended.exit_code == 2
    assert "damaged" in ended.stderr
    assert list(tmp_path.glob("*copy*")) == []


def test_a_copy_reports_how_far_it_is(tmp_path: Path) -> None:
    source, seen = tmp_path / "a.db", []
    with closing(sqlite3.connect(source, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE a AS SELECT zeroblob(30000000)")

    copy_file(source, tmp_path / "b.db", lambda done, all_: seen.append((done, all_)))

    assert len(seen) > 1
    assert seen[-1][0] == seen[-1][1] > 0


@pytest.mark.parametrize("folder", ["nope"])
def test_backup_names_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.setenv("ROTA_DATABASE_URL", f"sqlite:///{tmp_path}/none.db")

    missing = CliRunner().invoke(app, ["db", "backup", str(tmp_path / "b")])
    no_folder = CliRunner().invoke(app, ["db", "backup", str(tmp_path / folder / "b")])

    assert (missing.exit_code, no_folder.exit_code) == (2, 2)
    assert f"There is no database {tmp_path}/none.db" in missing.stderr
    assert "does not exist" in no_folder.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_command_of_pg_dump_has_no_password(tmp_path: Path) -> None:
    url = parse_url("postgresql+psycopg://ann:secret@db.internal/rota")

    command = dump_command(url, tmp_path / "x")

    assert command[-1] == "--dbname=postgresql://ann@db.internal/rota"


def test_without_pg_dump_the_command_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROTA_DATABASE_URL", "postgresql://ann:secret@db.internal/rota")
    monkeypatch.setenv("PATH", str(tmp_path))

    ended = CliRunner().invoke(app, ["db", "backup", str(tmp_path / "b")])

    assert ended.exit_code == 2
    assert "pg_dump --format=custom" in ended.stderr
    assert "secret" not in ended.output


def test_pg_dump_gets_the_password_by_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "pg_dump"
    program.write_text('#!/bin/sh\necho "$PGPASSWORD $*" > "${2#--file=}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("ROTA_DATABASE_URL", "postgresql://ann:secret@db.internal/rota")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")

    ended = CliRunner().invoke(app, ["db", "backup", str(tmp_path / "b")])

    assert ended.exit_code == 0, ended.output
    assert (tmp_path / "b").read_text().startswith("secret --format=custom --file=")
    assert "--dbname=postgresql://ann@db.internal/rota" in (tmp_path / "b").read_text()


# ----------------------------------------------------------------------------------------------------- check
def test_a_sound_database_passes_while_a_service_uses_it(rota: Rota, service: Database) -> None:
    ended = rota("check")

    assert ended.exit_code == 0, ended.output
    assert "0 errors, 0 warnings, " in ended.stdout


@on_sqlite
def test_a_backup_is_checked_by_its_name(rota: Rota, tmp_path: Path) -> None:
    rota("backup", str(tmp_path / "copy.db"))
    (tmp_path / "no.db").write_bytes(b"x" * 5_000)

    assert rota("check", str(tmp_path / "copy.db")).exit_code == 0
    assert rota("check", str(tmp_path / "no.db")).exit_code == 1
    missing = rota("check", str(tmp_path / "none.db"))
    assert (missing.exit_code, (tmp_path / "none.db").exists()) == (1, False)


@on_sqlite
def test_a_broken_reference_is_found(rota: Rota, migrated_database_url: str) -> None:
    with closing(sqlite3.connect(file_of(migrated_database_url))) as connection, connection:
        connection.execute(ENTRY, (b"1", None))

    ended = rota("check")

    assert ended.exit_code == 1
    assert "references: Rows that refer to none, from kv to task: 1." in ended.stdout
    assert "→ Restore a backup" in ended.stdout


@on_sqlite
@pytest.mark.parametrize(
    ("keys", "words"),
    [("", "need the encryption keys a."), (KEY, "value of 'a'"), (f"b:{KEY[2:]},{KEY}", "value")],
)
def test_a_value_that_cannot_be_read_is_found(
    rota: Rota, migrated_database_url: str, keys: str, words: str
) -> None:
    with closing(sqlite3.connect(file_of(migrated_database_url))) as connection, connection:
        connection.execute(ENTRY, (b"sealed with another key", "a"))

    ended = rota("check", ROTA_ENCRYPTION_KEYS=keys)

    assert ended.exit_code == 1
    assert words in ended.stdout
    assert "encryption: " in ended.stdout


@on_sqlite
def test_another_schema_is_found_with_the_command_that_corrects_it(
    rota: Rota, migrated_database_url: str
) -> None:
    with closing(sqlite3.connect(file_of(migrated_database_url))) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")

    ended = rota("check")

    assert ended.exit_code == 1
    assert "The database has schema 0001" in ended.stdout
    assert "→ rota db upgrade" in ended.stdout


@on_sqlite
def test_a_damaged_file_is_found(rota: Rota, migrated_database_url: str) -> None:
    damage(file_of(migrated_database_url), "alembic_version")

    ended = rota("check")

    assert ended.exit_code == 1
    assert "error" in ended.stdout
    assert "Traceback" not in ended.output


@on_sqlite
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
@pytest.mark.parametrize("linked", [False, True])
def test_a_backup_does_not_replace_the_database_itself(
    rota: Rota,
    service: Database,
    migrated_database_url: str,
    tmp_path: Path,
    suffix: str,
    linked: bool,
) -> None:
    source = file_of(migrated_database_url)
    target = source.with_name(source.name + suffix)
    if not suffix and linked:
        (tmp_path / "same.db").hardlink_to(source)
        target = tmp_path / "same.db"
    before = source.stat().st_ino

    ended = rota("backup", str(target), "--overwrite")

    assert ended.exit_code == 2, ended.output
    assert "itself" in ended.stderr
    assert source.stat().st_ino == before
