"""A service that cannot start prints the reason in a line or two; its exit code differs from that of a crash."""

import os
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.launching import Forked, Installed, environment, wait
from tests.acceptance.server import HANDLERS, Server, free_port, refusal
from tests.support.databases import damage

Serve = Callable[..., Server]
Refused = Callable[..., tuple[int, str]]
on_sqlite = pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)


def check(result: tuple[int, str], *words: str) -> None:
    """The output has the reason, and no line with the address of the service."""
    code, output = result
    assert not re.search(r"http\S+/docs", output), output
    assert code not in {0, -11, -6}, output
    assert "Traceback" not in output, output
    for word in words:
        assert word in output, output


@on_sqlite
def test_a_second_process_on_one_sqlite_file_is_refused(
    serve: Serve, refused: Refused, migrated_database_url: str
) -> None:
    server = serve()
    server.start()

    result = refused(database_url=migrated_database_url, port=free_port())

    check(result, "Another process", "PostgreSQL")
    assert server.call("GET", "/readyz")["status"] == "ok"


@on_sqlite
def test_a_killed_process_leaves_no_lock(serve: Serve) -> None:
    server = serve()
    server.start()
    server.kill()

    server.start()

    assert server.call("GET", "/readyz")["status"] == "ok"


def test_a_database_without_tables_is_refused(refused: Refused, database_url: str) -> None:
    if database_url.startswith("sqlite"):  # a new file would be made
        with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as connection:
            connection.execute("CREATE TABLE of_another_program (id)")

    result = refused(database_url=database_url, port=free_port())

    check(result, "rota db upgrade")


@on_sqlite
def test_a_schema_of_another_version_is_refused(
    refused: Refused, migrated_database_url: str
) -> None:
    path = migrated_database_url.removeprefix("sqlite:///")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'other'")
    connection.close()

    result = refused(database_url=migrated_database_url, port=free_port())

    check(result, "schema other", "restore a backup")
    assert result[1].count("rota:") == 1


@on_sqlite
def test_a_damaged_file_is_refused(refused: Refused, migrated_database_url: str) -> None:
    path = Path(migrated_database_url.removeprefix("sqlite:///"))
    damage(path, "alembic_version")

    result = refused(database_url=migrated_database_url, port=free_port())

    check(result, "rota.db is damaged (database disk image is malformed)", "backup")
    assert result[0] == 2


def test_a_database_that_does_not_answer_is_refused(refused: Refused) -> None:
    url = f"postgresql+psycopg://nobody:secret@127.0.0.1:{free_port()}/none"

    code, output = refused(database_url=url, port=free_port())

    check((code, output), "The database 127.0.0.1:", "does not answer", "onnection refused")
    assert "secret" not in output


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("mysql://localhost/x", "mysql"),
        ("sqlite://", "file"),
        ("sqlite:////no/such/folder/rota.db", "/no/such/folder"),
        ("nonsense", "ROTA_DATABASE_URL"),
    ],
)
def test_an_impossible_database_url_is_refused(refused: Refused, url: str, word: str) -> None:
    check(refused(database_url=url, port=free_port()), word)


@on_sqlite
@pytest.mark.parametrize("handlers", ["no_such_module_at_all", "/no/such/file.py", "json"])
def test_handlers_that_cannot_be_loaded_are_named(
    refused: Refused, migrated_database_url: str, handlers: str
) -> None:
    result = refused(database_url=migrated_database_url, port=free_port(), handlers=handlers)

    check(result, handlers)


@on_sqlite
def test_a_port_in_use_is_refused(
    serve: Serve, refused: Refused, tmp_path: Path, sqlite_template: Path
) -> None:
    server = serve()
    server.start()
    other = tmp_path / "other.db"
    other.write_bytes(sqlite_template.read_bytes())

    result = refused(database_url=f"sqlite:///{other}", port=server.port)

    check(result, str(server.port), "ROTA_PORT")
    assert result[0] == 2
    with sqlite3.connect(other) as connection:
        assert connection.execute("SELECT count(*) FROM handler").fetchone() == (0,)
    connection.close()


@pytest.mark.postgres
@pytest.mark.parametrize("database_engine", ["postgresql"], indirect=True)
def test_a_process_whose_port_is_in_use_starts_no_runs(
    serve: Serve, refused: Refused, migrated_database_url: str, tmp_path: Path
) -> None:
    server = serve(concurrency=1)
    server.start()
    task = {"handler": "wait-for-file", "input": str(tmp_path / "end")}
    server.call(
        "PUT",
        "/v1/tasks/long",
        json=task | {"schedule": {"type": "manual"}, "overlap_policy": "allow"},
    )
    first, second = (server.call("POST", "/v1/tasks/long/run")["id"] for _ in range(2))

    result = refused(
        database_url=migrated_database_url, port=server.port, handlers=HANDLERS, drain_grace=0
    )
    (tmp_path / "end").touch()

    check(result, str(server.port))
    for run_id in (first, second):
        run = server.call("GET", f"/v1/runs/{run_id}?wait=20")
        assert [each["outcome"] for each in run["attempts"]] == ["succeeded"]


def test_invalid_settings_are_named(installed: Installed, tmp_path: Path) -> None:
    code, output = refusal(installed, tmp_path, port="eighty", lease_ttl=-1)

    assert code == 2
    assert re.search(r"ROTA_PORT.*\n.*ROTA_LEASE_TTL", output), output


def test_an_address_other_than_loopback_needs_a_key(refused: Refused) -> None:
    code, output = refused(host="0.0.0.0")

    assert code == 2
    assert "ROTA_API_KEY" in output


@on_sqlite
def test_with_a_key_the_service_listens_on_other_addresses(serve: Serve) -> None:
    key = "0123456789abcdef"
    server = serve(host="0.0.0.0", api_key=key)
    server.start()

    assert server.ask("GET", "/v1/tasks").status_code == 401
    headers = {"Authorization": f"Bearer {key}"}
    assert server.ask("GET", "/v1/tasks", headers=headers).status_code == 200


@on_sqlite
def test_migrating_twice_changes_nothing(database_url: str, forked: Forked, tmp_path: Path) -> None:
    for number in range(2):
        log = tmp_path / f"upgrade-{number}.log"
        ended = forked.start(["db", "upgrade"], environment(database_url=database_url), log)
        assert wait(ended) == 0, log.read_text()
        assert "schema" in log.read_text()


@on_sqlite
def test_a_handlers_file_is_found_by_its_relative_path(serve: Serve, tmp_path: Path) -> None:
    server = serve(handlers=os.path.relpath(HANDLERS, Path(__file__).parents[2]))
    server.start()

    names = {handler["name"] for handler in server.items("/v1/handlers")}
    assert {"count", "http"} <= names
