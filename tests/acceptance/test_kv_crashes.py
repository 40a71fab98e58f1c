"""`kill -9` at random moments of runs that write several entries and a result: never a part of them is there."""

import random
import threading
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.acceptance.server import Server
from tests.support.factories import eventually
from tests.support.torture import Part, torture

RUNS = 6
ENTRIES = 5

TASK = {
    "handler": "write-five",
    "input": False,
    "schedule": {"type": "manual"},
    "overlap_policy": "allow",
    "retention": {"runs": 1_000},  # all of them are checked in the end
}

Serve = Callable[..., Server]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_writes_of_a_run_are_all_stored_or_none(serve: Serve) -> None:
    write_under_kills(serve(lease_ttl=1, concurrency=10), kills=2)


@torture(Part.KILLS)
@pytest.mark.timeout(600)
def test_under_many_kills_the_writes_of_runs_are_all_stored_or_none(serve: Serve) -> None:
    write_under_kills(serve(lease_ttl=1, concurrency=10), kills=30)


def write_under_kills(server: Server, kills: int) -> None:
    server.start()
    server.call("PUT", "/v1/tasks/five", json=TASK)
    dice = random.Random()
    held: list[str] = []

    for _ in range(kills):
        held.append(run_some(server))
        eventually(partial(has_started, server, held[-1]), "a run does not start")
        threading.Event().wait(dice.uniform(0, 0.2))
        server.kill()
        server.start()
        check_all_or_nothing(server)
    left = "/v1/runs?status=queued,running,blocked"
    eventually(lambda: not server.items(left), "runs are left", within=60)

    attempts = check_all_or_nothing(server)
    assert server.items("/v1/runs?status=failed") == []
    assert len(attempts) == kills * RUNS
    assert all(attempts[id] > 1 for id in held)


def run_some(server: Server) -> str:
    """Have some runs wait; return the one of them that continues until it is killed."""
    for _ in range(RUNS - 1):
        server.call("POST", "/v1/tasks/five/run")
    held: str = server.call("POST", "/v1/tasks/five/run", json={"input": True})["id"]
    return held


def has_started(server: Server, run_id: str) -> bool:
    return bool(server.call("GET", f"/v1/runs/{run_id}")["attempt"])


def check_all_or_nothing(server: Server) -> dict[str, int]:
    """Return the attempt that each run wrote with; those that did have succeeded with it, and wrote everything."""
    written: dict[str, list[dict[str, Any]]] = defaultdict(list)
    # One page is one snapshot, and ends with the last entry of a run: it has 200. (`_result` is the last one of all.)
    for entry in server.items("/v1/tasks/five/kv"):
        id, _, number = entry["key"].partition(":")
        if number:
            written[id].append(entry)
    # A run that has written anything has succeeded when it is read after that.
    runs = {run["id"]: run for run in server.items("/v1/tasks/five/runs")}
    for id, entries in written.items():
        ended = runs[id]
        assert ended["status"] == "succeeded", ended
        assert [entry["value"] for entry in entries] == ENTRIES * [ended["result"]], ended
        assert {entry["updated_by"] for entry in entries} == {f"run:{id}"}
    return {id: runs[id]["result"] for id in written}
