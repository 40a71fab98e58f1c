"""/v1/keys: what a key is made with, and what is shown of it."""

from typing import Any

import pytest

from tests.api.keys.clients import UNKNOWN, later, made
from tests.api.service import Api, pointers, problem


def test_a_key_is_shown_once_with_its_secret(api: Api) -> None:
    answer = api.post("/v1/keys", json={"name": "CI", "scopes": ["tasks:read"]})

    key = answer.json()
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["location"] == f"/v1/keys/{key['id']}"
    assert key["key"].startswith(f"rota_{key['id']}_")
    read = api.read(f"/v1/keys/{key['id']}")
    assert read == {name: value for name, value in key.items() if name != "key"}
    assert (read["name"], read["status"], read["created_by"]) == ("CI", "active", "key:1")
    assert (read["tasks"], read["queues"], read["rate"], read["expires_at"]) == (None,) * 4
    secret = key["key"].rpartition("_")[2]
    assert secret not in api.get("/v1/keys").text


def test_a_key_is_made_with_all_that_limits_it(api: Api) -> None:
    limits = {
        "scopes": ["work", "runs:read"],
        "tasks": ["billing-", "crm-"],
        "queues": ["mail"],
        "rate": 2.5,
        "max_tasks": 10,
        "max_unfinished_runs": 20,
        "max_kv_bytes": 5_000_000_000,
        "expires_at": later(api, days=90),
    }
    key = made(api, **{"scopes": [], **limits})

    read = api.read(f"/v1/keys/{key['id']}")
    assert {name: read[name] for name in limits} == limits | {"scopes": ["runs:read", "work"]}


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"name": ""}, "/name"),
        ({"name": "x" * 101}, "/name"),
        ({"name": "line\nline"}, "/name"),
        ({"name": "\x1b[31mred"}, "/name"),
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["tasks"]}, "/scopes/0"),
        ({"tasks": []}, "/tasks"),
        ({"tasks": [""]}, "/tasks/0"),
        ({"tasks": ["billing-*"]}, "/tasks/0"),
        ({"queues": ["-mail"]}, "/queues/0"),
        ({"rate": 0}, "/rate"),
        ({"rate": "5"}, "/rate"),
        ({"max_tasks": 0}, "/max_tasks"),
        ({"max_unfinished_runs": 2.5}, "/max_unfinished_runs"),
        ({"max_kv_bytes": "1 GB"}, "/max_kv_bytes"),
        ({"expires_at": "tomorrow"}, "/expires_at"),
        ({"secret": "mine"}, "/secret"),
    ],
)
def test_what_no_key_can_be_made_with_is_refused(api: Api, wrong: Any, pointer: str) -> None:
    body = {"name": "CI", "scopes": ["tasks:read"]} | wrong

    assert pointers(api.post("/v1/keys", json=body)) == [pointer]


def test_a_star_behind_a_prefix_is_recognised(api: Api) -> None:
    body = {"name": "CI", "scopes": ["tasks:read"], "tasks": ["billing-*"]}

    assert (
        "leave the '*' out: 'billing-'"
        in problem(api.post("/v1/keys", json=body), 422, "invalid")["detail"]
    )


@pytest.mark.parametrize("limit", ["tasks", "queues"])
def test_an_administrator_is_not_limited_to_names(api: Api, limit: str) -> None:
    body = {"name": "CI", "scopes": ["admin"], limit: ["billing-"]}

    assert pointers(api.post("/v1/keys", json=body)) == [f"/{limit}"]


def test_a_key_expires_ahead(api: Api) -> None:
    body = {"name": "CI", "scopes": ["work"], "expires_at": "2026-01-01T00:00:00Z"}

    problem(api.post("/v1/keys", json=body), 422, "time-in-the-past")


@pytest.mark.parametrize("path", ["/v1/keys", f"/v1/keys/{UNKNOWN}/rotate"])
def test_no_response_with_a_secret_is_replayed(api: Api, path: str) -> None:
    body = {} if path.endswith("rotate") else {"name": "CI", "scopes": ["work"]}
    before = [each["rotated_at"] for each in api.items("/v1/keys?limit=200")]

    refused = api.post(path, json=body, headers={"Idempotency-Key": "once"})

    problem(refused, 422, "invalid-header")
    # Not whole items: the use of a key is stored in the background.
    assert [each["rotated_at"] for each in api.items("/v1/keys?limit=200")] == before


def test_keys_are_listed_by_pages(api: Api) -> None:
    expected = [made(api, "work")["id"] for _ in range(3)]

    found: list[str] = []
    cursor = ""
    while True:
        page = api.read(f"/v1/keys?limit=2{cursor}")
        found += [key["id"] for key in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert found[-3:] == expected
    assert len(found) == len(set(found))


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("DELETE", ""), ("POST", "/rotate")],
)
def test_a_key_that_does_not_exist_is_not_found(api: Api, method: str, path: str) -> None:
    problem(api.call(method, f"/v1/keys/{UNKNOWN}{path}"), 404, "not-found")
    problem(api.call(method, f"/v1/keys/UPPER{path}"), 422, "invalid")
