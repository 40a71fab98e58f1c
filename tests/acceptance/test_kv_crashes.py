"""`kill -9` at random moments of runs that write several entries and a result: never a part of them is there."""

import random
import threading
from collections.abc import Callable

import pytest

from tests.acceptance.server import QuickServer, Server
from tests.factories import eventually

RUNS = 50
ENTRIES = 5
KILLS = 8

Serve = Callable[..., Server]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_of_what_a_run_writes_all_is_there_or_nothing(serve: Serve) -> None:
    server = serve(QuickServer, lease_ttl=1, concurrency=10)
    server.start()
    task = {"handler": "write-five", "schedule": {"type": "manual"}, "overlap_policy": "allow"}
    server.call("PUT", "/v1/tasks/five", json=task)
    for _ in range(RUNS):
        server.call("POST", "/v1/tasks/five/run")
    dice = random.Random()

    for _ in range(KILLS):
        threading.Event().wait(dice.uniform(0.02, 0.35))
        server.kill()
        server.start()
        check_all_or_nothing(server)
    eventually(lambda: not server.items("/v1/runs?status=queued,running,blocked"), "runs are left")

    attempts = check_all_or_nothing(server)
    assert len(attempts) == RUNS
    assert max(attempts.values()) > 1, "no kill has met a run"


def check_all_or_nothing(server: Server) -> dict[str, int]:
    """Return the attempt that each run wrote with; those that did have succeeded with it, and wrote everything."""
    written: dict[str, int] = {}
    for run in server.items("/v1/tasks/five/runs"):
        # One page is one snapshot; a run that has written anything has succeeded when it is read after that.
        entries = server.call("GET", f"/v1/tasks/five/kv?prefix={run['id']}")["items"]
        ended = server.call("GET", f"/v1/runs/{run['id']}")
        if entries:
            assert ended["status"] == "succeeded", ended
            assert [entry["value"] for entry in entries] == ENTRIES * [ended["result"]], ended
            assert {entry["updated_by"] for entry in entries} == {f"run:{run['id']}"}
            written[run["id"]] = ended["result"]
    return written
