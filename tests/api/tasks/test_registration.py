"""POST /v1/tasks: statuses, headers, the table of on_conflict, Idempotency-Key."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rota.api.tasks.views import UPCOMING
from tests.api.handlers import open_gate, wait_entered
from tests.api.marks import on_both, shares_service
from tests.api.service import MANUAL, YEARLY, Api, pointers, problem
from tests.support.factories import eventually

pytestmark = on_both

TASK = {"name": "t", "handler": "echo", "input": {"a": 1}, "schedule": YEARLY}
OTHER = TASK | {"input": {"a": 2}}


def post(api: Api, body: dict[str, Any], on_conflict: str | None = None) -> Any:
    query = f"?on_conflict={on_conflict}" if on_conflict else ""
    return api.post(f"/v1/tasks{query}", json=body)


def revive(api: Api, status: str) -> None:
    """Register the task `t` and bring it to a status."""
    schedule: dict[str, Any] = {"type": "once", "delay": 0} if status == "completed" else YEARLY
    assert post(api, TASK | {"schedule": schedule}).status_code == 201
    match status:
        case "paused":
            assert api.post("/v1/tasks/t/pause").status_code == 200
        case "cancelled":
            assert api.post("/v1/tasks/t/cancel").status_code == 200
        case "completed":
            run = until_one(api, "/v1/tasks/t/runs")
            api.ended(run)
        case _:
            pass
    assert api.read("/v1/tasks/t")["status"] == status


def until_one(api: Api, path: str) -> dict[str, Any]:
    found: dict[str, Any] = eventually(lambda: api.items(path))[0]
    return found


def test_a_registration_is_201_with_the_task_its_etag_and_its_location(api: Api) -> None:
    answer = post(api, TASK)

    assert answer.status_code == 201
    made = answer.json()
    assert answer.headers["location"] == "/v1/tasks/t"
    assert answer.headers["etag"] == f'"{made["id"]}.1"'
    assert (made["outcome"], made["applied"], made["warnings"]) == ("created", "immediately", [])
    assert made["upcoming"][0] == made["next_fire_at"]
    assert len(made["upcoming"]) == UPCOMING
    assert made["status"] == "active"
    assert made["last_run"] is None
    read = api.read("/v1/tasks/t")
    assert made | read == made


def test_defaults_are_filled_in_as_documented(api: Api) -> None:
    made = post(api, {"handler": "echo", "schedule": MANUAL}).json()

    assert made["name"].startswith("echo-")
    assert made["timeout"] == 300
    assert made["retry"] == {
        "max_attempts": 3,
        "backoff": "exponential",
        "initial_interval": 10,
        "multiplier": 2,
        "max_interval": 3600,
        "max_elapsed": None,
        "jitter": True,
    }
    assert made["retention"] == {"runs": 100, "age": 2592000}
    assert (made["misfire_policy"], made["overlap_policy"]) == ("run_once", "skip")
    assert (made["queue"], made["priority"], made["tags"]) == ("default", 0, [])
    assert (made["description"], made["input"], made["schedule"]) == ("", {}, MANUAL)


def test_the_timeout_of_a_handler_is_the_default_of_its_tasks(api: Api) -> None:
    body = {"handler": "greet", "input": {"name": "Ada"}, "schedule": MANUAL}

    assert post(api, body).json()["timeout"] == 7
    assert post(api, body | {"timeout": "1h"}).json()["timeout"] == 3600


def test_the_default_timeout_of_an_http_task_is_thirty_seconds(api: Api) -> None:
    target = {"url": "http://127.0.0.1:9/jobs"}

    made = post(api, {"handler": "http", "target": target, "schedule": MANUAL}).json()

    assert made["target"] == {
        "url": "http://127.0.0.1:9/jobs",
        "method": "POST",
        "kv": [],
        "headers": {},
        "query": {},
        "body": None,
        "body_format": "json",
        "auth": None,
        "signature": None,
        "async": False,
        "follow_redirects": 0,
        "timeout": 30,
        "success_codes": ["2xx"],
        "retry_codes": [408, 409, 425, 429, "5xx"],
        "kv_set": {},
    }


def test_a_registration_can_be_paused(api: Api) -> None:
    made = post(api, TASK | {"paused": True}).json()

    assert (made["status"], made["next_fire_at"]) == ("paused", None)
    assert len(made["upcoming"]) == UPCOMING


@shares_service
@pytest.mark.parametrize(
    "schedule",
    [
        {"type": "once", "at": "2999-12-24T17:30:00.000Z"},
        {"type": "once", "at": "2999-12-24T17:30:00", "timezone": "Europe/Berlin"},
        {"type": "once", "delay": 7200},
        {
            "type": "interval",
            "every": 900,
            "anchor": "2026-01-01T00:00:00.000Z",
            "mode": "fixed_rate",
        },
        {"type": "cron", "expression": "0 9 * * 1-5", "timezone": "Europe/Berlin"},
        {"type": "cron", "expression": "*/10 0 9 * * *", "timezone": "UTC"},
        {"type": "cron", "expression": "@hourly", "timezone": "UTC"},
        MANUAL,
    ],
)
def test_schedules_are_returned_as_sent(api: Api, schedule: dict[str, Any]) -> None:
    assert post(api, TASK | {"schedule": schedule}).json()["schedule"] == schedule
    api.delete("/v1/tasks/t")  # the service is shared


def test_times_and_durations_are_normalised(api: Api) -> None:
    once = {"type": "once", "at": "2999-12-24T17:30:00+01:00"}
    interval = {"type": "interval", "every": "PT1H30M", "anchor": "2026-01-01T01:00:00.1239+01:00"}

    assert post(api, TASK | {"schedule": once}).json()["next_fire_at"] == "2999-12-24T16:30:00.000Z"
    made = post(api, TASK | {"name": "u", "schedule": interval, "timeout": "1m30s"}).json()
    assert made["schedule"]["every"] == 5400
    assert made["schedule"]["anchor"] == "2026-01-01T00:00:00.123Z"
    assert made["timeout"] == 90


def test_a_time_in_the_recent_past_is_warned_of_and_runs_at_once(api: Api) -> None:
    at = (datetime.now(UTC) - timedelta(minutes=5)).isoformat(timespec="milliseconds")

    made = post(api, TASK | {"schedule": {"type": "once", "at": at}}).json()

    (warning,) = made["warnings"]
    assert warning["code"] == "in_the_past"
    assert warning["at"] == made["next_fire_at"]
    ended = api.ended(until_one(api, "/v1/tasks/t/runs"))
    assert (ended["status"], ended["result"]) == ("succeeded", {"a": 1})


# ------------------------------------------------------------------------------------------------- on_conflict
@pytest.mark.parametrize("status", ["active", "paused", "completed", "cancelled"])
@pytest.mark.parametrize("on_conflict", [None, "reject"])
def test_a_taken_name_is_refused_by_default(api: Api, status: str, on_conflict: str | None) -> None:
    revive(api, status)
    before = api.read("/v1/tasks/t")

    refused = problem(post(api, OTHER, on_conflict), 409, "task-exists")

    existing = {"id": before["id"], "name": "t", "status": status, "generation": 1}
    assert refused["task"] == existing
    assert api.read("/v1/tasks/t") == before


@pytest.mark.parametrize("status", ["active", "paused"])
def test_keep_leaves_an_active_task_and_shows_whether_it_differs(api: Api, status: str) -> None:
    revive(api, status)
    before = api.read("/v1/tasks/t")

    same, other = post(api, TASK, "keep"), post(api, OTHER, "keep")

    assert (same.status_code, other.status_code) == (200, 200)
    assert (same.json()["outcome"], same.json()["differs"]) == ("kept", False)
    assert (other.json()["outcome"], other.json()["differs"]) == ("kept", True)
    assert "location" not in other.headers
    assert api.read("/v1/tasks/t") == before


@pytest.mark.parametrize("status", ["completed", "cancelled"])
@pytest.mark.parametrize("on_conflict", ["keep", "replace"])
def test_keep_and_replace_restart_an_ended_task(api: Api, status: str, on_conflict: str) -> None:
    revive(api, status)
    runs = len(api.items("/v1/tasks/t/runs"))

    answer = post(api, OTHER, on_conflict)

    made = answer.json()
    assert (answer.status_code, made["outcome"]) == (200, "replaced")
    assert (made["status"], made["generation"], made["input"]) == ("active", 2, {"a": 2})
    assert len(api.items("/v1/tasks/t/runs")) == runs


@pytest.mark.parametrize("status", ["active", "paused", "completed", "cancelled"])
def test_update_replaces_the_definition_and_never_unpauses(api: Api, status: str) -> None:
    revive(api, status)
    before = api.read("/v1/tasks/t")

    answer = post(api, OTHER, "update")

    made = answer.json()
    assert (answer.status_code, made["outcome"]) == (200, "updated")
    assert (made["id"], made["generation"], made["input"]) == (before["id"], 2, {"a": 2})
    assert made["status"] == ("paused" if status == "paused" else "active")
    assert made["created_at"] == before["created_at"]
    assert answer.headers["etag"] == f'"{made["id"]}.2"'


def test_update_does_not_affect_running_runs_and_says_so(api: Api) -> None:
    api.task("t", handler="hold")
    run = api.run("t")
    wait_entered("t")

    made = post(api, {"name": "t", "handler": "hold", "priority": 3, "schedule": MANUAL}, "update")

    assert made.json()["applied"] == "next_run"
    open_gate("t")
    assert api.ended(run)["status"] == "succeeded"


def test_replace_cancels_unfinished_runs_and_keeps_history_and_kv(api: Api) -> None:
    api.task("t", handler="hold", overlap_policy="allow")
    api.put("/v1/tasks/t/kv/cursor", json={"value": 7})
    running = api.run("t")
    wait_entered("t")
    waiting = api.run("t", scheduled_for="2999-01-01T00:00:00Z")

    made = post(api, {"name": "t", "handler": "echo", "schedule": MANUAL}, "replace")

    assert made.json()["outcome"] == "replaced"
    for run in (running, waiting):
        ended = api.ended(run)
        assert (ended["status"], ended["reason"]) == ("cancelled", "replaced")
    assert api.read("/v1/tasks/t/kv/cursor")["value"] == 7
    assert len(api.items("/v1/tasks/t/runs")) == 2


def test_the_same_definition_in_other_words_is_unchanged(api: Api) -> None:
    post(api, TASK | {"timeout": "1h", "tags": ["b", "a", "b"]})

    again = post(api, TASK | {"timeout": 3600, "priority": 0, "tags": ["b", "a"]}, "update").json()

    assert (again["outcome"], again["generation"]) == ("unchanged", 1)


def test_a_delay_counts_from_the_first_registration(api: Api) -> None:
    body = TASK | {"schedule": {"type": "once", "delay": "2h"}}
    first = post(api, body).json()

    again = post(api, body, "update").json()

    assert (again["outcome"], again["next_fire_at"]) == ("unchanged", first["next_fire_at"])


def test_an_unknown_on_conflict_is_refused(api: Api) -> None:
    refused = post(api, TASK, "overwrite")

    problem(refused, 422, "invalid")
    assert pointers(refused) == ["on_conflict"]
    assert api.names() == []


# ------------------------------------------------------------------------------------------- Idempotency-Key
def keyed(key: str, body: dict[str, Any], path: str = "/v1/tasks") -> tuple[str, str, Any]:
    return "POST", path, {"json": body, "headers": {"Idempotency-Key": key}}


def test_twenty_identical_posts_at_once_make_one_task(api: Api) -> None:
    body = {"handler": "echo", "schedule": MANUAL}

    answers = api.together([keyed("k-1", body)] * 20)

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    replayed = [answer.headers.get("idempotency-replayed") for answer in answers]
    assert sorted(replayed, key=str) == [None, *["true"] * 19]
    assert {answer.headers["location"] for answer in answers} == {
        f"/v1/tasks/{answers[0].json()['name']}"
    }
    assert len(api.names()) == 1


def test_a_key_with_another_body_is_refused_and_writes_nothing(api: Api) -> None:
    method, path, options = keyed("k", TASK)
    api.call(method, path, **options)

    for key in ("k", '"k"'):  # bare and quoted are the same key
        refused = api.call(*keyed(key, OTHER | {"name": "u"})[:2], **keyed(key, OTHER)[2])
        problem(refused, 422, "idempotency-key-reused")
    assert api.call(method, path, **options).headers["idempotency-replayed"] == "true"
    assert api.names() == ["t"]


def test_a_refused_request_does_not_use_its_key(api: Api) -> None:
    bad = keyed("k", TASK | {"handler": "nobody"})
    assert api.call(bad[0], bad[1], **bad[2]).status_code == 422

    good = keyed("k", TASK)

    assert api.call(good[0], good[1], **good[2]).status_code == 201


def test_an_idempotency_key_covers_the_query_too(api: Api) -> None:
    first = keyed("k", TASK)
    api.call(first[0], first[1], **first[2])

    other = keyed("k", TASK, "/v1/tasks?on_conflict=keep")

    problem(api.call(other[0], other[1], **other[2]), 422, "idempotency-key-reused")


@shares_service
@pytest.mark.parametrize("key", ["", '""', "two words", "k" * 256, "ümlaut"])
def test_a_malformed_idempotency_key_is_refused(api: Api, key: str) -> None:
    refused = api.post("/v1/tasks", json=TASK, headers={"Idempotency-Key": key.encode()})

    assert refused.status_code == 422
    assert "dempotency-key" in refused.text.lower()
    assert api.names() == []
