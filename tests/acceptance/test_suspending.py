"""A process that is suspended (SIGSTOP) for longer than its lease, then continues; one that stands still by itself."""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.server import Server
from tests.support.factories import eventually

Serve = Callable[..., Server]
TTL = 1
MANUAL = {"schedule": {"type": "manual"}, "overlap_policy": "allow"}


def begin(server: Server, file: Path) -> str:
    """Start a run that ends when there is a file; return its id when it is under way."""
    server.call(
        "PUT", "/v1/tasks/long", json=MANUAL | {"handler": "wait-for-file", "input": str(file)}
    )
    run: dict[str, Any] = server.call("POST", "/v1/tasks/long/run")
    eventually(lambda: server.items(f"/v1/runs/{run['id']}/logs"), "the run does not start")
    return str(run["id"])


def attempts(server: Server, run_id: str) -> list[str]:
    run = server.call("GET", f"/v1/runs/{run_id}")
    return [each["outcome"] for each in run["attempts"]]


def ended(server: Server, run_id: str) -> dict[str, Any]:
    read: dict[str, Any] = server.call("GET", f"/v1/runs/{run_id}?wait=20")
    return read


def does_another_run(server: Server) -> None:
    """Execute a run, for which the lease must have been renewed."""
    server.call("PUT", "/v1/tasks/another", json=MANUAL | {"handler": "count"})
    run = server.call("POST", "/v1/tasks/another/run")
    assert ended(server, run["id"])["status"] == "succeeded"


def test_a_suspended_process_loses_nothing_if_no_other_takes_over(
    serve: Serve, tmp_path: Path
) -> None:
    server = serve(lease_ttl=TTL)
    server.start()
    file = tmp_path / "end"
    run_id = begin(server, file)

    server.signal(signal.SIGSTOP)
    suspended_at = time.monotonic()
    eventually(lambda: time.monotonic() - suspended_at > 3.5 * TTL)  # and longer than a stuck loop
    server.signal(signal.SIGCONT)
    does_another_run(server)
    file.touch()

    run = ended(server, run_id)
    assert (run["status"], run["result"]) == ("succeeded", 1)
    assert attempts(server, run_id) == ["succeeded"]
    assert "runs.released" not in server.log.read_text()


@pytest.mark.postgres
@pytest.mark.parametrize("database_engine", ["postgresql"], indirect=True)
def test_the_runs_of_a_suspended_replica_are_taken_over_and_it_is_fenced(
    serve: Serve, tmp_path: Path
) -> None:
    first, second = serve(lease_ttl=TTL), serve(lease_ttl=TTL)
    first.start()
    file = tmp_path / "end"
    run_id = begin(first, file)
    second.start()

    first.signal(signal.SIGSTOP)
    eventually(
        lambda: second.call("GET", f"/v1/runs/{run_id}")["attempt"] == 2,
        "the run is not taken over",
    )
    file.touch()
    run = ended(second, run_id)
    first.signal(signal.SIGCONT)
    does_another_run(first)

    assert (run["status"], run["result"]) == ("succeeded", 2)
    assert ended(first, run_id) == run
    assert attempts(first, run_id) == ["lost", "succeeded"]
    lost = first.call("GET", f"/v1/runs/{run_id}")["attempts"][0]
    assert "was silent until its lease was over" in lost["error"]["message"]
    assert "lease.lost" in first.log.read_text()


@pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)
def test_with_a_freeze_limit_a_process_that_stands_still_ends_itself_and_prints_its_stacks(
    serve: Serve,
) -> None:
    server = serve(freeze_limit=1, watchdog_interval=0.1)
    server.start()
    server.call("PUT", "/v1/tasks/freezing", json=MANUAL | {"handler": "hold-the-interpreter"})

    server.call("POST", "/v1/tasks/freezing/run")
    code = server.wait()

    assert code == 1
    assert "hold_the_interpreter" in server.log.read_text()
