"""Bulk operations on runs over HTTP: previewed and confirmed, or at once; each run with its result."""

from itertools import pairwise
from typing import Any

import pytest

from tests.api.marks import always_on_both, shares_service
from tests.api.service import Api, pointers, problem
from tests.support.factories import eventually

pytestmark = shares_service


def bulk(api: Api, verb: str, *, status: int = 200, **body: Any) -> dict[str, Any]:
    query = f"?wait={body.pop('wait')}" if "wait" in body else ""
    headers = body.pop("headers", None)
    answer = api.post(f"/v1/runs/{verb}{query}", json=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["location"] == f"/v1/bulk/{answer.json()['id']}"
    return dict(answer.json())


def failed(api: Api, name: str, number: int = 2, **fields: Any) -> list[str]:
    """Declare a task with so many runs that have failed; return these."""
    once = {"handler": "fail", "retry": {"max_attempts": 1}, "overlap_policy": "allow"}
    api.task(name, **once | fields)
    return [api.ended(api.run(name))["id"] for _ in range(number)]


def waiting(api: Api, name: str) -> str:
    """Declare a task with a run that waits for a time far ahead; return it."""
    api.task(name)
    return str(api.run(name, scheduled_for="2999-01-01T00:00:00Z")["id"])


@always_on_both
def test_failed_runs_are_run_again_with_another_input(api: Api) -> None:
    ids = failed(api, "again")
    api.task("again", handler="echo", overlap_policy="allow")

    done = bulk(api, "rerun", selector={"task": ["again"], "status": ["failed"]}, input={"n": 1})

    assert (done["status"], done["input"], done["runs"]) == ("finished", {"n": 1}, 2)
    assert done["results"] == {"pending": 0, "done": 2, "changed": 0, "refused": 0}
    assert [each["run"] for each in done["items"]] == ids
    for each in done["items"]:
        ended = api.ended({"id": each["new_run"]})
        assert (ended["rerun_of"], ended["input"], ended["result"]) == (
            each["run"],
            {"n": 1},
            {"n": 1},
        )


@always_on_both
def test_what_was_previewed_is_confirmed_and_executed_once(api: Api) -> None:
    [id] = failed(api, "shown", 1)
    later = waiting(api, "shown-later")
    selector = {"task": ["shown", "shown-later"]}

    preview = bulk(api, "delete", selector=selector, dry_run=True)
    assert (preview["status"], preview["statuses"]) == ("previewed", {"queued": 1, "failed": 1})
    assert [each["result"] for each in preview["items"]] == ["pending", "pending"]
    assert preview["foreseen"] == [
        {
            "type": "/problems/wrong-status",
            "detail": "They are queued; cancel them first, and delete them once they have ended.",
            "runs": 1,
        }
    ]
    assert api.read(f"/v1/runs/{id}")["status"] == "failed"

    for _ in range(2):
        confirmed = api.post(f"/v1/bulk/{preview['id']}/confirm")
        assert confirmed.status_code == 200
        assert confirmed.json()["results"]["refused"] == 1
    problem(api.get(f"/v1/runs/{id}"), 404, "not-found")
    items = f"/v1/bulk/{preview['id']}/items"
    [refused] = api.items(f"{items}?result=refused")
    assert (refused["run"], refused["type"]) == (later, "/problems/wrong-status")
    page = api.read(f"{items}?limit=1")
    following = api.read(f"{items}?limit=1&cursor={page['next_cursor']}")
    assert [page["items"][0]["run"], following["items"][0]["run"]] == [id, later]
    assert following["next_cursor"] is None
    problem(api.post(f"/v1/bulk/{preview['id']}/cancel"), 409, "wrong-status")


def test_a_repeated_request_shows_the_same_operation(api: Api) -> None:
    failed(api, "once")
    key = {"Idempotency-Key": "bulk-once"}
    first, second = (bulk(api, "rerun", selector={"task": ["once"]}, headers=key) for _ in range(2))

    assert first["id"] == second["id"]
    assert len(api.items("/v1/runs?task=once&trigger=rerun")) == 2


def test_what_is_begun_is_not_answered_with_an_error_where_nobody_may_wait(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who gets an error sends the request again, and would have everything run twice."""
    failed(api, "begun", 2, queue="begun")
    api.put("/v1/queues/begun", json={"paused": True})  # the first one does not end by itself
    monkeypatch.setattr(api.app.state.services.streams, "_most", 0)

    going_on = bulk(api, "rerun", status=202, selector={"task": ["begun"]}, max_concurrent=1)

    assert going_on["status"] == "running"
    api.put("/v1/queues/begun", json={"paused": False})
    eventually(lambda: api.read(f"/v1/bulk/{going_on['id']}")["status"] == "finished")


def test_a_cancelled_preview_is_not_executed(api: Api) -> None:
    later = waiting(api, "kept")
    id = bulk(api, "cancel", selector={"task": ["kept"]}, dry_run=True)["id"]

    cancelled = api.post(f"/v1/bulk/{id}/cancel").json()
    assert cancelled["status"] == "cancelled"
    problem(api.post(f"/v1/bulk/{id}/confirm"), 409, "wrong-status")
    assert api.read(f"/v1/runs/{later}")["status"] == "queued"
    assert id in [each["id"] for each in api.items("/v1/bulk")]


def test_runs_wait_for_room_where_only_so_many_may_be_unfinished(api: Api) -> None:
    ids = failed(api, "paced", 3)
    # Until it goes on, the first run cannot end: else all of it may be over before the answer.
    api.put("/v1/queues/default", json={"paused": True})
    going_on = bulk(
        api, "rerun", status=202, selector={"task": ["paced"]}, max_concurrent=1, wait=0
    )
    api.put("/v1/queues/default", json={"paused": False})

    def finished() -> bool:
        return api.read(f"/v1/bulk/{going_on['id']}")["status"] == "finished"

    eventually(finished)
    made = [each["new_run"] for each in api.items(f"/v1/bulk/{going_on['id']}/items")]
    runs = [api.ended({"id": id}) for id in made]
    assert [each["rerun_of"] for each in runs] == ids
    for before, after in pairwise(runs):
        assert before["finished_at"] <= after["created_at"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"selector": {}}, "/selector"),
        ({"selector": {"task": []}}, "/selector/task"),
        ({"selector": {"all": True, "task": ["t"]}}, "/selector"),
        ({"selector": {"status": ["broken"]}}, "/selector/status/0"),
        ({"selector": {"finished_from": "2026-01-02"}}, "/selector/finished_from"),
        ({"selector": {"all": True}, "max_concurrent": 0}, "/max_concurrent"),
        ({"selector": {"all": True}, "dry_run": "yes"}, "/dry_run"),
    ],
)
def test_a_selector_that_may_be_a_mistake_is_refused(
    api: Api, body: dict[str, Any], pointer: str
) -> None:
    refused = api.post("/v1/runs/rerun", json=body)
    problem(refused, 422, "invalid")
    assert pointers(refused) == [pointer]
