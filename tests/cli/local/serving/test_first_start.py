"""`rota serve` on nothing makes its file; with `--paused` everything is held before anything can fire."""

import socket
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rota.cli import app
from rota.cli.local.serving.first_start import PAUSED, hold_everything, is_new_file, make_new_file
from rota.db.engine import Database
from rota.db.engines.urls import parse_url
from rota.db.migrations import check
from rota.errors import AppError
from rota.settings import Settings
from rota.store.audit.reading import AuditFilter, list_entries
from rota.store.holds.reading import find_hold
from rota.store.holds.rows import StoredHold


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(database_url=f"sqlite:///{tmp_path}/rota.db")


def hold_of(settings: Settings) -> StoredHold:
    with closing(Database(settings.database_url)) as database, database.read() as connection:
        return find_hold(connection, PAUSED)


def test_a_new_file_gets_its_tables_and_is_announced(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rota.db"
    with closing(sqlite3.connect(file)) as connection:  # as a first start leaves it that was killed
        connection.execute("PRAGMA journal_mode=WAL")
    assert file.stat().st_size > 0

    make_new_file(settings)
    make_new_file(settings)

    said = capsys.readouterr()
    assert said.err == f"There was no database: {file} is new and empty.\n"
    assert said.out == ""
    with closing(Database(settings.database_url)) as database, database.read() as connection:
        check(connection)


def test_a_file_with_something_in_it_is_left_alone(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "rota.db"
    assert is_new_file(parse_url(settings.database_url))
    file.write_bytes(b"x" * 100)

    make_new_file(settings)

    assert file.read_bytes() == b"x" * 100
    assert not is_new_file(parse_url("postgresql://localhost/rota"))


def test_a_folder_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AppError, match="does not exist"):
        make_new_file(Settings(database_url=f"sqlite:///{tmp_path}/nope/rota.db"))


@pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)
def test_everything_is_held_until_the_hold_is_ended(
    migrated_database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(database_url=migrated_database_url)
    hold_everything(settings)
    first = hold_of(settings)
    hold_everything(settings)  # a restart with it

    held = first.hold
    assert (held.selector.is_everything, held.ends_at, held.fire_times) == (True, None, "catch_up")
    assert datetime.now(UTC) - held.starts_at < timedelta(minutes=1)
    assert hold_of(settings).hold == held
    assert f"DELETE /v1/holds/{PAUSED}" in capsys.readouterr().err
    with closing(Database(settings.database_url)) as database, database.read() as connection:
        entries = list_entries(connection, AuditFilter(), None, 10)
    assert [entry.action for entry in entries] == ["hold.set"]


def test_a_service_that_cannot_listen_makes_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("ROTA_DATABASE_URL", "ROTA_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = CliRunner().invoke(app, ["serve", "--paused", "--port", str(port)])

    assert ended.exit_code == 2
    assert f"Port {port} of 127.0.0.1 is in use" in ended.stderr
    assert list(tmp_path.iterdir()) == []
