"""Leases over HTTP: what a worker gets, how long it waits, and what it never gets."""

import asyncio
import json
import time
from concurrent.futures import Future
from functools import partial
from typing import Any

import pytest

from rota.api import leases
from rota.store.kv import handed_out
from tests.api.marks import always_on_both, shares_service
from tests.api.service import MANUAL, Api, pointers, problem, serving
from tests.support.factories import eventually

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"

SCOPE = {
    "type": "http",
    "http_version": "1.1",
    "method": "POST",
    "path": "/v1/queues/default/lease",
    "raw_path": b"/v1/queues/default/lease",
    "query_string": b"",
    "root_path": "",
    "scheme": "http",
    "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
    "client": ("127.0.0.1", 1),
    "server": ("127.0.0.1", 80),
}


@pytest.fixture
def outside(api: Api) -> Api:
    """A service with a declared handler `work`, and a task `t` of it."""
    assert api.put("/v1/handlers/work", json={}).status_code == 201
    api.task("t", handler="work", overlap_policy="allow", input={"n": 1})
    return api


def lease(api: Api, queue: str = "default", **body: Any) -> list[Any]:
    answer = api.post(f"/v1/queues/{queue}/lease", json={"handlers": ["work"]} | body)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


def wait_for_runs(api: Api) -> Future[Any]:
    """Begin a lease that waits; returns when it waits."""
    body = {"handlers": ["work"], "wait": 20}
    call = partial(api._call, "POST", "/v1/queues/default/lease", json=body)
    future = api.portal.start_task_soon(call)
    eventually(lambda: api.app.state.services.waiters._waiting)
    return future


@always_on_both
def test_a_worker_gets_the_run_the_kv_and_a_token(outside: Api) -> None:
    outside.put("/v1/tasks/t/kv/cursor", json={"value": "8812"})
    outside.put("/v1/tasks/t/kv/icon", content=b"\x01\x02", headers={"content-type": "image/png"})
    made = outside.run("t", input={"n": 5})

    answer = outside.post("/v1/queues/default/lease", json={"handlers": ["work"], "lease": 30})
    (item,) = answer.json()["items"]

    read = outside.read(f"/v1/runs/{made['id']}")
    assert (read["status"], read["attempt"]) == ("running", 1)
    # A lease, as a list, leaves out the links to other runs.
    assert (read.pop("fed_by"), read.pop("fed")) == ([], [])
    assert {**read, "attempts": 0} == {**item["run"], "attempts": 0}
    assert item["run"]["input"] == {"n": 5}
    assert item["kv"] == {
        "cursor": "8812",
        "icon": {"value": "AQI=", "encoding": "base64", "content_type": "image/png"},
    }
    assert item["handler"] == "work"
    assert item["kv_revision"] == 2
    assert item["kv_truncated"] is False
    assert item["traceparent"] is None
    assert len(item["token"]) == 43
    assert item["lease_expires_at"] > read["started_at"]
    assert answer.headers["cache-control"] == "no-store"
    assert item["token"] not in json.dumps(read)
    assert lease(outside) == []


def test_a_worker_names_the_entries_that_it_needs(outside: Api) -> None:
    for key in "abc":
        outside.put(f"/v1/tasks/t/kv/{key}", json={"value": key})
    for _ in range(2):
        outside.run("t")

    (some,) = lease(outside, kv=["c", "a", "missing"])
    (none,) = lease(outside, kv=[])

    assert (some["kv"], some["kv_truncated"]) == ({"a": "a", "c": "c"}, False)
    assert (none["kv"], none["kv_revision"], none["kv_truncated"]) == ({}, 3, False)


def test_entries_that_do_not_fit_are_left_out(
    outside: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handed_out, "MOST_BYTES", 100)
    for key in "abc":
        outside.put(f"/v1/tasks/t/kv/{key}", json={"value": "x" * 40})
    outside.run("t")

    (item,) = lease(outside)

    assert sorted(item["kv"]) == ["a", "b"]
    assert item["kv_truncated"] is True


def test_several_runs_are_leased_at_once(outside: Api) -> None:
    made = [outside.run("t")["id"] for _ in range(3)]

    items = lease(outside, max=2)

    assert [item["run"]["id"] for item in items] == made[:2]
    assert items[0]["token"] != items[1]["token"]


@always_on_both
def test_a_waiting_worker_gets_a_run_as_soon_as_there_is_one(
    outside: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "_LOOK_EVERY", 60.0)  # only a commit wakes it
    waiting = wait_for_runs(outside)
    made = outside.run("t")

    (item,) = waiting.result(10).json()["items"]

    assert item["run"]["id"] == made["id"]


@pytest.mark.postgres
@pytest.mark.parametrize("database_engine", ["postgresql"], indirect=True)
def test_a_waiting_worker_gets_a_run_that_another_replica_has_queued(
    outside: Api, migrated_database_url: str
) -> None:
    with serving(migrated_database_url) as other:
        future = wait_for_runs(outside)
        made = other.run("t")
        answer = future.result(20)

    assert [item["run"]["id"] for item in answer.json()["items"]] == [made["id"]]


def test_a_worker_that_finds_nothing_is_answered_when_the_time_is_up(outside: Api) -> None:
    began = time.monotonic()

    assert lease(outside, wait=0.3) == []

    assert 0.3 <= time.monotonic() - began < 2
    assert not outside.app.state.services.waiters._waiting


def test_a_shutdown_ends_the_waits(outside: Api) -> None:
    future = wait_for_runs(outside)

    outside.portal.call(outside.app.state.services.streams.close)

    assert future.result(2 * leases._LOOK_EVERY).json() == {"items": []}


def test_a_worker_that_has_hung_up_gets_no_run(outside: Api) -> None:
    gone = asyncio.Event()
    body = json.dumps({"handlers": ["work"], "wait": 20}).encode()
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        pass

    call = outside.portal.start_task_soon(outside.app, SCOPE, receive, send)
    eventually(lambda: outside.app.state.services.waiters._waiting)
    outside.portal.call(gone.set)
    call.result(10)  # before the run is there: what has been leased by then would be lost
    outside.run("t")

    assert len(lease(outside)) == 1


def test_waiting_workers_count_as_open_streams(migrated_database_url: str) -> None:
    with serving(migrated_database_url, max_streams=1) as api:
        api.put("/v1/handlers/work", json={})
        body = {"handlers": ["work"], "wait": 1}
        answers = api.together([("POST", "/v1/queues/q/lease", {"json": body})] * 2)

    assert sorted(answer.status_code for answer in answers) == [200, 503]


@always_on_both
def test_what_the_service_executes_is_refused(outside: Api) -> None:
    outside.task("call", handler="http", target={"url": "https://example.com"})

    refused = outside.post(
        "/v1/queues/default/lease", json={"handlers": ["work", "http", "echo", "unknown"]}
    )

    assert pointers(refused) == ["/handlers/1", "/handlers/2", "/handlers/3"]
    assert "PUT /v1/handlers/{name}" in problem(refused, 422, "invalid")["detail"]


def test_a_task_of_a_declared_handler_has_no_secret_input(outside: Api) -> None:
    body = {"handler": "work", "schedule": MANUAL, "input": {"n": 1}, "secret_input": True}

    refused = outside.put("/v1/tasks/secret", json=body)
    patched = outside.patch("/v1/tasks/t", json={"secret_input": True})

    assert pointers(refused) == pointers(patched) == ["/secret_input"]
    assert "leased to workers outside" in problem(refused, 422, "invalid")["detail"]


def test_the_trace_of_the_trigger_is_handed_on(outside: Api) -> None:
    outside.post("/v1/tasks/t/run", headers={"traceparent": TRACEPARENT})

    (item,) = lease(outside)

    assert item["run"]["traceparent"] == TRACEPARENT
    version, trace, span, flags = item["traceparent"].split("-")
    assert (version, trace, flags) == ("00", TRACE, "01")
    assert span not in TRACEPARENT


@shares_service
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("handlers", []),
        ("handlers", "work"),
        ("max", 0),
        ("max", 101),
        ("max", "1"),
        ("wait", 31),
        ("wait", -1),
        ("lease", 0.5),
        ("lease", "2d"),
        ("kv", ["a b"]),
        ("kv", ["k"] * 101),
        ("secret", True),
    ],
)
def test_what_is_wrong_with_a_request_is_said(api: Api, field: str, value: Any) -> None:
    refused = api.post("/v1/queues/q/lease", json={"handlers": ["work"], field: value})

    problem(refused, 422, "invalid")
    assert all(str(pointer).startswith(f"/{field}") for pointer in pointers(refused))
