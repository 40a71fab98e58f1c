"""Schemas of a task's kv over HTTP."""

import json
import time
from typing import Any

import pytest

from rota.domain.kv import schemas as kv_schemas
from tests.api.marks import shares_service
from tests.api.service import Api, pointers, problem

SCHEMA: dict[str, Any] = {
    "user:*": {"type": "object", "properties": {"age": {"type": "integer"}}},
    "*": False,
}


@pytest.fixture(autouse=True)
def task(api: Api) -> dict[str, Any]:
    return api.task("t", handler="count", kv_schema=SCHEMA)


def test_a_task_shows_its_schema_and_it_can_be_sent_back(api: Api, task: dict[str, Any]) -> None:
    again = api.put("/v1/tasks/t", json=task).json()

    assert task["kv_schema"] == SCHEMA
    assert (again["outcome"], again["generation"]) == ("unchanged", task["generation"])


@shares_service
def test_an_error_of_a_value_that_does_not_fit_points_into_it(api: Api) -> None:
    wrong = {"value": {"age": "old"}}

    answer = api.put("/v1/tasks/t/kv/user:1", json=wrong)

    problem(answer, 422, "kv-schema")
    assert pointers(answer) == ["/value/age"]
    assert "'user:1'" in answer.json()["detail"]
    assert api.items("/v1/tasks/t/kv") == []


@shares_service
def test_a_transaction_points_at_the_operation_and_into_its_value(api: Api) -> None:
    operations = [
        {"op": "set", "key": "user:1", "value": {"age": 1}},
        {"op": "set", "key": "user:2", "value": {"age": None}},
    ]

    answer = api.post("/v1/tasks/t/kv/transaction", json={"operations": operations})

    problem(answer, 422, "kv-schema")
    assert pointers(answer) == ["/operations/1/value/age"]
    assert api.items("/v1/tasks/t/kv") == []


@shares_service
def test_an_import_points_at_the_line(api: Api) -> None:
    lines = b'{"key":"user:1","value":{}}\n\n{"key":"other","value":1}\n'

    answer = api.post(
        "/v1/tasks/t/kv/import", content=lines, headers={"content-type": "application/x-ndjson"}
    )

    problem(answer, 422, "kv-schema")
    assert pointers(answer) == ["/3/value"]
    assert api.items("/v1/tasks/t/kv") == []


@shares_service
def test_bytes_are_refused_by_a_schema_of_json(api: Api) -> None:
    answer = api.put(
        "/v1/tasks/t/kv/user:1", content=b"\x00", headers={"content-type": "image/png"}
    )

    problem(answer, 422, "kv-schema")


@shares_service
def test_an_invalid_schema_is_refused_at_registration(api: Api) -> None:
    body = {"handler": "count", "schedule": {"type": "manual"}, "kv_schema": {"a": {"type": "x"}}}

    answer = api.put("/v1/tasks/u", json=body)

    problem(answer, 422, "invalid")
    assert pointers(answer) == ["/kv_schema/a"]


def test_a_run_whose_writes_do_not_fit_fails(api: Api) -> None:
    """The handler `count` writes the key `count`, which matches `*` only."""
    api.patch("/v1/tasks/t", json={"retry": {"max_attempts": 1}})

    ended = api.ended(api.run("t"))

    assert ended["status"] == "failed"
    assert ended["error"]["type"] == "kv.schema"


def test_a_patch_removes_a_pattern(api: Api) -> None:
    api.patch("/v1/tasks/t", json={"kv_schema": {"*": None}})

    assert api.put("/v1/tasks/t/kv/other", json={"value": 1}).status_code == 201


LARGE: dict[str, Any] = {"*": {"items": {"anyOf": [{"type": "integer"}] * 3_000}}}


def doubling(levels: int) -> dict[str, Any]:
    """Return a schema each of whose levels applies the next one twice."""
    below = {"allOf": [{"$ref": "#/$defs/0"}]}
    rungs = {
        str(level): {"allOf": [{"$ref": f"#/$defs/{level + 1}"}] * 2} for level in range(levels)
    }
    return {**below, "$defs": {**rungs, str(levels): {}}}


@shares_service
@pytest.mark.parametrize(
    "schema",
    [doubling(18), doubling(40), {"items": {"$ref": "#"}, "allOf": [{"$ref": "#"}] * 2}],
)
def test_a_schema_that_is_too_costly_is_refused_at_registration(
    api: Api, schema: dict[str, Any]
) -> None:
    body = {"handler": "count", "schedule": {"type": "manual"}, "kv_schema": {"a": schema}}

    answer = api.put("/v1/tasks/u", json=body)

    problem(answer, 422, "invalid")
    assert pointers(answer) == ["/kv_schema/a"]


def test_a_large_value_that_does_not_fit_is_refused_in_time(api: Api) -> None:
    api.patch("/v1/tasks/t", json={"kv_schema": {"user:*": None, **LARGE}})
    began = time.process_time()

    answer = api.put("/v1/tasks/t/kv/x", json={"value": ["x"] * 1_500})

    problem(answer, 422, "kv-schema")
    assert pointers(answer) == ["/value/0"]
    assert time.process_time() - began < 5


def test_a_value_that_is_too_costly_to_check_is_refused_with_the_limit(api: Api) -> None:
    api.patch("/v1/tasks/t", json={"kv_schema": {"user:*": None, **LARGE}})

    answer = api.put("/v1/tasks/t/kv/x", json={"value": [0] * 4_000})

    assert "10,000,000 steps" in problem(answer, 422, "kv-schema")["detail"]
    assert api.put("/v1/tasks/t/kv/x", json={"value": [0] * 1_000}).status_code == 201


def test_large_values_are_checked_the_same_in_every_request(api: Api) -> None:
    api.patch("/v1/tasks/t", json={"kv_schema": {"user:*": None, **LARGE}})
    value = [0] * 100
    operations = [
        {"op": "set", "key": "a", "value": value},
        {"op": "append", "key": "a", "value": 0},
    ]
    lines = json.dumps({"key": "b", "value": value}).encode()

    assert (
        api.post("/v1/tasks/t/kv/transaction", json={"operations": operations}).status_code == 200
    )
    ndjson = {"content-type": "application/x-ndjson"}
    assert api.post("/v1/tasks/t/kv/import", content=lines, headers=ndjson).status_code == 200
    seeded = {"handler": "count", "schedule": {"type": "manual"}, "kv_schema": LARGE}
    key = {"idempotency-key": "once"}
    made = api.post("/v1/tasks", json={"name": "u", "kv": {"a": value}, **seeded}, headers=key)
    assert made.status_code == 201
    assert len(api.read("/v1/tasks/t/kv/a")["value"]) == 101
    assert api.read("/v1/tasks/t/kv/b")["value"] == api.read("/v1/tasks/u/kv/a")["value"] == value


def test_a_schema_is_compiled_only_if_the_rest_of_the_body_is_valid(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[str] = []

    def compile_one(text: str, *, masked: bool) -> None:
        assert masked
        compiled.append(text)

    monkeypatch.setattr(kv_schemas, "compiled", compile_one)
    body = {"handler": "count", "schedule": {"type": "manual"}, "kv_schema": {"a": {"const": 7}}}

    problem(api.put("/v1/tasks/u", json={**body, "priority": "high"}), 422, "invalid")
    assert compiled == []
    assert api.put("/v1/tasks/u", json=body).status_code == 201
    assert len(compiled) == 1


def test_a_batch_has_a_hundred_different_schemas_at_most(api: Api) -> None:
    def items(count: int, different: int) -> list[dict[str, Any]]:
        plain = {"handler": "count", "schedule": {"type": "manual"}}
        return [
            {**plain, "name": f"n{number}", "kv_schema": {"a": {"const": number % different}}}
            for number in range(count)
        ]

    refused = api.post("/v1/tasks/batch", json={"items": items(101, 101)})

    assert "101 different kv_schemas" in problem(refused, 422, "invalid")["detail"]
    assert pointers(refused) == ["/items"]
    assert api.post("/v1/tasks/batch", json={"items": items(120, 100)}).status_code == 201
