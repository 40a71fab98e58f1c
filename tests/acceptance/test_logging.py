"""What the service writes to its log, and in which form."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from typing import Any

import pytest

from tests.acceptance.server import Server, free_port

Serve = Callable[..., Server]
Refused = Callable[..., tuple[int, str]]
on_sqlite = pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)


def events(log: str) -> list[dict[str, Any]]:
    """The lines of a log, each of which has to be JSON."""
    return [json.loads(line) for line in log.splitlines()]


@on_sqlite
def test_in_json_mode_every_line_is_json_including_the_first(serve: Serve) -> None:
    server = serve(log_format="json")
    server.start()
    server.terminate()
    assert server.wait() == 0

    lines = events(server.log.read_text())
    [started] = [line for line in lines if line["event"] == "service.started"]
    assert started["url"] == server.url
    assert {"version", "level", "timestamp"} <= started.keys()


@on_sqlite
def test_in_json_mode_a_refusal_is_json(refused: Refused, database_url: str) -> None:
    with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as connection:
        connection.execute("CREATE TABLE of_another_program (id)")

    code, output = refused(database_url=database_url, port=free_port(), log_format="json")

    assert code != 0
    *_, last = events(output)
    assert (last["event"], last["level"]) == ("refused", "error")
    assert "rota db upgrade" in last["error"]


def test_in_json_mode_a_wrong_setting_is_json(refused: Refused) -> None:
    code, output = refused(port=free_port(), lease_ttl="long", log_format="json")

    assert code != 0
    (line,) = events(output)
    assert "ROTA_LEASE_TTL" in line["error"]


@on_sqlite
def test_an_unknown_variable_is_a_warning_with_the_nearest_name(serve: Serve) -> None:
    server = serve(log_format="json", lease_tll="20", nothing_like_it="1")
    server.start()
    server.terminate()
    assert server.wait() == 0

    lines = [line for line in events(server.log.read_text()) if line["event"] == "setting.unknown"]
    assert [(line["variable"], line.get("did_you_mean"), line["level"]) for line in lines] == [
        ("ROTA_LEASE_TLL", "ROTA_LEASE_TTL", "warning"),
        ("ROTA_NOTHING_LIKE_IT", None, "warning"),
    ]


@on_sqlite
def test_the_log_has_the_ends_of_runs_and_the_time_of_the_next_attempt(serve: Serve) -> None:
    server = serve(log_format="json")
    server.start()
    good = {"handler": "count", "schedule": {"type": "manual"}}
    server.call("PUT", "/v1/tasks/good", json=good)
    retry = {"max_attempts": 2, "initial_interval": 0.05}
    server.call("PUT", "/v1/tasks/bad", json=good | {"handler": "fail", "retry": retry})
    succeeded = server.call("POST", "/v1/tasks/good/run")
    failed = server.call("POST", "/v1/tasks/bad/run")
    for run in (succeeded, failed):
        server.call("GET", f"/v1/runs/{run['id']}?wait=30")
    server.terminate()
    assert server.wait() == 0

    lines = events(server.log.read_text())
    [line] = [line for line in lines if line["event"] == "run.succeeded"]
    assert (line["task"], line["run"], line["attempt"]) == ("good", succeeded["id"], 1)
    assert line["level"] == "info"
    first, last = [line for line in lines if line["event"] == "attempt.failed"]
    assert (first["run"], first["error"]) == (failed["id"], "ValueError")
    next_attempt, failed_at = map(
        datetime.fromisoformat, (first["next_attempt_at"], last["timestamp"])
    )
    assert next_attempt <= failed_at
    assert last["next_attempt_at"] is None
    assert (first["level"], last["level"]) == ("info", "warning")


def test_the_message_about_contradicting_settings_has_valid_values(
    refused: Refused,
) -> None:
    code, output = refused(port=free_port(), stale_after=1, watchdog_interval=10)

    assert code != 0
    assert output == (
        "rota: ROTA_STALE_AFTER (1) is less than 2 times ROTA_WATCHDOG_INTERVAL (10): an idle service would not be "
        "ready between two checks of the watchdog. Give ROTA_STALE_AFTER at least 20, or ROTA_WATCHDOG_INTERVAL at "
        "most 0.5\n"
    )
