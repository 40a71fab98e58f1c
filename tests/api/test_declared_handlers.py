"""Handlers for workers outside over HTTP: declared, read, checked against, removed."""

import socket
from typing import Any

import pytest

from tests.api.marks import on_both, shares_service
from tests.api.service import MANUAL, Api, pointers, problem

SCHEMA = {"type": "object", "required": ["file"], "properties": {"file": {"type": "string"}}}


def declare(api: Api, name: str = "resize", **body: Any) -> Any:
    return api.put(f"/v1/handlers/{name}", json=body)


def register(api: Api, **fields: Any) -> Any:
    body = {"handler": "resize", "schedule": MANUAL, "input": {"file": "a.png"}} | fields
    return api.put("/v1/tasks/t", json=body)


@on_both
def test_a_handler_is_declared_read_and_listed(api: Api) -> None:
    made = declare(api, description="Makes previews.", input_schema=SCHEMA, timeout="1m")
    again = declare(api, **made.json())

    assert (made.status_code, again.status_code) == (201, 200)
    assert made.json() == again.json() == api.read("/v1/handlers/resize")
    assert made.json() | {"updated_at": None} == {
        "name": "resize",
        "description": "Makes previews.",
        "input_schema": SCHEMA,
        "timeout": 60,
        "isolation": "outside",
        "updated_at": None,
    }
    assert made.json() in api.items("/v1/handlers")


@on_both
def test_registrations_and_runs_are_checked_against_the_declaration(api: Api) -> None:
    unknown = register(api)
    declare(api, input_schema=SCHEMA, timeout="1m")
    refused = register(api, input={})
    made = register(api)
    run = api.post("/v1/tasks/t/run", json={"input": {"file": 1}})

    problem(unknown, 422, "unknown-handler")
    problem(refused, 422, "invalid-input")
    assert made.status_code == 201
    assert made.json()["timeout"] == 60
    assert pointers(run) == ["/input/file"]
    assert not [each for each in made.json()["warnings"] if "handler" in each["code"]]


def test_a_changed_declaration_counts_at_once(api: Api) -> None:
    declare(api)
    assert register(api, input={}).status_code == 201

    declare(api, input_schema=SCHEMA)

    problem(register(api, input={}), 422, "invalid-input")


@pytest.mark.parametrize("name", ["http", "echo"])
def test_the_name_of_what_the_service_executes_is_refused(api: Api, name: str) -> None:
    before = api.read(f"/v1/handlers/{name}")

    refused = declare(api, name)

    assert "A replica serves" in problem(refused, 409, "conflict")["detail"]
    assert api.read(f"/v1/handlers/{name}") == before


@on_both
def test_a_handler_is_removed_when_no_task_names_it(api: Api) -> None:
    declare(api)
    register(api)

    used = api.delete("/v1/handlers/resize")
    register(api, handler="echo")
    gone = api.delete("/v1/handlers/resize")

    assert "1 task names the handler 'resize'" in problem(used, 409, "conflict")["detail"]
    assert gone.status_code == 204
    problem(api.get("/v1/handlers/resize"), 404, "not-found")
    problem(api.delete("/v1/handlers/resize"), 404, "not-found")
    problem(api.delete("/v1/handlers/echo"), 409, "conflict")
    problem(register(api), 422, "unknown-handler")


@shares_service
@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://127.0.0.1:{port}/schema.json"},
        {"properties": {"a": {"$ref": "http://127.0.0.1:{port}/schema.json#/a"}}},
        {"$ref": "file:///etc/hostname"},
        {"$schema": "http://127.0.0.1:{port}/meta.json"},
        {"$id": "http://127.0.0.1:{port}/", "$ref": "other.json"},
        {"type": "nonsense"},
    ],
)
def test_no_schema_makes_a_connection_or_reads_a_file(api: Api, schema: dict[str, Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        port = server.getsockname()[1]
        refused = declare(api, "fetching", input_schema=_filled(schema, port))
        with pytest.raises(BlockingIOError):
            server.accept()

    problem(refused, 422, "invalid")
    assert pointers(refused) == ["/input_schema"]
    problem(api.get("/v1/handlers/fetching"), 404, "not-found")


def _filled(schema: Any, port: int) -> Any:
    if isinstance(schema, dict):
        return {key: _filled(value, port) for key, value in schema.items()}
    return schema.replace("{port}", str(port)) if isinstance(schema, str) else schema


@shares_service
@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"input_schema": []}, "/input_schema"),
        ({"timeout": 0}, "/timeout"),
        ({"name": "other"}, "/name"),
        ({"handler": "x"}, "/handler"),
        ({"description": "x" * 2_001}, "/description"),
    ],
)
def test_what_is_wrong_with_a_declaration_is_said(
    api: Api, body: dict[str, Any], pointer: str
) -> None:
    assert pointers(api.put("/v1/handlers/wrong", json=body)) == [pointer]
