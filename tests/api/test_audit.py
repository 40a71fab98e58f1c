"""GET /v1/audit: every route that changes something leaves an entry, with who did it from where."""

import base64
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from rota.api.http.audit_entries import logged
from rota.api.routers import ROUTERS
from rota.domain.audit.actions import Action, Kind
from rota.store.audit.subjects import Tasks
from rota.store.tasks.lifecycle import Change, Pause
from tests.api.service import MANUAL, Api, pointers, serving
from tests.support.factories import eventually

KEY = "k" * 16
TASK = {"handler": "echo", "schedule": MANUAL}
DAILY = {"type": "cron", "expression": "0 9 * * *"}
NEW_KEY = {"name": "for tests", "scopes": ["tasks:read"]}
SPAN = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-03T00:00:00Z"}
CALENDAR = {"dates": ["2030-01-01"]}
SECRET = {"value": "s" * 20, "origins": ["https://app.example.com"], "tasks": ["*"]}


@pytest.fixture(scope="module")
def service(another_database: Callable[[str], str]) -> Iterator[Api]:
    keys = f"k1:{base64.b64encode(os.urandom(32)).decode()}"
    headers = {"Authorization": f"Bearer {KEY}"}
    with serving(
        another_database("sqlite"), headers=headers, api_key=KEY, encryption_keys=keys
    ) as made:
        yield made


def test_every_kind_of_what_is_changed_is_documented(service: Api) -> None:
    schemas = service.read("/openapi.json")["components"]["schemas"]

    kind = schemas["SubjectOut"]["properties"]["kind"]
    named = kind.get("enum") or schemas[kind["$ref"].rpartition("/")[2]]["enum"]
    assert sorted(named) == sorted(Kind)


@dataclass(frozen=True)
class Changing:
    """A request that changes something: what is there before, and what it is."""

    action: str
    options: dict[str, Any] = field(default_factory=dict)
    before: Callable[[Api], Any] = lambda _: None
    subject: tuple[str, str | None] = ("task", "t")


def run_of(api: Api, handler: str) -> str:
    api.task("t", handler=handler, overlap_policy="allow")
    run = api.run("t")
    if handler == "echo":
        api.ended(run)
    return str(run["id"])


def backfill_of(api: Api) -> str:
    api.task("t", schedule=DAILY)
    begun = api.post("/v1/tasks/t/backfill", json=SPAN | {"spacing": 3_600})
    return str(begun.json()["backfill_id"])


def preview_of(api: Api) -> str:
    run_of(api, "echo")
    preview = {"selector": {"task": ["t"]}, "dry_run": True}
    return str(api.post("/v1/runs/rerun", json=preview).json()["id"])


def task(api: Api) -> None:
    api.task("t", schedule=DAILY)


def entry(api: Api) -> None:
    task(api)
    assert api.put("/v1/tasks/t/kv/a", json={"value": 1}).status_code == 201


def paused(api: Api) -> None:
    task(api)
    api.post("/v1/tasks/t/pause")


def many(action: str, **more: Any) -> Changing:
    return Changing(action, {"json": {"selector": {"name_prefix": "t"}} | more}, task)


#: For each route that changes something: a request, and the action that it leaves in the log.
HOLD = {"selector": {"name_prefix": "nothing-"}}
CHANGES: dict[tuple[str, str], Changing] = {
    ("POST", "/v1/tasks"): Changing("task.registered", {"json": {"name": "t"} | TASK}),
    ("POST", "/v1/tasks/batch"): Changing(
        "task.registered",
        {"json": {"items": [{"name": "t"} | TASK]}},
    ),
    ("PUT", "/v1/tasks/{name}"): Changing("task.declared", {"json": TASK}),
    ("PATCH", "/v1/tasks/{name}"): Changing("task.changed", {"json": {"priority": 5}}, task),
    ("DELETE", "/v1/tasks/{name}"): Changing("task.deleted", {}, task),
    ("POST", "/v1/tasks/{name}/pause"): Changing("task.paused", {}, task),
    ("POST", "/v1/tasks/{name}/resume"): Changing("task.resumed", {}, paused),
    ("POST", "/v1/tasks/{name}/cancel"): Changing("task.cancelled", {}, task),
    ("POST", "/v1/tasks/{name}/run"): Changing("run.requested", {}, task, ("run", None)),
    ("POST", "/v1/tasks/pause"): many("task.paused"),
    ("POST", "/v1/tasks/resume"): Changing(
        "task.resumed", {"json": {"selector": {"name_prefix": "t"}}}, paused
    ),
    ("POST", "/v1/tasks/cancel"): many("task.cancelled"),
    ("POST", "/v1/tasks/delete"): many("task.deleted"),
    ("POST", "/v1/tasks/run"): many("run.requested"),
    ("POST", "/v1/tasks/{name}/backfill"): Changing(
        "backfill.begun", {"json": SPAN}, task, ("backfill", None)
    ),
    ("POST", "/v1/tasks/{name}/backfills/{id}/cancel"): Changing(
        "backfill.cancelled", {}, backfill_of, ("backfill", None)
    ),
    ("POST", "/v1/runs/{id}/cancel"): Changing(
        "run.cancelled", {}, lambda api: run_of(api, "hold"), ("run", None)
    ),
    ("POST", "/v1/runs/{id}/rerun"): Changing(
        "run.repeated", {}, lambda api: run_of(api, "echo"), ("run", None)
    ),
    **{
        ("POST", f"/v1/runs/{verb}"): Changing(
            "bulk.begun",
            {"json": {"selector": {"task": ["t"]}}},
            lambda api: run_of(api, "echo"),
            ("bulk", None),
        )
        for verb in ("rerun", "cancel", "delete")
    },
    ("POST", "/v1/bulk/{id}/confirm"): Changing("bulk.begun", {}, preview_of, ("bulk", None)),
    ("POST", "/v1/bulk/{id}/cancel"): Changing("bulk.cancelled", {}, preview_of, ("bulk", None)),
    ("PUT", "/v1/tasks/{name}/kv/{key}"): Changing(
        "kv.set", {"json": {"value": "v-secret"}}, task, ("kv", "t")
    ),
    ("DELETE", "/v1/tasks/{name}/kv/{key}"): Changing("kv.deleted", {}, entry, ("kv", "t")),
    ("DELETE", "/v1/tasks/{name}/kv"): Changing(
        "kv.deleted", {"params": {"prefix": "a"}}, entry, ("kv", "t")
    ),
    ("POST", "/v1/tasks/{name}/kv/transaction"): Changing(
        "kv.changed",
        {"json": {"operations": [{"op": "set", "key": "a", "value": 1}]}},
        task,
        ("kv", "t"),
    ),
    ("POST", "/v1/tasks/{name}/kv/import"): Changing(
        "kv.imported",
        {
            "content": '{"key":"b","value":1}\n',
            "headers": {"content-type": "text/plain"},
            "params": {"mode": "replace"},
        },
        entry,
        ("kv", "t"),
    ),
    ("POST", "/v1/tasks/{name}/kv/revert"): Changing(
        "kv.reverted", {"json": {"revision": 0}}, entry, ("kv", "t")
    ),
    ("PUT", "/v1/queues/{name}"): Changing(
        "queue.set", {"json": {"concurrency": 2}}, subject=("queue", "t")
    ),
    ("DELETE", "/v1/queues/{name}"): Changing(
        "queue.reset",
        {},
        lambda api: api.put("/v1/queues/t", json={"concurrency": 2}),
        ("queue", "t"),
    ),
    ("PUT", "/v1/holds/{name}"): Changing("hold.set", {"json": HOLD}, subject=("hold", "t")),
    ("DELETE", "/v1/holds/{name}"): Changing(
        "hold.ended", {}, lambda api: api.put("/v1/holds/t", json=HOLD), ("hold", "t")
    ),
    ("PUT", "/v1/handlers/{name}"): Changing(
        "handler.declared", {"json": {}}, subject=("handler", "t")
    ),
    ("DELETE", "/v1/handlers/{name}"): Changing(
        "handler.removed", {}, lambda api: api.put("/v1/handlers/t", json={}), ("handler", "t")
    ),
    ("PUT", "/v1/calendars/{name}"): Changing(
        "calendar.declared", {"json": CALENDAR}, subject=("calendar", "t")
    ),
    ("DELETE", "/v1/calendars/{name}"): Changing(
        "calendar.removed",
        {},
        lambda api: api.put("/v1/calendars/t", json=CALENDAR),
        ("calendar", "t"),
    ),
    ("PUT", "/v1/secrets/{name}"): Changing(
        "secret.declared", {"json": SECRET}, subject=("secret", "t")
    ),
    ("POST", "/v1/secrets/{name}/rotate"): Changing(
        "secret.rotated",
        {"json": {"value": "r" * 20}},
        lambda api: api.put("/v1/secrets/t", json=SECRET),
        ("secret", "t"),
    ),
    ("DELETE", "/v1/secrets/{name}"): Changing(
        "secret.removed", {}, lambda api: api.put("/v1/secrets/t", json=SECRET), ("secret", "t")
    ),
}


def key_of(api: Api) -> str:
    return str(api.post("/v1/keys", json=NEW_KEY).json()["id"])


CHANGES |= {
    ("POST", "/v1/keys"): Changing("key.created", {"json": NEW_KEY}, subject=("key", None)),
    ("POST", "/v1/keys/{id}/rotate"): Changing("key.rotated", {}, key_of, ("key", None)),
    ("DELETE", "/v1/keys/{id}"): Changing("key.revoked", {}, key_of, ("key", None)),
}
#: Requests that change nothing of what clients declare: what a worker does with its runs is with the runs, and a ping
#: with the task.
NOT_LOGGED = {
    ("POST", "/v1/tasks/{name}/ping"),
    ("POST", "/v1/schedules/preview"),
    ("POST", "/v1/queues/{name}/lease"),
    ("POST", "/v1/runs/{id}/complete"),
    ("POST", "/v1/runs/{id}/heartbeat"),
}


def changing_routes() -> list[tuple[str, str]]:
    """Return the method and the path of each route of the service that is not for reading only."""
    return sorted(
        (method, route.path)
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in (route.methods or set()) - {"GET", "HEAD"}
        if (method, route.path) not in NOT_LOGGED
    )


def clean(api: Api) -> None:
    api.post("/v1/tasks/delete", json={"selector": {"all": True}})
    for kind in ("queues", "calendars", "handlers", "secrets", "holds"):
        api.delete(f"/v1/{kind}/t")


def newest(api: Api) -> dict[str, Any]:
    return dict(api.items("/v1/audit?limit=1")[0])


def send(api: Api, route: tuple[str, str]) -> httpx.Response:
    """Prepare a change, and make it."""
    clean(api)
    change = CHANGES[route]
    made = change.before(api)
    method, template = route
    path = template.replace("{name}", "t").replace("{key}", "a").replace("{id}", str(made))
    options = dict(change.options)
    options["headers"] = {"x-request-id": "the-request"} | options.get("headers", {})
    answer = api.call(method, path, **options)
    assert answer.status_code < 300, answer.text
    return answer


# ------------------------------------------------------------------------------------------------------ every route
@pytest.mark.parametrize("route", changing_routes(), ids=" ".join)
def test_every_route_that_changes_something_leaves_an_entry(
    service: Api, route: tuple[str, str]
) -> None:
    assert route in CHANGES, (
        f"{route} changes something: log it (docs/reference/access/audit.md), and add a request here"
    )

    answer = send(service, route)

    entry = newest(service)
    change, data = CHANGES[route], entry["data"]
    kind, name = change.subject
    assert entry["type"] == change.action
    assert data["subject"]["kind"] == kind
    assert data["subject"]["name"] == name or (name is None and data["subject"]["name"])
    assert data["subject"]["task"] == (
        "t" if kind in {"task", "run", "backfill", "bulk", "kv"} else None
    )
    assert (data["principal"], data["key_id"]) == ("key:1", None)
    assert data["address"] == "127.0.0.1"
    assert data["request_id"] == answer.headers["x-request-id"] == "the-request"
    assert data["before"] != data["after"] or change.action == "run.requested"
    assert "v-secret" not in str(entry)
    assert "s" * 20 not in str(entry)


def test_every_action_is_made_by_a_route_of_this_file() -> None:
    made = {change.action for change in CHANGES.values()}

    assert {str(action) for action in Action} == made


def test_a_request_without_an_id_gets_one(service: Api) -> None:
    clean(service)
    answer = service.put("/v1/tasks/t", json={"handler": "echo", "schedule": MANUAL})

    assert newest(service)["data"]["request_id"] == answer.headers["x-request-id"]


def test_a_dry_run_and_a_request_that_changes_nothing_leave_no_entry(service: Api) -> None:
    clean(service)
    service.task("t")
    before = newest(service)

    service.task("t")
    service.post("/v1/tasks/pause", json={"selector": {"all": True}, "dry_run": True})
    service.post("/v1/tasks/missing/pause")

    assert newest(service) == before


def test_a_request_that_is_sent_again_has_one_entry(service: Api) -> None:
    clean(service)
    service.task("t")
    for _ in range(2):
        service.post("/v1/tasks/t/run", headers={"Idempotency-Key": "once"})

    assert newest(service)["type"] == "run.requested"
    runs = service.items("/v1/audit?task=t&action=run.requested&limit=200")
    assert len({each["data"]["subject"]["name"] for each in runs}) == len(runs)


# ---------------------------------------------------------------------------------------------------------- reading
def test_the_log_is_read_by_pages_and_filters(service: Api) -> None:
    clean(service)
    for name in ("t1", "t2", "t3"):
        service.task(name)
        service.post(f"/v1/tasks/{name}/pause")

    first = service.read("/v1/audit?action=task.paused&task=t1,t2,t3&limit=2")
    second = service.read(
        f"/v1/audit?action=task.paused&task=t1,t2,t3&limit=2&cursor={first['next_cursor']}"
    )
    names = [each["data"]["subject"]["name"] for each in (*first["items"], *second["items"])]
    assert names[:3] == ["t3", "t2", "t1"]
    at = first["items"][0]["timestamp"]
    assert all(each["timestamp"] >= at for each in service.items(f"/v1/audit?from={at}"))
    assert service.items(f"/v1/audit?to={at}")[0]["timestamp"] == at
    assert service.items("/v1/audit?principal=nobody") == []
    assert service.items("/v1/audit?task=t1&from=2000-01-01")
    refused = service.get("/v1/audit?task=t1,t2&from=2000-01-01")
    assert "where exactly one task that exists is named" in refused.json()["detail"]


@pytest.mark.parametrize("query", ["action=task.eaten", "cursor=x", "from=yesterday", "limit=0"])
def test_a_wrong_parameter_is_refused_by_its_name(service: Api, query: str) -> None:
    refused = service.get(f"/v1/audit?{query}")

    assert refused.status_code == 422
    assert pointers(refused) == [query.partition("=")[0]]


def test_old_entries_are_removed(migrated_database_url: str) -> None:
    with serving(migrated_database_url, audit_age=60, maintenance_interval=0.05) as api:
        api.task("t")
        services = api.app.state.services
        clock, then = services.clock, services.clock.now()
        old = logged(Action.TASK_PAUSED, Pause(Change(name="t", by="me")), Tasks(("t",)))
        services.writer._clock = type("Past", (), {"now": lambda _: then - timedelta(hours=1)})()
        services.writer.call(old)
        services.writer._clock = clock

        eventually(lambda: [e["type"] for e in api.items("/v1/audit")] == ["task.declared"])
