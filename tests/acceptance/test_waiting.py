"""Whatever one client sends, or one target replies, the others do not wait for it."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.server import Server
from tests.handlers.target import serving
from tests.support.costs import SHAPES
from tests.support.factories import eventually
from tests.support.torture import Part, torture

Serve = Callable[..., Server]

pytestmark = pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)

MEBIBYTE = 1_048_576
JSON = {"content-type": "application/json"}
OUTCOME = "application/vnd.rota.outcome+json"
_CLIENTS = 4


@contextmanager
def watched(server: Server) -> Iterator[list[float]]:
    """Ask again and again whether the service is well; the answers' times are there in the end."""
    times: list[float] = []
    over = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
            while not over.wait(0.02):
                began = time.monotonic()
                assert client.get("/healthz").status_code == 200
                times.append(time.monotonic() - began)

    with ThreadPoolExecutor() as threads:
        asking = threads.submit(ask)
        try:
            yield times
        finally:
            over.set()
            asking.result()


def large(shape: str, size: int) -> str:
    """Return a document of about so many bytes."""
    return SHAPES[shape](int(size / (len(SHAPES[shape](1_000)) / 1_000)))


@torture(Part.COSTS)
def test_the_service_answers_within_a_second_during_any_request(serve: Serve) -> None:
    server = serve()
    server.start()
    bodies = [
        (path, large(shape, size).encode("utf-8", "surrogatepass")[:size])
        for path, size in (
            ("/v1/tasks", MEBIBYTE - 1),
            ("/v1/tasks/batch", 16 * MEBIBYTE - 1),
        )
        for shape in SHAPES
    ]

    def send(path: str, body: bytes) -> int:
        answer = httpx.post(server.url + path, content=body, headers=JSON, timeout=120)
        return answer.status_code

    with watched(server) as times, ThreadPoolExecutor(_CLIENTS) as clients:
        statuses = list(clients.map(lambda each: send(*each), bodies))

    assert all(400 <= status < 500 for status in statuses), statuses
    assert max(times) < 1


@torture(Part.COSTS)
def test_the_service_answers_within_a_second_while_a_large_batch_is_registered(
    serve: Serve,
) -> None:
    server = serve()
    server.start()
    task = {"handler": "count", "schedule": {"type": "cron", "expression": "0 9 1 1 *"}}
    items = [task | {"name": f"t{index}", "input": "x" * 500} for index in range(10_000)]

    with watched(server) as times:
        server.call("POST", "/v1/tasks/batch", json={"items": items})

    assert max(times) < 1


@torture(Part.COSTS)
def test_other_runs_do_not_wait_for_the_reply_of_a_target(serve: Serve, tmp_path: Path) -> None:
    server = serve(http_max_body_bytes=4 * MEBIBYTE)
    server.start()
    server.call("PUT", "/v1/tasks/other", json=_task("count", overlap_policy="allow"))
    with serving() as site:
        target = {"url": f"http://127.0.0.1:{site.port}/", "method": "GET", "timeout": 60}
        task = _task("http", target=target, timeout=60, retry={"max_attempts": 1})
        server.call("PUT", "/v1/tasks/http", json=task)
        for shape in SHAPES:
            site.answer(200, large(shape, 4 * MEBIBYTE).encode("utf-8", "surrogatepass"), OUTCOME)
            run = server.call("POST", "/v1/tasks/http/run", json={})
            with watched(server) as times:
                taken = []
                while not _has_ended(server, run):
                    began = time.monotonic()
                    other = server.call("POST", "/v1/tasks/other/run", json={})
                    eventually(partial(_has_ended, server, other), "it does not end")
                    taken.append(time.monotonic() - began)
            assert max(times, default=0) < 1, shape
            assert max(taken, default=0) < 2, shape


def _task(handler: str, **fields: Any) -> dict[str, Any]:
    return {"handler": handler, "schedule": {"type": "manual"}, **fields}


def _has_ended(server: Server, run: dict[str, Any]) -> bool:
    status: str = server.call("GET", f"/v1/runs/{run['id']}")["status"]
    return status in {"succeeded", "failed", "cancelled", "skipped"}
