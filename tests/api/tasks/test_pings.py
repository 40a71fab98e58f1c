"""POST /v1/tasks/{name}/ping, and what the absence of pings does."""

from typing import Any

import pytest

from tests.api.marks import on_both, shares_service
from tests.api.service import MANUAL, Api, pointers, problem, serving
from tests.support.factories import eventually

PINGED = {"handler": "ping", "schedule": MANUAL}


def ping(api: Api, name: str, headers: Any = None, **body: Any) -> Any:
    answer = api.post(f"/v1/tasks/{name}/ping", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()


@shares_service
def test_a_ping_needs_no_body_and_is_a_run_that_has_succeeded(api: Api) -> None:
    api.task("backup", **PINGED)

    answer = api.post("/v1/tasks/backup/ping")

    run = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/runs/{run['id']}"
    assert (run["trigger"], run["status"], run["result"]) == ("ping", "succeeded", None)
    assert api.read("/v1/tasks/backup")["last_success_at"] == run["finished_at"]
    assert [each["id"] for each in api.items("/v1/tasks/backup/runs?trigger=ping")] == [run["id"]]


@shares_service
def test_a_ping_says_how_the_work_has_ended(api: Api) -> None:
    api.task("reported", **PINGED)

    run = ping(api, "reported", status="failed", message="disk full", duration="1m30s")

    assert (run["status"], run["reason"], run["duration"]) == ("failed", "error", 90)
    assert run["error"]["message"] == "disk full"
    assert api.read("/v1/tasks/reported")["consecutive_failures"] == 1


@shares_service
def test_a_message_of_null_is_none(api: Api) -> None:
    api.task("wordless", **PINGED)

    assert ping(api, "wordless", message=None)["result"] is None


@shares_service
def test_a_repeated_ping_counts_once(api: Api) -> None:
    api.task("repeated", **PINGED)
    key = {"Idempotency-Key": "backup-2026-11-29"}

    first = ping(api, "repeated", key)
    again = ping(api, "repeated", key)

    assert again["id"] == first["id"]
    assert len(api.items("/v1/tasks/repeated/runs")) == 1


@shares_service
@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"status": "late"}, "/status"),
        ({"message": "x" * 10_001}, "/message"),
        ({"duration": "367d"}, "/duration"),
        ({"exit_code": 1}, "/exit_code"),
    ],
)
def test_a_wrong_ping_is_refused_with_the_place_of_the_fault(
    api: Api, body: dict[str, Any], pointer: str
) -> None:
    api.task("wrong", **PINGED)

    answer = api.post("/v1/tasks/wrong/ping", json=body)

    problem(answer, 422, "invalid")
    assert pointers(answer) == [pointer]
    assert api.items("/v1/tasks/wrong/runs") == []


@shares_service
def test_only_a_post_pings_and_only_a_task_that_is_there(api: Api) -> None:
    api.task("gone", **PINGED)
    api.post("/v1/tasks/gone/cancel")

    problem(api.get("/v1/tasks/gone/ping"), 405, "method-not-allowed")
    problem(api.post("/v1/tasks/gone/ping"), 409, "wrong-status")
    problem(api.post("/v1/tasks/nobody/ping"), 404, "not-found")


@shares_service
def test_a_task_with_the_handler_ping_can_be_run_as_well(api: Api) -> None:
    api.task("runnable", **PINGED)

    assert api.ended(api.run("runnable"))["status"] == "succeeded"


@on_both
def test_silence_runs_the_task_that_the_rule_names_and_a_ping_ends_it(api: Api) -> None:
    api.task("ops")
    api.task("switch", **PINGED, expect_every="1s", on_failure={"task": "ops"})

    (failing,) = eventually(lambda: api.items("/v1/tasks/ops/runs"))
    run = ping(api, "switch")

    recovered, _ = eventually(lambda: (found := api.items("/v1/tasks/ops/runs"))[1:] and found[:2])
    assert failing["input"]["type"] == "alert.failing"
    assert failing["input"]["data"]["kind"] == "no_ping"
    assert recovered["input"]["type"] == "alert.recovered"
    assert recovered["input"]["data"]["run"]["id"] == run["id"]
    assert (
        "A success or a ping is expected every second"
        in (api.read("/v1/tasks/switch/explain")["message"])
    )


@shares_service
@pytest.mark.parametrize(
    ("rule", "advice"), [("off", "instead of 'off'."), (None, "or set ROTA_ON_FAILURE.")]
)
def test_a_switch_that_notifies_nobody_has_a_warning(
    api: Api, rule: str | None, advice: str
) -> None:
    body = {**PINGED, "expect_every": "1h", "on_failure": rule}

    made = api.put("/v1/tasks/quiet", json=body).json()

    assert [each["code"] for each in made["warnings"]] == ["nobody_notified"]
    assert made["warnings"][0]["message"].endswith(advice)
    told = {**body, "on_failure": {"task": "quiet-ops"}}
    api.task("quiet-ops", **PINGED)
    assert api.put("/v1/tasks/quiet", json=told).json()["warnings"] == []


def test_a_switch_that_was_raised_before_a_restart_ends_after_it_and_notifies_once(
    migrated_database_url: str,
) -> None:
    with serving(migrated_database_url) as api:
        api.task("ops")
        api.task("switch", **PINGED, expect_every="1s", on_failure={"task": "ops"})
        eventually(lambda: api.items("/v1/tasks/ops/runs"))

    with serving(migrated_database_url) as api:
        ping(api, "switch")
        eventually(lambda: len(api.items("/v1/tasks/ops/runs")) > 1)
        told = [run["input"]["type"] for run in api.items("/v1/tasks/ops/runs")]

    assert told[-2:] == ["alert.recovered", "alert.failing"]
