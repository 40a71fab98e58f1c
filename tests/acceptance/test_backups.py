"""The drill of docs/guides/backup.md on both databases: back up while the service runs, restore, compare, continue."""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.launching import ROTA, Forked
from tests.acceptance.server import Server
from tests.support.factories import eventually
from tests.support.postgres import PostgresServer, installed_binaries

PAUSED = "paused-at-start"


@pytest.fixture
def restored_url(
    database_engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Callable[[Path], str]:
    """Restore a backup as the guide says; return the URL of the restored database."""

    def restore(backup: Path) -> str:
        if database_engine == "sqlite":
            (tmp_path / "drill").mkdir()
            shutil.copyfile(backup, tmp_path / "drill" / "rota.db")
            return f"sqlite:///{tmp_path / 'drill' / 'rota.db'}"
        server: PostgresServer = request.getfixturevalue("postgres_server")
        url = server.create_database()
        request.addfinalizer(partial(server.drop_database, url))
        plain = url.replace("+psycopg", "")
        _run("pg_restore", "--exit-on-error", "--no-owner", f"--dbname={plain}", str(backup))
        return url

    return restore


@pytest.mark.slow
def test_what_a_backup_has_is_restored_and_runs_only_when_the_hold_is_ended(
    serve: Callable[..., Server],
    restored_url: Callable[[Path], str],
    forked: Forked,
    tmp_path: Path,
) -> None:
    server = serve()
    server.start()
    _fill(server)
    before = _state(server)

    _run("rota", "db", "backup", str(tmp_path / "backup"), environment=server.environment)
    server.call("PUT", "/v1/tasks/later", json={"handler": "count", "schedule": {"type": "manual"}})
    _due_now(server)
    server.kill()

    restored = restored_url(tmp_path / "backup")
    with closing(Server(forked, restored, tmp_path)) as drill:
        drill.start(arguments=("--paused",))
        assert _state(drill) == before
        _due_now(drill)
        assert drill.call("GET", "/v1/tasks/nightly")["held_by"] == [PAUSED]
        assert _count(drill) == 1

        drill.call("DELETE", f"/v1/holds/{PAUSED}")
        eventually(lambda: _count(drill) == 2, "the restored service does not continue")


def _fill(server: Server) -> None:
    """Register a task with state and a run."""
    task = {"handler": "count", "schedule": {"type": "cron", "expression": "0 2 * * *"}}
    server.call("PUT", "/v1/tasks/nightly", json=task | {"kv": {"cursor": 8811}})
    made = server.call("POST", "/v1/tasks/nightly/run")
    assert server.call("GET", f"/v1/runs/{made['id']}?wait=20")["status"] == "succeeded"


def _due_now(server: Server) -> None:
    """Move the fire time to soon; on a busy machine it may have passed when the service reads it, which refuses it."""
    waits = iter([0.3, 1, 3, 9])
    while (answer := _moved(server, next(waits))).status_code == 422:
        assert "time-in-the-past" in answer.text, answer.text
    assert answer.is_success, answer.text


def _moved(server: Server, seconds: float) -> httpx.Response:
    soon = datetime.now(UTC) + timedelta(seconds=seconds)
    moved = {"next_fire_at": soon.isoformat()}
    return server.ask("PATCH", "/v1/tasks/nightly", json=moved)


def _state(server: Server) -> list[Any]:
    """Return all that a client sees of the tasks, except what a hold changes."""
    tasks = server.items("/v1/tasks")
    shown = [{**each, "held_by": None, "next_fire_at": None} for each in tasks]
    return [shown, server.items("/v1/tasks/nightly/kv"), server.items("/v1/runs")]


def _count(server: Server) -> int:
    return int(server.call("GET", "/v1/tasks/nightly/kv/count")["value"])


def _run(*command: str, environment: Mapping[str, str] | None = None) -> None:
    """Run a program; those of PostgreSQL are the ones that came with the server."""
    given = dict(environment or os.environ)
    given["PATH"] = f"{installed_binaries()}:{ROTA.parent}:{given['PATH']}"
    done = subprocess.run(["env", *command], env=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
