"""SIGTERM drains: runs that end in time end, the others are released and end after the next start."""

import contextlib
import json
import random
import signal
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance import ordeals
from tests.acceptance.launching import Installed
from tests.acceptance.server import Server
from tests.support.databases import postgresql_at_length
from tests.support.factories import eventually
from tests.support.torture import Part, torture

Serve = Callable[..., Server]


def begin(server: Server, name: str, file: Path) -> dict[str, Any]:
    """Start a run that ends when there is a file; return it when it is under way."""
    task = {"handler": "wait-for-file", "input": str(file), "schedule": {"type": "manual"}}
    server.call("PUT", f"/v1/tasks/{name}", json=task)
    run: dict[str, Any] = server.call("POST", f"/v1/tasks/{name}/run")
    eventually(lambda: server.items(f"/v1/runs/{run['id']}/logs"), "the run does not start")
    return run


def ended(server: Server, run: dict[str, Any]) -> dict[str, Any]:
    read: dict[str, Any] = server.call("GET", f"/v1/runs/{run['id']}?wait=30")
    return read


def test_sigterm_lets_short_runs_end_and_releases_long_ones(serve: Serve, tmp_path: Path) -> None:
    server = serve(drain_grace=1.5)
    server.start()
    short_file, long_file = tmp_path / "short", tmp_path / "long"
    short, long = begin(server, "short", short_file), begin(server, "long", long_file)
    server.terminate()
    eventually(lambda: refuses(server), "it still listens")
    short_file.touch()
    code = server.wait()

    assert code == 0, server.log.read_text()
    server.start()
    finished = ended(server, short)
    assert (finished["status"], finished["attempt"]) == ("succeeded", 1)
    again = server.call("GET", f"/v1/runs/{long['id']}")
    assert again["status"] in {"queued", "running"}
    long_file.touch()
    again = ended(server, long)
    assert (again["status"], again["result"], again["failures"]) == ("succeeded", 2, 0)
    released, last = again["attempts"]
    assert (released["outcome"], released["counted"]) == ("released", False)
    assert last["outcome"] == "succeeded"


def test_open_streams_do_not_delay_a_stop(serve: Serve) -> None:
    server = serve(drain_grace=30)
    server.start()
    with httpx.stream("GET", f"{server.url}/v1/events", timeout=30, trust_env=False) as stream:
        blocks = stream.iter_text()
        assert "id: " in next(blocks)

        server.terminate()

        assert list(blocks) == []  # it ends as it should: a connection that breaks would raise
    assert server.wait() == 0, server.log.read_text()
    assert "Traceback" not in server.log.read_text()


def test_a_request_that_waits_for_a_run_is_answered_when_the_service_stops(
    serve: Serve, tmp_path: Path
) -> None:
    server = serve(drain_grace=0)
    server.start()
    run = begin(server, "long", tmp_path / "long")
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=30)) as waiting:
        waiting.request("GET", f"/v1/runs/{run['id']}?wait=60")
        for _ in range(20):  # behind it: by then it waits
            server.ask("GET", "/healthz")

        server.terminate()

        answer = waiting.getresponse()
        read = json.loads(answer.read())
    assert server.wait() == 0, server.log.read_text()
    assert (answer.status, read["id"]) == (200, run["id"]), read
    assert read["status"] in {"running", "queued"}


@pytest.mark.slow
@pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)
def test_a_write_that_still_waits_when_the_grace_ends_gets_an_answer(
    serve: Serve, migrated_database_url: str
) -> None:
    """Another process writes to the file, so that the first write waits five seconds, and the second behind it."""
    server = serve(drain_grace=0)
    server.start()
    for name in ("a", "b"):
        server.call("PUT", f"/v1/tasks/{name}", json=POISON)
    path = migrated_database_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None)) as foreign:
        foreign.execute("BEGIN IMMEDIATE")
        connections = [HTTPConnection("127.0.0.1", server.port, timeout=30) for _ in "ab"]
        for name, connection in zip("ab", connections, strict=True):
            connection.request("POST", f"/v1/tasks/{name}/pause")
            for _ in range(
                20
            ):  # behind it: by then the writer has taken it, and the next one waits
                server.ask("GET", "/healthz")
        server.terminate()
        answers = [connection.getresponse() for connection in connections]
        problems = [json.loads(answer.read()) for answer in answers]
        foreign.execute("ROLLBACK")
    code = server.wait()
    for connection in connections:
        connection.close()

    assert code == 0, server.log.read_text()
    for answer, problem in zip(answers, problems, strict=True):
        assert (answer.status, answer.getheader("retry-after")) == (503, "1")
        assert answer.getheader("content-type") == "application/problem+json"
        assert problem["type"] == "/problems/unavailable"
    assert "The service is stopping; the write may or may not have been stored." in {
        problem["detail"] for problem in problems
    }


def test_an_idle_service_stops_at_once(serve: Serve, installed: Installed) -> None:
    server = serve(installed, drain_grace=30)
    server.start()

    server.terminate()

    assert server.wait() == 0, server.log.read_text()
    assert "Traceback" not in server.log.read_text()


def swallow_poison(server: Server) -> None:
    """Run the poison handler, and wait until the service has ended; it may do so before it has answered."""
    with suppress(httpx.TransportError):
        server.ask("POST", "/v1/tasks/poison/run")
    server.wait()


def test_a_run_that_ends_its_process_three_times_fails_as_lost(serve: Serve) -> None:
    server = serve(lease_ttl=1)
    server.start()
    server.call("PUT", "/v1/tasks/poison", json=POISON)
    swallow_poison(server)
    server.start()  # the only time: from here on it has a process to itself

    (run,) = server.items("/v1/tasks/poison/runs")
    lost = ended(server, run)
    assert (lost["status"], lost["reason"], lost["failures"]) == ("failed", "lost", 0)
    assert [each["outcome"] for each in lost["attempts"]] == ["lost"] * 3
    assert server.call("GET", "/readyz")["status"] == "ok"


@postgresql_at_length
def test_runs_beside_a_poison_handler_continue_until_they_have_succeeded(
    serve: Serve, tmp_path: Path
) -> None:
    server = serve(lease_ttl=1)
    server.start()
    file = tmp_path / "file"
    innocent = [begin(server, f"innocent-{number}", file) for number in range(10)]
    server.call("PUT", "/v1/tasks/poison", json=POISON | {"overlap_policy": "allow"})
    swallow_poison(server)
    for _ in range(2):  # others like it, each of which takes the service down once more
        server.start()
        swallow_poison(server)
    server.start()

    poison = server.items("/v1/tasks/poison/runs")
    assert len(poison) == 3
    for run in poison:
        lost = ended(server, run)
        assert (lost["status"], lost["reason"]) == ("failed", "lost")
    file.touch()
    for run in innocent:
        read = ended(server, run)
        assert (read["status"], read["failures"]) == ("succeeded", 0)
        outcomes = [(each["outcome"], each["counted"]) for each in read["attempts"][:-1]]
        assert outcomes == [("lost", False)] * (read["attempt"] - 1)
    assert server.call("GET", "/readyz")["status"] == "ok"


@postgresql_at_length
def test_runs_that_are_running_at_every_kill_of_the_service_do_not_fail_for_it(
    serve: Serve, tmp_path: Path
) -> None:
    server = serve(lease_ttl=1)
    server.start()
    file = tmp_path / "file"
    runs = [begin(server, f"long-{number}", file) for number in range(3)]

    for kills in range(1, 4):  # three losses by itself would fail a run
        server.kill()
        server.start()
        for run in runs:
            path = f"/v1/runs/{run['id']}/logs"
            eventually(lambda path=path, kills=kills: len(server.items(path)) > kills)  # type: ignore[misc]
    file.touch()

    for run in runs:
        read = ended(server, run)
        assert (read["status"], read["failures"], read["result"]) == ("succeeded", 0, 4)


@torture(Part.KILLS)
@pytest.mark.timeout(600)
def test_under_kills_poison_fails_as_lost_and_the_runs_beside_it_succeed(
    serve: Serve, tmp_path: Path
) -> None:
    """Handlers that end the service, and kills at any moment."""
    seed = ordeals.seed()
    dice = random.Random(seed)
    server = serve(lease_ttl=1)
    server.start()
    file = tmp_path / "file"
    innocent = [begin(server, f"innocent-{number}", file) for number in range(10)]
    server.call("PUT", "/v1/tasks/poison", json=POISON | {"overlap_policy": "allow"})
    poison = []
    for number in range(20):
        if number % 4 == 0:
            with contextlib.suppress(httpx.TransportError):  # it may be gone before it answers
                poison.append(server.call("POST", "/v1/tasks/poison/run"))
            server.wait()
        else:
            threading.Event().wait(dice.uniform(0, 2))
            server.kill()
        server.start()

    for run in poison:
        lost = ended(server, run)
        assert (lost["status"], lost["reason"]) == ("failed", "lost")
    file.touch()
    for run in innocent:
        read = ended(server, run)
        assert (read["status"], read["failures"]) == ("succeeded", 0)
        assert {each["outcome"] for each in read["attempts"][:-1]} == {"lost"}


POISON = {"handler": "poison", "schedule": {"type": "manual"}}


def refuses(server: Server) -> bool:
    """Whether the port is closed."""
    try:
        server.ask("GET", "/healthz")
    except httpx.TransportError:
        return True
    return False


@pytest.mark.parametrize("database_engine", ["postgresql"], indirect=True)
@pytest.mark.postgres
def test_another_replica_finishes_the_runs_of_a_killed_one(serve: Serve, tmp_path: Path) -> None:
    one, other = serve(lease_ttl=1), serve(lease_ttl=1)
    one.start()
    file = tmp_path / "file"
    run = begin(one, "t", file)
    other.start()

    one.kill()
    file.touch()

    read = ended(other, run)
    assert (read["status"], read["result"]) == ("succeeded", 2)
    assert [each["outcome"] for each in read["attempts"]] == ["lost", "succeeded"]


def test_a_stop_that_is_requested_during_the_start_is_not_forgotten(
    serve: Callable[..., Server],
) -> None:
    server = serve()
    server.spawn()
    eventually(lambda: "Rota " in server.log.read_text(), "it prints nothing")

    server.terminate()

    # Before it takes signals at all, the signal ends it at once.
    assert server.wait() in {0, -signal.SIGTERM}
