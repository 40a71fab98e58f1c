"""Alerts over HTTP: rules, what is raised, and notifications until they are sent."""

from typing import Any

import pytest

from rota.domain.access.names import NameLimit
from rota.domain.access.principal import Principal
from tests.api.marks import shares_service
from tests.api.service import MANUAL, Api, pointers, problem
from tests.support.factories import eventually

FAILING = {"handler": "fail", "schedule": MANUAL, "retry": {"max_attempts": 1}}
pytestmark = shares_service


def fails(api: Api, name: str, ops: str) -> dict[str, Any]:
    """Let a run of a new task fail that is to notify `ops`."""
    api.task(name, **FAILING, on_failure={"task": ops})
    return api.ended(api.run(name))


def test_a_failure_runs_the_task_that_is_named(api: Api) -> None:
    api.task("ops", handler="echo", schedule=MANUAL, input={"channel": "#ops"})

    failed = fails(api, "t", "ops")

    eventually(lambda: api.read("/v1/tasks/t/alerts")["items"][0]["sent_at"])
    told = api.read("/v1/tasks/t/alerts")
    (sent,) = told["items"]
    run = api.read(f"/v1/runs/{sent['run']}")
    assert (run["trigger"], run["input"]["channel"]) == ("notification", "#ops")
    assert run["input"]["data"] == sent["event"]["data"]
    assert sent["event"]["data"]["run"]["error"]["message"] == failed["error"]["message"]
    assert (sent["notifies"], sent["attempts"], sent["not_before"]) == ("ops", 0, None)
    assert [(each["kind"], each["run"]) for each in told["raised"]] == [("failures", failed["id"])]


def test_a_notification_waits_for_a_task_that_is_not_there(api: Api) -> None:
    early = FAILING | {"on_failure": {"task": "late-ops"}}
    made = api.put("/v1/tasks/early", json=early).json()
    assert [each["code"] for each in made["warnings"]] == ["notified_missing"]
    explained = api.read("/v1/tasks/early/explain")["warnings"]
    assert [each["code"] for each in explained] == ["notified_missing"]
    api.ended(api.run("early"))
    (waiting,) = api.items("/v1/tasks/early/alerts")
    assert (waiting["run"], waiting["attempts"]) == (None, 1)

    api.task("late-ops", handler="echo", schedule=MANUAL)

    eventually(lambda: api.items("/v1/tasks/early/alerts")[0]["sent_at"])


def test_raised_alerts_are_listed_and_filtered(api: Api) -> None:
    api.task("sink", handler="echo", schedule=MANUAL)
    for name in ("listed-a", "listed-b", "listed-c"):
        fails(api, name, "sink")

    first = api.read("/v1/alerts?limit=2&kind=failures&task=listed-a,listed-b,listed-c")
    second = api.read(
        f"/v1/alerts?limit=2&kind=failures&task=listed-a,listed-b,listed-c&cursor={first['next_cursor']}"
    )

    names = [each["task"] for each in first["items"] + second["items"]]
    assert names == ["listed-c", "listed-b", "listed-a"]
    assert second["next_cursor"] is None
    assert api.items("/v1/alerts?task=listed-a&kind=late") == []
    problem(api.get("/v1/alerts?kind=latte"), 422, "invalid-filter")
    refused = problem(api.get("/v1/alerts?kind=success"), 422, "invalid-filter")
    assert "failures, late, no_ping, no_success, skipped" in refused["detail"]
    problem(
        api.get(f"/v1/tasks/listed-a/alerts?cursor={first['next_cursor']}"), 422, "invalid-cursor"
    )
    problem(api.get("/v1/tasks/nobody/alerts"), 404, "not-found")


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"on_failure": {"task": "self"}}, "/on_failure/task"),
        ({"on_success": {"task": "self"}}, "/on_success/task"),
        ({"on_skipped": {"task": "self"}}, "/on_skipped/task"),
        ({"on_late": {"task": "self", "after": "5m"}}, "/on_late/task"),
        ({"on_failure": {"task": "ops", "after": 0}}, "/on_failure/after"),
        ({"on_failure": {"task": "ops", "rate": {"failed": 3, "of": 2}}}, "/on_failure/rate"),
        ({"on_failure": {}}, "/on_failure/task"),
        ({"on_failure": "on"}, "/on_failure"),
    ],
)
def test_errors_of_rules_have_pointers(api: Api, fields: dict[str, Any], pointer: str) -> None:
    refused = api.put("/v1/tasks/self", json={"handler": "echo", "schedule": MANUAL, **fields})

    assert (refused.status_code, pointers(refused)) == (422, [pointer])


def test_a_patch_that_names_the_task_itself_is_refused(api: Api) -> None:
    api.task("patched", handler="echo", schedule=MANUAL)

    refused = api.patch("/v1/tasks/patched", json={"on_failure": {"task": "patched"}})

    assert (refused.status_code, pointers(refused)) == (422, ["/on_failure/task"])


def test_a_key_sees_the_alerts_of_its_tasks_only(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    fails(api, "mine-a", "sink")
    fails(api, "others-a", "sink")
    limited = Principal(label="key:k", idempotency_scope="k", tasks=NameLimit(("mine-", "my-")))
    monkeypatch.setattr("rota.api.http.access.principal", lambda _: limited)

    assert {each["task"] for each in api.items("/v1/alerts")} == {"mine-a"}
