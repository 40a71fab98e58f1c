"""Wrong parameters, headers, names and bodies of actions: a 422 problem that names the fault."""

from typing import Any

import pytest

from tests.api.bad_input.requests import TASK, on_both, post
from tests.api.service import Api, pointers, problem

pytestmark = on_both


@pytest.mark.parametrize(
    ("path", "parameter", "expected"),
    [
        ("/v1/tasks?limit=x", "limit", "give a whole number, not 'x'"),
        ("/v1/tasks?limit=201", "limit", "give at most 200"),
        ("/v1/tasks?statuss=active", "statuss", "did you mean 'status'?"),
        ("/v1/tasks?status=activ", "status", "did you mean 'active'?"),
        ("/v1/tasks?cursor=x", "cursor", "start again without it"),
        ("/v1/tasks?name_prefix=-", "name_prefix", "the beginning of a name"),
        ("/v1/tasks?tag=%00", "tag", "NUL"),
        ("/v1/runs?trigger=manul", "trigger", "did you mean 'manual'?"),
        ("/v1/runs?backfill_id=x", "backfill_id", "not an id"),
        ("/v1/runs?scheduled_from=x", "scheduled_from", "RFC 3339"),
        ("/v1/runs?cursor=WyJ4IiwieCJd", "cursor", "start again without it"),
        ("/v1/runs/x", "id", "give an id as Rota gives them"),
        ("/v1/tasks/t/upcoming?count=0", "count", "at least 1"),
        ("/v1/tasks/t/kv?include=all", "include", "'values' or 'keys'"),
        ("/v1/tasks/t/kv?watch=a&limit=5", "watch", "leave 'limit' out"),
        ("/v1/tasks/t/kv?watch=a/b", "watch", "give keys"),
        ("/v1/tasks/t/kv?at=x", "at", "RFC 3339"),
        ("/v1/tasks/t/kv/a%20b", "key", "1 to 255 letters"),
        ("/v1/events?type=x", "type", "is none of"),
    ],
)
def test_a_wrong_parameter_is_named(api: Api, path: str, parameter: str, expected: str) -> None:
    refused = api.get(path)

    assert refused.status_code == 422
    [fault] = refused.json()["errors"]
    assert fault["parameter"] == parameter
    assert expected in fault["detail"]


@pytest.mark.parametrize(
    ("method", "path", "header", "value"),
    [
        ("POST", "/v1/tasks/t/run", "Idempotency-Key", "ü"),
        ("GET", "/v1/events", "Last-Event-ID", "x"),
        ("GET", "/v1/tasks/t/kv?watch=", "Last-Event-ID", "x"),
    ],
)
def test_a_wrong_header_is_named(api: Api, method: str, path: str, header: str, value: str) -> None:
    refused = api.call(method, path, headers={header.encode(): value.encode()})

    problem(refused, 422, "invalid-header")
    assert pointers(refused) == [header]


@pytest.mark.parametrize(
    "name", ["%20", "a%20b", ".a", "ü", "x" * 129, "%00", "a%0A", "batch", "run"]
)
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_names_in_paths_are_checked_too(api: Api, name: str, method: str) -> None:
    options = {"json": TASK} if method in {"PUT", "PATCH"} else {}

    refused = api.call(method, f"/v1/tasks/{name}", **options)

    problem(refused, 422, "invalid")
    assert pointers(refused) == ["name"]


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("pause", {"reason": 5}, "/reason"),
        ("pause", {"reason": "x" * 1_001}, "/reason"),
        ("pause", {"because": "x"}, "/because"),
        ("pause", [], ""),
        ("resume", {"catch_up": "most"}, "/catch_up"),
        ("resume", {"from": 1}, "/from"),
        ("run", {"inputs": {}}, "/inputs"),
        ("run", [], ""),
        ("run", "now", ""),
    ],
)
def test_bodies_of_actions_are_checked(api: Api, path: str, body: Any, pointer: str) -> None:
    refused = post(api, body, f"/v1/tasks/t/{path}")

    problem(refused, 422, "invalid")
    assert pointers(refused) == [pointer]
