"""Schemas of a task's kv over HTTP."""

from typing import Any

import pytest

from tests.api.service import Api, pointers, problem

SCHEMA: dict[str, Any] = {
    "user:*": {"type": "object", "properties": {"age": {"type": "integer"}}},
    "*": False,
}


@pytest.fixture(autouse=True)
def task(api: Api) -> dict[str, Any]:
    return api.task("t", handler="count", kv_schema=SCHEMA)


def test_a_task_shows_its_schema_and_takes_it_back(api: Api, task: dict[str, Any]) -> None:
    again = api.put("/v1/tasks/t", json=task).json()

    assert task["kv_schema"] == SCHEMA
    assert (again["outcome"], again["generation"]) == ("unchanged", task["generation"])


def test_a_value_that_does_not_fit_is_refused_where_it_does_not(api: Api) -> None:
    wrong = {"value": {"age": "old"}}

    answer = api.put("/v1/tasks/t/kv/user:1", json=wrong)

    problem(answer, 422, "kv-schema")
    assert pointers(answer) == ["/value/age"]
    assert "'user:1'" in answer.json()["detail"]
    assert api.items("/v1/tasks/t/kv") == []


def test_a_transaction_points_at_the_operation_and_into_its_value(api: Api) -> None:
    operations = [
        {"op": "set", "key": "user:1", "value": {"age": 1}},
        {"op": "set", "key": "user:2", "value": {"age": None}},
    ]

    answer = api.post("/v1/tasks/t/kv/transaction", json={"operations": operations})

    problem(answer, 422, "kv-schema")
    assert pointers(answer) == ["/operations/1/value/age"]
    assert api.items("/v1/tasks/t/kv") == []


def test_an_import_points_at_the_line(api: Api) -> None:
    lines = b'{"key":"user:1","value":{}}\n\n{"key":"other","value":1}\n'

    answer = api.post(
        "/v1/tasks/t/kv/import", content=lines, headers={"content-type": "application/x-ndjson"}
    )

    problem(answer, 422, "kv-schema")
    assert pointers(answer) == ["/3/value"]
    assert api.items("/v1/tasks/t/kv") == []


def test_bytes_are_refused_by_a_schema_of_json(api: Api) -> None:
    answer = api.put(
        "/v1/tasks/t/kv/user:1", content=b"\x00", headers={"content-type": "image/png"}
    )

    problem(answer, 422, "kv-schema")


def test_a_schema_that_is_none_is_refused_at_registration(api: Api) -> None:
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
