"""Pull workers in other languages: the examples against the real service, also when workers die."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.launching import ROOT
from tests.acceptance.server import PATIENCE, Server
from tests.support.factories import eventually

WORKERS = ROOT / "examples" / "workers"
NODE = shutil.which("node")
CURL = shutil.which("curl")
needs_node = pytest.mark.skipif(NODE is None, reason="there is no `node` on this machine")
needs_curl = pytest.mark.skipif(CURL is None, reason="there is no `curl` on this machine")

Work = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    """Start workers; none is left running."""
    begun: list[subprocess.Popen[bytes]] = []

    def begin(server: Server, command: Sequence[str], **variables: str) -> subprocess.Popen[bytes]:
        given = {"ROTA_URL": server.url, "WAIT": "5"} | variables
        output = (tmp_path / f"worker-{len(begun)}.log").open("wb")
        with output:
            begun.append(
                subprocess.Popen(command, env=os.environ | given, stdout=output, stderr=output)
            )
        return begun[-1]

    yield begin
    for process in begun:
        process.kill()
        process.wait(PATIENCE)


def declared(server: Server, name: str) -> None:
    """Wait until a worker has declared its handler."""
    path = f"/v1/handlers/{name}"
    eventually(lambda: server.ask("GET", path).is_success, f"{name} is not declared")


def run(server: Server, task: str) -> dict[str, Any]:
    return dict(server.call("POST", f"/v1/tasks/{task}/run"))


def ended(server: Server, made: dict[str, Any]) -> dict[str, Any]:
    return dict(server.call("GET", f"/v1/runs/{made['id']}?wait=30"))


def register(server: Server, name: str, handler: str, **fields: Any) -> None:
    body = {"handler": handler, "schedule": {"type": "manual"}, "overlap_policy": "allow"}
    server.call("PUT", f"/v1/tasks/{name}", json=body | fields)


@needs_node
def test_a_worker_in_node_executes_runs_and_keeps_its_state_in_rota(
    serve: Callable[..., Server], work: Work
) -> None:
    server = serve()
    server.start()
    work(server, [str(NODE), str(WORKERS / "worker.mjs")])
    declared(server, "count-words")
    register(server, "words", "count-words", input={"text": "to be or not to be"})

    first = ended(server, run(server, "words"))
    second = ended(server, run(server, "words"))

    assert first["status"] == "succeeded", first
    assert first["result"] == {"words": 6, "before": 0}
    assert second["result"] == {"words": 6, "before": 6}
    assert server.call("GET", "/v1/tasks/words/kv/total")["value"] == 12


@needs_curl
def test_a_worker_in_shell_executes_runs(serve: Callable[..., Server], work: Work) -> None:
    server = serve(api_key="a" * 32)
    server.start()
    key = {"headers": {"authorization": f"Bearer {'a' * 32}"}}
    work(server, [str(WORKERS / "worker.sh")], ROTA_API_KEY="a" * 32)
    path = "/v1/handlers/disk-usage"
    eventually(lambda: server.ask("GET", path, **key).is_success, "it is not declared")
    body = {"handler": "disk-usage", "schedule": {"type": "manual"}}
    server.call("PUT", "/v1/tasks/disk", json=body, **key)

    made = server.call("POST", "/v1/tasks/disk/run", **key)
    run = server.call("GET", f"/v1/runs/{made['id']}?wait=30", **key)

    assert run["status"] == "succeeded", run
    assert run["result"]["used_kib"] > 0


@needs_node
def test_a_run_of_a_worker_that_dies_is_taken_by_another(
    serve: Callable[..., Server], work: Work
) -> None:
    server = serve()
    server.start()
    node = [str(NODE), str(WORKERS / "worker.mjs")]
    slow = work(server, node, LEASE="2", WORK_MS="60000")
    declared(server, "count-words")
    retry = {"initial_interval": 1, "backoff": "constant", "jitter": False}
    register(server, "words", "count-words", input={"text": "a b"}, retry=retry)
    made = run(server, "words")
    path = f"/v1/runs/{made['id']}"
    eventually(lambda: server.call("GET", path)["status"] == "running")

    slow.kill()
    work(server, node)
    read = ended(server, made)

    assert (read["status"], read["attempt"]) == ("succeeded", 2), read
    assert [each["outcome"] for each in read["attempts"]] == ["timed_out", "succeeded"]


def test_every_outcome_is_stored_once_while_the_service_is_killed(
    serve: Callable[..., Server],
) -> None:
    """Leases and completions under `kill -9`: what was accepted is there, what was not is 409 or done again."""
    server = serve()
    server.start()
    server.call("PUT", "/v1/handlers/work", json={})
    retry = {"max_attempts": 50, "initial_interval": 1, "backoff": "constant", "jitter": False}
    register(server, "t", "work", retry=retry)
    made = [run(server, "t")["id"] for _ in range(12)]
    accepted: dict[str, int] = {}

    for kills in range(3):
        request = {"handlers": ["work"], "max": 5, "wait": 5, "lease": 2}
        items = server.call("POST", "/v1/queues/default/lease", json=request)["items"]
        for number, item in enumerate(items):
            if number == kills:
                server.kill()
                server.start()
            outcome = {"result": number, "kv": [{"op": "increment", "key": "done", "by": 1}]}
            path, token = f"/v1/runs/{item['run']['id']}/complete", {"x-rota-token": item["token"]}
            first = server.ask("POST", path, json=outcome, headers=token)
            again = server.ask("POST", path, json=outcome, headers=token)
            assert again.status_code == 409, again.text
            if first.is_success:
                assert item["run"]["id"] not in accepted
                accepted[item["run"]["id"]] = number
            else:
                assert first.status_code == 409, first.text

    assert accepted
    for id, number in accepted.items():
        read = server.call("GET", f"/v1/runs/{id}")
        assert (read["status"], read["result"]) == ("succeeded", number)
    assert server.call("GET", "/v1/tasks/t/kv/done")["value"] == len(accepted)
    assert set(accepted) <= set(made)
