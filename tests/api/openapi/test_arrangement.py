"""What a reader of the documentation page meets first, and that its examples are what comes back."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.marks import shares_service
from tests.api.service import Api

pytestmark = shares_service


@pytest.fixture
def document(api: Api) -> dict[str, Any]:
    return api.read("/openapi.json")


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


def test_an_entry_may_be_read_as_bytes_of_any_type(api: Api, document: dict[str, Any]) -> None:
    api.task("of-bytes")
    path = "/v1/tasks/of-bytes/kv/k"
    api.put(path, content="text", headers={"content-type": "text/plain; charset=utf-8"})

    read = document["paths"]["/v1/tasks/{name}/kv/{key}"]["get"]["responses"]["200"]

    assert api.get(path).headers["content-type"] == "text/plain; charset=utf-8"
    assert read["content"].keys() == {"application/json", "*/*"}
    assert "$ref" in read["content"]["application/json"]["schema"]


def test_tasks_come_before_their_kv_and_that_begins_with_its_entries(
    document: dict[str, Any],
) -> None:
    assert [tag["name"] for tag in document["tags"]][:3] == ["tasks", "runs", "kv"]
    kv = [path for path in document["paths"] if path.startswith("/v1/tasks/{name}/kv")]
    assert kv[:2] == ["/v1/tasks/{name}/kv", "/v1/tasks/{name}/kv/{key}"]
    assert kv[-2:] == ["/v1/tasks/{name}/kv/export", "/v1/tasks/{name}/kv/import"]
    assert len(kv) == 7


def test_a_name_is_the_first_field(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]

    assert next(iter(schemas["TaskIn"]["properties"])) == "name"
    assert list(schemas["TaskOut"]["properties"])[:2] == ["id", "name"]
    assert list(schemas["RegistrationOut"]["properties"])[:2] == ["id", "name"]


def test_only_what_needs_a_key_has_a_lock(document: dict[str, Any]) -> None:
    open_ones = {
        name for name, operation in operations(document) if operation.get("security") == []
    }

    assert open_ones == {
        *("GET /healthz", "GET /readyz"),
        *("POST /v1/runs/{id}/complete", "POST /v1/runs/{id}/heartbeat"),
    }
    assert document["security"] == [{"key": []}, {}]


def test_summaries_are_plain_text(document: dict[str, Any]) -> None:
    assert [name for name, operation in operations(document) if "`" in operation["summary"]] == []


def test_every_response_says_what_it_has(document: dict[str, Any]) -> None:
    told = [
        response["description"]
        for _, operation in operations(document)
        for response in operation["responses"].values()
    ]

    assert "Successful Response" not in told
    registered = document["paths"]["/v1/tasks"]["post"]["responses"]["201"]
    assert registered["description"] == "A task, and what a registration did to it."


def test_schemas_are_folded(api: Api) -> None:
    assert '"defaultModelsExpandDepth": 0' in api.get("/docs").text


def test_a_registration_is_offered_for_each_common_kind(document: dict[str, Any]) -> None:
    content = document["paths"]["/v1/tasks"]["post"]["requestBody"]["content"]["application/json"]

    kinds = [summary.partition(":")[0] for summary in content["examples"]]

    assert kinds == ["once", "cron", "http with state", "chain", "poller", "reminder"]


def test_the_examples_of_a_task_are_what_comes_back(api: Api, document: dict[str, Any]) -> None:
    [registered] = document["components"]["schemas"]["RegistrationOut"]["examples"]
    [read] = document["components"]["schemas"]["TaskOut"]["examples"]
    sent = {name: registered[name] for name in ("name", "input", "schedule")}

    made = api.post("/v1/tasks?on_conflict=replace", json=sent | {"handler": "echo"}).json()

    assert made.keys() == registered.keys()
    assert api.read("/v1/tasks/greet").keys() == read.keys()
    for name in ("schedule", "retry", "retention", "timeout", "status", "queue", "badge"):
        assert made[name] == registered[name]
