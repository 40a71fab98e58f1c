"""Bulk by selector: pause, resume, cancel, run, delete."""

from typing import Any

import pytest

from rota.errors import Unavailable
from rota.store.tasks import bulk as selecting
from tests.api.handlers import open_gate, wait_entered
from tests.api.marks import shares_service
from tests.api.service import YEARLY, Api, pointers, problem

VERBS = ["pause", "resume", "cancel", "run", "delete"]


def bulk(api: Api, verb: str, *, selector: dict[str, Any], **fields: Any) -> dict[str, Any]:
    answer = api.post(f"/v1/tasks/{verb}", json={"selector": selector} | fields)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def done(matched: int, changed: int) -> dict[str, Any]:
    return {
        "matched": matched,
        "changed": changed,
        "unchanged": matched - changed,
        "refused": [],
    }


def statuses(api: Api) -> dict[str, str]:
    return {task["name"]: task["status"] for task in api.items("/v1/tasks?limit=200")}


@pytest.fixture
def three(api: Api) -> Api:
    api.task("bill-a", tags=["billing"], schedule=YEARLY)
    api.task("bill-b", tags=["billing", "old"], schedule=YEARLY)
    api.task("mail", tags=["mail"], schedule=YEARLY)
    return api


def test_tasks_are_paused_with_a_reason_and_resumed(three: Api) -> None:
    paused = bulk(three, "pause", selector={"tags": ["billing"]}, reason="moving")
    again = bulk(three, "pause", selector={"all": True})
    shown = three.read("/v1/tasks/bill-b")

    assert (paused, again) == (done(2, 2), done(3, 1))
    assert (shown["status"], shown["status_reason"]) == ("paused", "moving")
    selector = {"status": ["paused"], "name_prefix": "bill"}
    assert bulk(three, "resume", selector=selector, catch_up="once") == done(2, 2)
    assert statuses(three) == {"bill-a": "active", "bill-b": "active", "mail": "paused"}


def test_fields_of_a_selector_are_combined_by_and(three: Api) -> None:
    selector = {"tags": ["billing", "mail"], "name_prefix": "bill", "status": ["active"]}

    assert bulk(three, "cancel", selector=selector) == done(2, 2)
    assert statuses(three)["mail"] == "active"


def test_tasks_are_run_each_with_its_own_input(three: Api) -> None:
    three.task("mail", input={"a": 1}, schedule=YEARLY)

    assert bulk(three, "run", selector={"all": True}) == done(3, 3)

    (run,) = three.items("/v1/tasks/mail/runs")
    assert (run["trigger"], three.ended(run)["result"]) == ("manual", {"a": 1})


def test_deleted_tasks_are_gone(three: Api) -> None:
    assert bulk(three, "delete", selector={"tags": ["old"]}) == done(1, 1)
    assert three.get("/v1/tasks/bill-b").status_code == 404
    assert three.names() == ["bill-a", "mail"]


def test_refused_tasks_are_listed_with_their_problem(three: Api) -> None:
    bulk(three, "cancel", selector={"tags": ["mail"]})

    answer = bulk(three, "run", selector={"all": True})

    assert (answer["matched"], answer["changed"], answer["unchanged"]) == (3, 2, 1)
    (refused,) = answer["refused"]
    assert (refused["task"], refused["type"]) == ("mail", "/problems/wrong-status")
    assert "is cancelled" in refused["detail"]


def test_a_busy_task_that_skips_on_overlap_is_not_run(api: Api) -> None:
    api.task("busy", handler="hold")
    api.run("busy")
    wait_entered("busy")

    answer = bulk(api, "run", selector={"all": True})

    assert [each["type"] for each in answer["refused"]] == ["/problems/overlap"]
    open_gate("busy")


def test_ten_refusals_are_shown(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selecting.DoEach, "__init__", _with_limit(4))
    for number in range(13):
        api.task(f"t{number:02}")
    bulk(api, "cancel", selector={"all": True})

    answer = bulk(api, "run", selector={"all": True})

    assert (answer["matched"], answer["unchanged"]) == (13, 13)
    assert [each["task"] for each in answer["refused"]] == [f"t{n:02}" for n in range(10)]


def _with_limit(limit: int) -> Any:
    real = selecting.DoEach.__init__

    def made(self: Any, **fields: Any) -> None:
        real(self, **{"limit": limit} | fields)

    return made


@pytest.mark.parametrize("verb", VERBS)
def test_a_dry_run_returns_the_same_and_changes_nothing(three: Api, verb: str) -> None:
    three.task("paused", schedule=YEARLY, paused=True)
    before = three.items("/v1/tasks")

    dry = bulk(three, verb, selector={"all": True}, dry_run=True)

    assert three.items("/v1/tasks") == before
    assert three.items("/v1/runs") == []
    assert bulk(three, verb, selector={"all": True}) == dry


@shares_service
@pytest.mark.parametrize("verb", VERBS)
def test_an_empty_selector_is_refused(three: Api, verb: str) -> None:
    for selector in ({}, {"name_prefix": ""}, {"all": False}, {"name_prefix": "", "all": False}):
        refused = three.post(f"/v1/tasks/{verb}", json={"selector": selector})
        assert '"all": true' in problem(refused, 422, "invalid")["detail"]
        assert pointers(refused) == ["/selector"]
    assert three.post(f"/v1/tasks/{verb}", json={}).status_code == 422
    assert set(statuses(three).values()) == {"active"}


@shares_service
@pytest.mark.parametrize(
    ("selector", "pointer"),
    [
        ({"all": True, "tags": ["billing"]}, "/selector"),
        ({"all": True, "status": ["active"]}, "/selector"),
        ({"tags": [], "status": ["active"]}, "/selector/tags"),
        ({"tags": None, "status": ["active"]}, "/selector/tags"),
        ({"status": []}, "/selector/status"),
        ({"status": ["running"]}, "/selector/status/0"),
        ({"status": ["active"] * 201}, "/selector/status"),  # more than a statement takes, if many
        ({"name_prefix": "a b"}, "/selector/name_prefix"),
        ({"tags": ["a b"]}, "/selector/tags/0"),
        ({"all": 1}, "/selector/all"),
        ({"tag": ["billing"], "all": True}, "/selector/tag"),
    ],
)
def test_an_ambiguous_selector_is_refused(
    three: Api, selector: dict[str, Any], pointer: str
) -> None:
    refused = three.post("/v1/tasks/delete", json={"selector": selector})

    problem(refused, 422, "invalid")
    assert pointers(refused) == [pointer]
    assert len(three.names()) == 3


@shares_service
def test_fields_of_another_verb_are_refused(three: Api) -> None:
    for verb, field in (("cancel", "reason"), ("pause", "catch_up"), ("run", "input")):
        body = {"selector": {"all": True}, field: "none"}
        refused = three.post(f"/v1/tasks/{verb}", json=body)
        assert pointers(refused) == [f"/{field}"]


def test_running_tasks_with_a_key_runs_them_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selecting.DoEach, "__init__", _with_limit(2))
    for number in range(5):
        api.task(f"t{number}", overlap_policy="allow")
    request = {"json": {"selector": {"all": True}}, "headers": {"idempotency-key": "k"}}

    first = api.post("/v1/tasks/run", **request)
    second = api.post("/v1/tasks/run", **request)
    other = api.post(
        "/v1/tasks/run", json={"selector": {"tags": ["x"]}}, headers=request["headers"]
    )

    assert first.json() == second.json() == done(5, 5)
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    problem(other, 422, "idempotency-key-reused")
    assert len(api.items("/v1/runs")) == 5


def test_an_interrupted_bulk_run_with_a_key_continues_after_its_last_write(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first of three writes the process ends; the client sends the same request again."""
    monkeypatch.setattr(selecting.DoEach, "__init__", _with_limit(2))
    for number in range(5):
        api.task(f"t{number}", overlap_policy="allow")
    request = {"json": {"selector": {"all": True}}, "headers": {"idempotency-key": "k"}}
    real, writes = selecting.DoEach.apply, []

    def cut_off(self: Any, tx: Any) -> Any:
        writes.append(self)
        if len(writes) == 2:
            raise Unavailable("the process ends")
        return real(self, tx)

    monkeypatch.setattr(selecting.DoEach, "apply", cut_off)
    assert api.post("/v1/tasks/run", **request).status_code == 503
    assert len(api.items("/v1/runs")) == 2

    again = api.post("/v1/tasks/run", **request)

    assert again.json() == done(5, 5)
    assert "idempotency-replayed" not in again.headers
    assert sorted(run["task"] for run in api.items("/v1/runs")) == [f"t{n}" for n in range(5)]


def test_a_dry_run_does_not_use_its_key(three: Api) -> None:
    headers = {"idempotency-key": "k"}

    bulk_dry = {"selector": {"all": True}, "dry_run": True}
    assert three.post("/v1/tasks/run", json=bulk_dry, headers=headers).json() == done(3, 3)
    real = three.post("/v1/tasks/run", json={"selector": {"all": True}}, headers=headers)

    assert real.json() == done(3, 3)
    assert len(three.items("/v1/runs")) == 3
