"""PATCH /v1/tasks/{name}: merge patches."""

from typing import Any

import pytest

from tests.api.marks import on_both, shares_service
from tests.api.service import MANUAL, Api, pointers, problem
from tests.api.tasks.test_declaration import patch, put

pytestmark = on_both


def test_a_patch_changes_the_fields_that_it_has(api: Api) -> None:
    before = api.task("t", input={"a": 1, "b": {"c": 2, "d": 3}}, tags=["x"])

    answer = patch(api, {"input": {"b": {"c": 9, "d": None}, "e": []}, "tags": ["y"]})

    made = answer.json()
    assert (answer.status_code, made["outcome"], made["generation"]) == (200, "updated", 2)
    assert made["input"] == {"a": 1, "b": {"c": 9}, "e": []}
    assert made["tags"] == ["y"]
    unchanged = before.keys() - {"input", "tags", "generation", "updated_at"}
    assert {field: made[field] for field in unchanged} == {
        field: before[field] for field in unchanged
    }


def test_null_resets_a_field_to_its_default(api: Api) -> None:
    fields: dict[str, Any] = {"handler": "greet", "input": {"name": "Ada"}, "timeout": 60}
    api.task("t", **fields, priority=5, retry={"max_attempts": 9, "jitter": False})

    made = patch(api, {"priority": None, "timeout": None, "retry": {"max_attempts": None}}).json()

    assert (made["priority"], made["timeout"]) == (0, 7)
    assert (made["retry"]["max_attempts"], made["retry"]["jitter"]) == (3, False)


def test_a_patch_of_the_schedule_is_merged_too(api: Api) -> None:
    api.task("t", schedule={"type": "cron", "expression": "0 9 * * *", "timezone": "Asia/Tokyo"})

    made = patch(api, {"schedule": {"expression": "0 10 * * *"}}).json()

    assert made["schedule"]["expression"] == "0 10 * * *"
    assert made["schedule"]["timezone"] == "Asia/Tokyo"
    assert made["next_fire_at"][11:19] == "01:00:00"


def test_a_patch_to_another_kind_of_schedule_replaces_it(api: Api) -> None:
    cron = {"type": "cron", "expression": "0 9 * * *", "timezone": "Asia/Tokyo", "jitter": 5}
    api.task("t", schedule=cron)

    made = patch(api, {"schedule": {"type": "interval", "every": "5m"}}).json()

    assert made["schedule"] == {"type": "interval", "every": 300, "mode": "fixed_rate"}
    back = patch(api, {"schedule": {"type": "cron", "expression": "0 9 * * *"}}).json()
    assert back["schedule"] == {"type": "cron", "expression": "0 9 * * *", "timezone": "UTC"}


def test_a_patch_that_names_the_present_kind_of_schedule_is_merged(api: Api) -> None:
    api.task("t", schedule={"type": "cron", "expression": "0 9 * * *", "timezone": "Asia/Tokyo"})

    made = patch(api, {"schedule": {"type": "cron", "expression": "0 10 * * *"}}).json()

    assert made["schedule"]["timezone"] == "Asia/Tokyo"


def test_an_error_of_a_schedule_of_another_kind_points_into_the_patch(api: Api) -> None:
    api.task("t", schedule={"type": "cron", "expression": "0 9 * * *"})

    refused = patch(api, {"schedule": {"type": "interval", "every": "5 minutes"}})

    problem(refused, 422, "invalid")
    assert pointers(refused) == ["/schedule/every"]


def test_a_default_does_not_limit_a_given_value(api: Api) -> None:
    made = api.task("t", retry={"initial_interval": "2h"})

    again = put(api, {"handler": "echo", "schedule": MANUAL, "retry": {"initial_interval": 7200}})
    back = put(api, made)
    patched = patch(api, {"retry": {"initial_interval": "3h"}}).json()
    refused = patch(api, {"retry": {"initial_interval": "3h", "max_interval": "1h"}})

    assert made["retry"]["max_interval"] == 7200
    assert (again.json()["outcome"], back.json()["outcome"]) == ("unchanged", "unchanged")
    assert (patched["retry"]["initial_interval"], patched["retry"]["max_interval"]) == (10800,) * 2
    problem(refused, 422, "invalid")
    assert set(pointers(refused)) == {"/retry/initial_interval", "/retry/max_interval"}


def test_an_empty_patch_changes_nothing(api: Api) -> None:
    before = api.task("t")

    assert patch(api, {}).json()["outcome"] == "unchanged"
    assert api.read("/v1/tasks/t") == before


def test_the_media_type_of_a_merge_patch_is_accepted(api: Api) -> None:
    api.task("t")
    headers = {"Content-Type": "application/merge-patch+json"}

    answer = api.patch("/v1/tasks/t", content=b'{"priority":4}', headers=headers)

    assert answer.json()["priority"] == 4


@shares_service
@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"priority": "high"}, "/priority"),
        ({"schedule": {"every": "1 week"}}, "/schedule/every"),
        ({"schedule": None}, "/schedule"),
        ({"handler": None}, "/handler"),
        ({"handler": "nobody"}, "/handler"),
        ({"handler": "greet"}, "/input"),
        ({"unknown": 1}, "/unknown"),
        ({"status": "paused"}, "/status"),
        ({"name": "u"}, "/name"),
        ({"target": {"url": "http://x"}}, "/target"),
    ],
)
def test_a_patch_with_an_invalid_result_is_refused(api: Api, body: Any, pointer: str) -> None:
    api.task("t", schedule={"type": "interval", "every": "30d"})
    before = api.read("/v1/tasks/t")

    refused = patch(api, body)

    assert refused.status_code == 422
    assert pointer in pointers(refused)
    assert api.read("/v1/tasks/t") == before


@shares_service
@pytest.mark.parametrize("body", [[], "text", 7, None])
def test_a_patch_is_an_object(api: Api, body: Any) -> None:
    api.task("t")

    assert patch(api, body).status_code == 422


def test_parallel_patches_of_different_fields_all_take_effect(api: Api) -> None:
    api.task("t")
    keys = [f"k{number}" for number in range(8)]

    calls = [("PATCH", "/v1/tasks/t", {"json": {"input": {key: 1}}}) for key in keys]
    answers = api.together(calls)

    assert {answer.status_code for answer in answers} == {200}
    assert api.read("/v1/tasks/t")["input"] == dict.fromkeys(keys, 1)


def test_a_patch_does_not_unpause_and_names_the_request_that_does(api: Api) -> None:
    api.task("t", paused=True)

    refused = patch(api, {"paused": False})

    problem(refused, 422, "invalid")
    assert pointers(refused) == ["/paused"]
    assert "/v1/tasks/t/resume" in refused.json()["detail"]


def test_a_patch_does_not_revive_a_cancelled_task(api: Api) -> None:
    api.task("t")
    api.post("/v1/tasks/t/cancel")

    problem(patch(api, {"description": "typo"}), 409, "wrong-status")

    assert api.read("/v1/tasks/t")["status"] == "cancelled"
