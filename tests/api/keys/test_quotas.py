"""Quotas of keys: 429 with what is used and allowed, for each way to add tasks and runs."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from rota.domain.primitives.times.instants import format_instant
from tests.api.keys.clients import client, made
from tests.api.service import MANUAL, Api, problem

TASK: dict[str, Any] = {"handler": "echo", "schedule": MANUAL, "overlap_policy": "allow"}
SCOPES = ("tasks:read", "tasks:write", "runs:read", "runs:write", "kv:read", "kv:write")


def limited(api: Api, prefix: str, **quota: int) -> Api:
    return client(api, made(api, *SCOPES, tasks=[prefix], **quota)["key"])


def refused(answer: httpx.Response, seconds: str) -> tuple[int, int, int]:
    """Return what is allowed, used and requested, as a refusal shows it."""
    quota = problem(answer, 429, "quota-exceeded")["quota"]
    assert answer.headers["retry-after"] == seconds
    return quota["allowed"], quota["used"], quota["requested"]


def test_no_way_of_registering_exceeds_the_number_of_tasks(api: Api) -> None:
    us = limited(api, "few-", max_tasks=2)
    for name in ("few-1", "few-2"):
        assert us.put(f"/v1/tasks/{name}", json=TASK).status_code == 201
    us.post("/v1/tasks/few-2/cancel")
    assert us.post("/v1/tasks", json=TASK | {"name": "few-3"}).status_code == 201

    batch = {"items": [TASK | {"name": "few-4"}, TASK | {"name": "few-5"}]}
    assert refused(us.post("/v1/tasks", json=TASK | {"name": "few-4"}), "60") == (2, 2, 1)
    assert refused(us.post("/v1/tasks", json=TASK), "60") == (2, 2, 1)
    assert refused(us.put("/v1/tasks/few-4", json=TASK), "60") == (2, 2, 1)
    assert refused(us.put("/v1/tasks/few-2", json=TASK), "60") == (2, 2, 1)
    assert refused(us.post("/v1/tasks/batch", json=batch), "60") == (2, 2, 2)

    assert us.put("/v1/tasks/few-1", json=TASK | {"priority": 5}).status_code == 200
    assert us.patch("/v1/tasks/few-1", json={"priority": 6}).status_code == 200


def test_a_request_that_was_refused_can_be_sent_again_with_its_idempotency_key(api: Api) -> None:
    us = limited(api, "again-", max_tasks=1)
    us.put("/v1/tasks/again-1", json=TASK)
    headers = {**(us.headers or {}), "idempotency-key": "again-2"}
    request = {"json": TASK | {"name": "again-2"}, "headers": headers}

    assert refused(us.post("/v1/tasks", **request), "60") == (1, 1, 1)
    us.delete("/v1/tasks/again-1")

    assert [us.post("/v1/tasks", **request).status_code for _ in range(2)] == [201, 201]


def test_a_completed_task_is_not_patched_to_life_beyond_the_quota(api: Api) -> None:
    us = limited(api, "past-", max_tasks=1)
    now = api.app.state.services.clock.now()
    over = {"type": "interval", "every": 60, "end_at": format_instant(now - timedelta(days=1))}
    ended = us.put("/v1/tasks/past-1", json=TASK | {"schedule": over}).json()
    assert ended["status"] == "completed"
    us.put("/v1/tasks/past-2", json=TASK)

    revived = us.patch("/v1/tasks/past-1", json={"schedule": MANUAL})

    assert refused(revived, "60") == (1, 1, 1)


def test_no_way_of_running_exceeds_the_number_of_unfinished_runs(api: Api) -> None:
    us = limited(api, "busy-", max_unfinished_runs=2)
    hourly = {"type": "interval", "every": 3600, "anchor": "2026-01-01T00:00:00Z"}
    us.put("/v1/tasks/busy-1", json=TASK)
    us.put("/v1/tasks/busy-2", json=TASK | {"schedule": hourly})
    ended = us.post("/v1/tasks/busy-1/run").json()["id"]
    assert us.get(f"/v1/runs/{ended}?wait=20").json()["status"] == "succeeded"
    later = {
        "scheduled_for": format_instant(api.app.state.services.clock.now() + timedelta(days=1))
    }
    for _ in range(2):
        assert us.post("/v1/tasks/busy-1/run", json=later).status_code == 202

    span = {"from": "2026-02-01T00:00:00Z", "to": "2026-02-01T02:30:00Z"}
    for answer in (us.post("/v1/tasks/busy-1/run"), us.post(f"/v1/runs/{ended}/rerun")):
        assert refused(answer, "5") == (2, 2, 1)
    assert refused(us.post("/v1/tasks/busy-2/backfill", json=span), "5") == (2, 2, 3)
    bulk = us.post("/v1/tasks/run", json={"selector": {"all": True}}).json()
    assert (bulk["matched"], bulk["changed"]) == (2, 0)
    assert {each["type"] for each in bulk["refused"]} == {"/problems/quota-exceeded"}
    assert us.post("/v1/tasks/busy-2/backfill", json=span | {"dry_run": True}).status_code == 200
    assert api.post("/v1/tasks/busy-1/run").status_code == 202


def test_no_way_of_writing_exceeds_the_bytes_of_kv_values(api: Api) -> None:
    us = limited(api, "full-", max_kv_bytes=30)
    assert us.put("/v1/tasks/full-1", json=TASK | {"kv": {"seed": "x" * 8}}).status_code == 201
    us.put("/v1/tasks/full-2", json=TASK)
    revision = us.read("/v1/tasks/full-1/kv/seed")["version"]
    entry, kv = "/v1/tasks/full-2/kv/a", "/v1/tasks/full-2/kv"
    assert us.put(entry, json={"value": "y" * 18}).status_code == 201

    line = b'{"key": "b", "value": "zz"}'
    ndjson = {**(us.headers or {}), "content-type": "application/x-ndjson"}
    appended = {"operations": [{"op": "set", "key": "b", "value": "zz"}]}
    seeded = TASK | {"name": "full-3", "kv": {"b": "zz"}}
    for answer in (
        us.put("/v1/tasks/full-1/kv/b", json={"value": "zz"}),
        us.post(f"{kv}/transaction", json=appended),
        us.post(f"{kv}/import", content=line, headers=ndjson),
        us.post("/v1/tasks", json=seeded),
        us.put("/v1/tasks/full-3", json=seeded),
        us.post("/v1/tasks/batch", json={"items": [seeded]}),
        us.put("/v1/tasks/full-3?dry_run=true", json=seeded),
    ):
        assert refused(answer, "60") == (30, 30, 4)
    assert us.get("/v1/tasks/full-3").status_code == 404

    assert us.delete("/v1/tasks/full-1/kv/seed").status_code == 204
    assert us.put(entry, json={"value": "y" * 28}).status_code == 200
    reverted = us.post("/v1/tasks/full-1/kv/revert", json={"revision": revision})
    assert refused(reverted, "60") == (30, 30, 10)
    assert us.put(entry, json={"value": "y"}).status_code == 200
    assert api.put(entry, json={"value": "y" * 100}).status_code == 200
    assert us.put(entry, json={"value": "y" * 90}).status_code == 200


@pytest.mark.parametrize("field", ["max_tasks", "max_unfinished_runs", "max_kv_bytes"])
def test_a_key_can_read_its_quotas(api: Api, field: str) -> None:
    assert limited(api, "own-", **{field: 7}).read("/v1/keys/self")[field] == 7
