"""The databases that the other tests run on."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from tests.support.postgres import PREFIX, PostgresServer
from tests.support.reuse import ReusedDatabases, connections_are_kept

ROOT = Path(__file__).parents[1]
END_OTHERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid != pg_backend_pid()
"""


def test_each_database_answers(database_url: str) -> None:
    engine = sa.create_engine(database_url)

    with engine.connect() as connection:
        answer = connection.scalar(sa.text("SELECT 1"))
    engine.dispose()

    assert answer == 1


@pytest.mark.parametrize("time_of_asking", ["first", "second"])
def test_each_database_is_empty(database_url: str, time_of_asking: str) -> None:
    engine = sa.create_engine(database_url)

    with engine.begin() as connection:
        connection.execute(sa.text(f"CREATE TABLE made_by_the_{time_of_asking} (id integer)"))
        tables = sa.inspect(connection).get_table_names()
    engine.dispose()

    assert tables == [f"made_by_the_{time_of_asking}"]


@pytest.mark.postgres
def test_a_database_is_copied_from_a_template(postgres_server: PostgresServer) -> None:
    template = postgres_server.create_database()
    with psycopg.connect(_plain(template)) as connection:
        connection.execute("CREATE TABLE task (id integer)")

    copy = postgres_server.create_database(template=template.rpartition("/")[2])

    with psycopg.connect(_plain(copy)) as connection:
        assert connection.execute("SELECT count(*) FROM task").fetchone() == (0,)


@pytest.fixture
def reused(postgres_server: PostgresServer) -> Iterator[ReusedDatabases]:
    """Copies of a template with one row, which tests have used before."""
    template = postgres_server.create_database()
    with psycopg.connect(_plain(template)) as connection:
        connection.execute("CREATE TABLE task (id integer)")
        connection.execute("CREATE TABLE state AS SELECT 1 AS id")
    with connections_are_kept() as kept:
        databases = ReusedDatabases(postgres_server, template.rpartition("/")[2], kept)
        yield databases
        databases.close()


def _used(databases: ReusedDatabases, statement: str) -> str:
    """Execute a statement on a database, and give it back; return its URL."""
    url = databases.take()
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()
    databases.give_back(url)
    return url


def _contents(url: str) -> tuple[int, int, list[tuple[int]]]:
    """Return the process of the server that answers, the number of tasks, and the rows of the template."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        process = connection.scalar(sa.text("SELECT pg_backend_pid()"))
        tasks = connection.scalar(sa.text("SELECT count(*) FROM task"))
        rows = connection.execute(sa.text("SELECT id FROM state"))
        found = (process, tasks, [tuple(row) for row in rows])
    engine.dispose()
    return found


@pytest.mark.postgres
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO task VALUES (1), (2)",
        "UPDATE state SET id = 2",
        "DELETE FROM state",
        "INSERT INTO state VALUES (2)",
        "SET statement_timeout = 1",
    ],
)
def test_a_database_is_used_again_with_its_connection_and_the_rows_of_the_template(
    reused: ReusedDatabases, statement: str
) -> None:
    process = _contents(first := reused.take())[0]
    reused.give_back(first)

    assert _used(reused, statement) == first

    assert reused.take() == first
    assert _contents(first) == (process, 0, [(1,)])


@pytest.mark.postgres
@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE task RENAME TO elsewhere",
        "ALTER TABLE task ADD CHECK (id > 0)",
        "CREATE INDEX i ON task (id)",
        "CREATE TABLE another (id integer)",
        END_OTHERS,
    ],
)
def test_a_database_that_a_test_has_altered_is_not_used_again(
    reused: ReusedDatabases, statement: str
) -> None:
    altered = _used(reused, statement)

    assert reused.take() != altered


@pytest.mark.postgres
def test_a_database_that_somebody_still_uses_is_not_used_again(reused: ReusedDatabases) -> None:
    url = reused.take()
    with psycopg.connect(_plain(url)):
        reused.give_back(url)

        assert reused.take() != url


@pytest.mark.postgres
def test_a_crashed_server_restarts_on_its_port_with_its_data() -> None:
    with PostgresServer(durable=True) as server:
        url = _plain(server.create_database())
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE task (id integer)")

        server.kill()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(url)
        server.start()

        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT count(*) FROM task").fetchone() == (0,)


@pytest.mark.postgres
def test_the_server_of_a_killed_owner_ends_and_the_next_one_cleans_up() -> None:
    program = """
        import time
        from tests.support.postgres import PostgresServer

        with PostgresServer() as server:
            print(server.pid, server._home.path, flush=True)
            time.sleep(60)
    """
    owner = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert owner.stdout is not None
    pid, home = owner.stdout.readline().decode().split()

    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    _wait_until_gone(int(pid))
    with PostgresServer():
        left = Path(home).exists()

    assert Path(home).name.startswith(PREFIX)
    assert not left


def _plain(url: str) -> str:
    return url.replace("+psycopg", "")


def _wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if _state(pid) in {"", "Z"}:
            return
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the server outlived its owner")


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""
