"""PUT, GET and DELETE of one task."""

from typing import Any

import pytest

from tests.api.handlers import wait_entered
from tests.api.marks import on_both, shares_service
from tests.api.service import MANUAL, YEARLY, Api, pointers, problem

pytestmark = on_both

BODY = {"handler": "echo", "input": {"a": 1}, "schedule": YEARLY}
SECRETS = {
    "Authorization": "Bearer 1234567890",
    "X-Api-Key": "k-1234567890",
    "Cookie": "session=1234567890",
    "X-Auth-Token": "t-1234567890",
    "Client-Secret": "s-1234567890",
}


def put(api: Api, body: dict[str, Any], **headers: str) -> Any:
    return api.put("/v1/tasks/t", json=body, headers=_named(headers))


def patch(api: Api, body: Any, **headers: str) -> Any:
    return api.patch("/v1/tasks/t", json=body, headers=_named(headers))


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def etag_of(api: Api) -> str:
    return api.get("/v1/tasks/t").headers["etag"]


# --------------------------------------------------------------------------------------------------------- PUT
def test_a_declaration_creates_then_updates_then_changes_nothing(api: Api) -> None:
    created = put(api, BODY)
    updated = put(api, BODY | {"priority": 3})
    unchanged = put(api, BODY | {"priority": 3})

    outcomes = [answer.json()["outcome"] for answer in (created, updated, unchanged)]
    assert outcomes == ["created", "updated", "unchanged"]
    assert [answer.status_code for answer in (created, updated, unchanged)] == [201, 200, 200]
    assert created.headers["location"] == "/v1/tasks/t"
    assert [answer.json()["generation"] for answer in (created, updated, unchanged)] == [1, 2, 2]
    assert unchanged.headers["etag"] == updated.headers["etag"] != created.headers["etag"]


@shares_service
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"schedule": {"type": "once", "delay": "2h"}},
        {"schedule": {"type": "once", "at": "2999-01-01T00:00:00", "timezone": "Asia/Tokyo"}},
        {"schedule": {"type": "interval", "every": "15m"}},
        {"schedule": MANUAL, "paused": True},
        {
            "handler": "greet",
            "input": {"name": "Ada"},
            "description": "ünïcode 🎉",
            "tags": ["a/b"],
        },
        {"retry": {"max_attempts": 1, "max_elapsed": "2h"}, "retention": {"runs": 1, "age": 1}},
        {"input": {"float": 5.0, "int": 5, "big": 2**53 + 1, "deep": [[[None, True]]]}},
        {"input": None},
        {"handler": "http", "target": {"url": "http://127.0.0.1:9/", "headers": SECRETS}},
        {
            "handler": "http",
            "target": {"url": "http://127.0.0.1:9/", "body": [1], "query": {"a": 1}},
        },
    ],
)
def test_a_read_task_can_be_put_back_and_changes_nothing(api: Api, fields: dict[str, Any]) -> None:
    put(api, BODY | fields)
    read = api.get("/v1/tasks/t")

    answer = put(api, read.json(), if_match=read.headers["etag"])
    reply = put(api, answer.json())  # and what a registration returned, too

    for put_back in (answer, reply):
        assert (put_back.status_code, put_back.json()["outcome"]) == (200, "unchanged")
    again = api.get("/v1/tasks/t")
    assert again.json() == read.json()
    assert again.headers["etag"] == read.headers["etag"]
    api.delete("/v1/tasks/t")  # the service is shared


def test_secret_headers_are_never_returned_and_survive_being_put_back(api: Api) -> None:
    target = {"url": "http://127.0.0.1:9/", "headers": SECRETS | {"X-Plain": "seen"}}
    answers = [put(api, BODY | {"handler": "http", "target": target})]

    answers.append(put(api, answers[0].json() | {"priority": 1}))
    answers.append(patch(api, {"target": {"headers": {"X-Plain": "other"}}}))

    answers.append(api.get("/v1/tasks"))
    for answer in answers:
        assert "1234567890" not in answer.text
    assert answers[2].json()["target"]["headers"] == dict.fromkeys(SECRETS, "[redacted]") | {
        "X-Plain": "other"
    }
    # Sent in clear, they are what is stored: nothing changes.
    kept = {"headers": SECRETS | {"X-Plain": "other"}}
    assert patch(api, {"target": kept}).json()["outcome"] == "unchanged"


def test_a_redacted_header_without_a_stored_value_is_refused(api: Api) -> None:
    target = {"url": "http://127.0.0.1:9/", "headers": {"X/Api~Key": "[redacted]"}}
    target["headers"] = {"X-Api-Key": "[redacted]"}

    refused = put(api, BODY | {"handler": "http", "target": target})

    problem(refused, 422, "invalid")
    assert pointers(refused) == ["/target/headers/X-Api-Key"]
    assert api.names() == []


def test_the_name_in_the_body_must_equal_that_of_the_path(api: Api) -> None:
    assert put(api, BODY | {"name": "t"}).status_code == 201

    refused = put(api, BODY | {"name": "u"})

    problem(refused, 422, "invalid")
    assert pointers(refused) == ["/name"]


# --------------------------------------------------------------------------------------------------------- GET
def test_an_unknown_task_is_404_everywhere(api: Api) -> None:
    for method, path in (
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/pause"),
        ("POST", "/resume"),
        ("POST", "/cancel"),
        ("POST", "/run"),
        ("GET", "/runs"),
        ("GET", "/upcoming"),
        ("GET", "/kv"),
        ("GET", "/kv/a"),
        ("DELETE", "/kv/a"),
    ):
        options: dict[str, Any] = {"json": {}} if method == "PATCH" else {}
        problem(api.call(method, f"/v1/tasks/gone{path}", **options), 404, "not-found")
    problem(api.put("/v1/tasks/gone/kv/a", json={"value": 1}), 404, "not-found")


def test_a_task_shows_its_last_run(api: Api) -> None:
    api.task("t", input={"a": 1})
    ended = api.ended(api.run("t"))

    task = api.read("/v1/tasks/t")

    fields = ("id", "status", "scheduled_for", "finished_at")
    assert task["last_run"] == {field: ended[field] for field in fields}
    assert task["last_success_at"] == ended["finished_at"]
    assert task["consecutive_failures"] == 0


def test_failures_in_a_row_are_counted(api: Api) -> None:
    api.task("t", handler="refuse")

    for _ in range(2):
        api.ended(api.run("t"))
    failed = api.read("/v1/tasks/t")
    api.task("t")
    api.ended(api.run("t"))

    assert (failed["consecutive_failures"], failed["last_success_at"]) == (2, None)
    assert failed["last_run"]["status"] == "failed"
    assert api.read("/v1/tasks/t")["consecutive_failures"] == 0


# ------------------------------------------------------------------------------------------------------ DELETE
def test_a_task_is_deleted_with_its_runs_and_kv_and_its_name_is_free(api: Api) -> None:
    before = api.task("t")
    ended = api.ended(api.run("t"))
    api.put("/v1/tasks/t/kv/a", json={"value": 1})

    answer = api.delete("/v1/tasks/t")

    assert (answer.status_code, answer.content) == (204, b"")
    problem(api.get("/v1/tasks/t"), 404, "not-found")
    problem(api.get(f"/v1/runs/{ended['id']}"), 404, "not-found")
    assert api.items("/v1/runs") == []
    after = api.task("t")
    assert after["id"] != before["id"]
    assert api.items("/v1/tasks/t/kv") == api.items("/v1/tasks/t/runs") == []


def test_deleting_a_task_that_runs_ends_its_run(api: Api) -> None:
    api.task("t", handler="hold")
    run = api.run("t")
    wait_entered("t")

    assert api.delete("/v1/tasks/t").status_code == 204

    problem(api.get(f"/v1/runs/{run['id']}?wait=5"), 404, "not-found")
    problem(api.delete("/v1/tasks/t"), 404, "not-found")
