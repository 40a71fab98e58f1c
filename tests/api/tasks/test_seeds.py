"""Entries of the kv that come with a registration: `"kv": {"cursor": 0}`."""

from typing import Any

import pytest

from tests.api.marks import on_both, shares_service
from tests.api.service import MANUAL, Api, pointers

pytestmark = on_both

TASK = {"handler": "echo", "schedule": MANUAL, "kv": {"cursor": 0}}


def entries(api: Api, name: str = "t") -> dict[str, Any]:
    found = api.get(f"/v1/tasks/{name}/kv").json()["items"]
    return {each["key"]: each["value"] for each in found}


def test_a_registration_seeds_its_table_and_does_not_show_it(api: Api) -> None:
    made = api.post("/v1/tasks", json=TASK | {"name": "t", "kv": {"cursor": 5.0, "a": None}})

    assert made.status_code == 201
    assert "kv" not in made.json()
    assert entries(api) == {"a": None, "cursor": 5.0}
    (first, *_) = api.get("/v1/tasks/t/kv").json()["items"]
    assert (first["version"], first["updated_by"]) == (1, made.json()["status_changed_by"])


def test_an_unchanged_declaration_stays_unchanged_and_seeds_missing_entries(api: Api) -> None:
    api.put("/v1/tasks/t", json=TASK)
    api.put("/v1/tasks/t/kv/cursor", json={"value": 9})

    again = api.put("/v1/tasks/t", json=TASK | {"kv": {"cursor": 1, "more": 2}}).json()

    assert (again["outcome"], again["generation"]) == ("unchanged", 1)
    assert entries(api) == {"cursor": 9, "more": 2}


def test_a_read_task_can_be_declared_again(api: Api) -> None:
    api.put("/v1/tasks/t", json=TASK)
    shown = api.get("/v1/tasks/t").json()

    again = api.put("/v1/tasks/t", json=shown)

    assert (again.status_code, again.json()["outcome"]) == (200, "unchanged")
    assert "kv" not in shown


def test_a_patch_can_seed(api: Api) -> None:
    api.put("/v1/tasks/t", json=TASK)

    patched = api.patch("/v1/tasks/t", json={"priority": 3, "kv": {"cursor": 7, "new": 1}})

    assert patched.json()["priority"] == 3
    assert entries(api) == {"cursor": 0, "new": 1}


def test_a_batch_seeds_each_of_its_tasks(api: Api) -> None:
    items = [TASK | {"name": "a"}, TASK | {"name": "b", "kv": {"x": [1]}}]

    assert api.post("/v1/tasks/batch", json={"items": items}).status_code == 201

    assert (entries(api, "a"), entries(api, "b")) == ({"cursor": 0}, {"x": [1]})


WRONG: list[tuple[Any, str]] = [
    ({"_result": 1}, "/kv/_result"),
    ({"export": 1}, "/kv/export"),
    ({"a b": 1}, "/kv/a b"),
    ({"big": "x" * 300_000}, "/kv/big"),
    ([1], "/kv"),
    (None, "/kv"),
    ({f"k{number}": 0 for number in range(1_001)}, "/kv"),
]


@shares_service
@pytest.mark.parametrize(("kv", "pointer"), WRONG)
def test_a_registration_with_an_invalid_seed_is_refused(api: Api, kv: Any, pointer: str) -> None:
    refused = [
        api.post("/v1/tasks", json=TASK | {"name": "t", "kv": kv}),
        api.put("/v1/tasks/t", json=TASK | {"kv": kv}),
    ]
    items = [TASK | {"name": "a"}, TASK | {"name": "t", "kv": kv}]
    batch = api.post("/v1/tasks/batch", json={"items": items})

    assert [each.status_code for each in (*refused, batch)] == [422, 422, 422]
    assert [pointers(each) for each in refused] == [[pointer], [pointer]]
    assert pointers(batch) == [f"/items/1{pointer}"]
    assert api.names() == []


def test_an_error_of_a_seed_that_does_not_fit_the_schema_points_into_its_value(api: Api) -> None:
    schema = {"cursor": {"type": "object", "properties": {"id": {"type": "integer"}}}}
    task = TASK | {"kv_schema": schema, "kv": {"cursor": {"id": "1"}}}

    refused = api.put("/v1/tasks/t", json=task)

    assert (refused.status_code, pointers(refused)) == (422, ["/kv/cursor/id"])
    assert api.names() == []


HTTP = {"handler": "http", "schedule": MANUAL}


@shares_service
@pytest.mark.parametrize(
    ("target", "pointer"),
    [
        ({"kv": ["a b"]}, "/target/kv/0"),
        ({"kv": "cursor"}, "/target/kv"),
        ({"kv": ["cursor"], "body": {"a": "{{ kv.curser }}"}}, "/target/body/a"),
        ({"kv": ["cursor"], "query": {"a": "{{ kv"}}, "/target/query/a"),
        ({"kv": ["cursor"], "headers": {"a": "{{ result.body }}"}}, "/target/headers/a"),
        ({"body": {"items": [1, 2, 3, "{{ input.a | upper }}"]}}, "/target/body/items/3"),
        ({"body": {"a/b": "{{ 'a' * 10**9 }}"}}, "/target/body/a~1b"),
        ({"headers": {"X-Day": "{{ input.__class__ }}"}}, "/target/headers/X-Day"),
        ({"query": {"q": "{{ for a in input }}{{ for b in a }}"}}, "/target/query/q"),
        ({"url": "http://{{ input.host }}/"}, "/target/url"),
        ({"body": "{{ secret.crm }}"}, "/target/body"),
        ({"headers": {"Webhook-Id": "x"}}, "/target/headers/Webhook-Id"),
        ({"body_format": "form", "body": {"a": {}}}, "/target/body/a"),
        ({"body_format": "text"}, "/input"),
        ({"kv_set": {"_a": 1}}, "/target/kv_set/_a"),
        ({"kv_set": {"a": "{{ result.bdy }}"}}, "/target/kv_set/a"),
        ({"kv_set": {"a": {"b": "{{ kv.cursor }}"}}}, "/target/kv_set/a/b"),
    ],
)
def test_a_target_with_invalid_templates_is_refused(
    api: Api, target: dict[str, Any], pointer: str
) -> None:
    url = {"url": "http://127.0.0.1:9/"}

    refused = api.put("/v1/tasks/t", json=HTTP | {"input": {}, "target": url | target})

    assert (refused.status_code, pointers(refused)) == (422, [pointer]), refused.text


def test_a_target_with_templates_is_returned_as_it_was_sent(api: Api) -> None:
    target = {
        "url": "http://127.0.0.1:9/",
        "method": "GET",
        "kv": ["cursor", "seen:*"],
        "query": {"since": "{{ kv.cursor }}"},
        "kv_set": {"cursor": "{{ result.body.next }}", "fixed": 5.0},
    }
    made = api.put("/v1/tasks/t", json=HTTP | {"target": target}).json()

    shown = api.get("/v1/tasks/t").json()

    assert {name: shown["target"][name] for name in target} == target
    assert api.put("/v1/tasks/t", json=shown).json()["outcome"] == "unchanged"
    assert made["generation"] == 1
