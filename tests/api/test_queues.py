"""Queues over HTTP: limits and pauses are set, read, listed and reset."""

from typing import Any

import pytest

from tests.api.handlers import open_gate, wait_entered
from tests.api.marks import always_on_both, shares_service
from tests.api.service import Api, pointers, problem
from tests.support.factories import eventually

NOTHING_SAID = {
    "name": "mail",
    "concurrency": None,
    "paused": False,
    "queued": 0,
    "running": 0,
    "blocked": 0,
    "oldest_queued_at": None,
    "updated_at": None,
    "updated_by": None,
}


def put(api: Api, **body: Any) -> Any:
    return api.put("/v1/queues/mail", json=body)


def status(api: Api, run: dict[str, Any]) -> str:
    return str(api.read(f"/v1/runs/{run['id']}")["status"])


def test_a_queue_exists_as_soon_as_a_task_names_it(api: Api) -> None:
    problem(api.get("/v1/queues/mail"), 404, "not-found")

    api.task("t", queue="mail")

    assert api.read("/v1/queues/mail") == NOTHING_SAID


def test_declaring_a_queue_creates_or_updates_it(api: Api) -> None:
    made = put(api, concurrency=5)
    changed = put(api, concurrency=7, paused=True)

    assert (made.status_code, changed.status_code) == (201, 200)
    assert made.json()["concurrency"] == 5
    assert made.json()["updated_by"] == "local"
    assert (changed.json()["concurrency"], changed.json()["paused"]) == (7, True)
    assert api.read("/v1/queues/mail") == changed.json()


def test_a_read_queue_can_be_declared_again_and_changes_nothing(api: Api) -> None:
    read = put(api, concurrency=5).json()

    again = api.put("/v1/queues/mail", json=read)

    assert (again.status_code, again.json()) == (200, read)


def test_fields_that_are_left_out_take_their_defaults(api: Api) -> None:
    put(api, concurrency=5, paused=True)

    declared = put(api).json()

    assert (declared["concurrency"], declared["paused"]) == (None, False)


@shares_service
@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"concurrency": -1}, "/concurrency"),
        ({"concurrency": "5"}, "/concurrency"),
        ({"concurrency": False}, "/concurrency"),
        ({"concurrency": 10_001}, "/concurrency"),
        ({"paused": "yes"}, "/paused"),
        ({"limit": 5}, "/limit"),
        ({"name": "other"}, "/name"),
        ([], ""),
    ],
)
def test_errors_of_a_queue_have_pointers(api: Api, body: Any, pointer: str) -> None:
    refused = api.put("/v1/queues/mail", json=body)

    problem(refused, 422, "invalid")
    assert pointers(refused) == [pointer]


@shares_service
def test_a_limit_of_0_is_refused_with_the_alternatives(api: Api) -> None:
    refused = put(api, concurrency=0)

    assert "set 'paused'" in problem(refused, 422, "invalid")["detail"]
    assert pointers(refused) == ["/concurrency"]


@shares_service
@pytest.mark.parametrize("name", ["run", "_mail", "a%20b"])
def test_an_invalid_name_of_a_queue_is_refused(api: Api, name: str) -> None:
    assert api.put(f"/v1/queues/{name}", json={}).status_code == 422


def test_queues_are_listed_by_name_page_by_page(api: Api) -> None:
    put(api, paused=True)
    for name in ("b", "a"):
        api.task(name, queue=f"queue-{name}")

    first = api.read("/v1/queues?limit=2")
    second = api.read(f"/v1/queues?limit=2&cursor={first['next_cursor']}")

    assert [each["name"] for each in first["items"]] == ["mail", "queue-a"]
    assert [each["name"] for each in second["items"]] == ["queue-b"]
    assert second["next_cursor"] is None
    assert first["items"][0] == api.read("/v1/queues/mail")


def test_deleting_a_queue_that_a_task_names_resets_it(api: Api) -> None:
    api.task("t", queue="mail")
    put(api, concurrency=1, paused=True)

    assert api.delete("/v1/queues/mail").status_code == 204
    assert api.read("/v1/queues/mail") == NOTHING_SAID
    assert api.delete("/v1/queues/mail").status_code == 204


def test_a_queue_that_no_task_names_can_be_deleted_once(api: Api) -> None:
    put(api)

    assert api.delete("/v1/queues/mail").status_code == 204
    problem(api.delete("/v1/queues/mail"), 404, "not-found")


@always_on_both
def test_a_list_counts_on_request_what_has_ended(api: Api) -> None:
    put(api, concurrency=3)
    api.task("t", queue="mail")
    for _ in range(2):
        api.ended(api.run("t"))
    api.task("elsewhere")
    api.ended(api.run("elsewhere"))

    queues = {each["name"]: each for each in api.items("/v1/queues?ended=true")}

    assert (queues["mail"]["ended"], queues["default"]["ended"]) == (2, 1)
    assert "ended" not in api.items("/v1/queues")[0]
    assert api.put("/v1/queues/mail", json=queues["mail"]).status_code == 200


@always_on_both
def test_a_paused_queue_waits_and_continues(api: Api) -> None:
    put(api, paused=True)
    api.task("t", queue="mail")
    run = api.run("t")
    api.task("elsewhere")
    assert api.ended(api.run("elsewhere"))["status"] == "succeeded"
    assert status(api, run) == "queued"
    assert api.read("/v1/queues/mail")["queued"] == 1

    put(api, paused=False)

    assert api.ended(run)["status"] == "succeeded"


@always_on_both
def test_a_full_queue_starts_the_next_run_when_one_ends(api: Api) -> None:
    put(api, concurrency=1)
    for name in ("first", "second"):
        api.task(name, handler="hold", queue="mail")
    first = api.run("first")
    wait_entered("first")
    second = api.run("second")
    counted = api.read("/v1/queues/mail")

    open_gate("first")
    open_gate("second")

    assert (counted["running"], counted["queued"]) == (1, 1)
    assert api.ended(first)["status"] == api.ended(second)["status"] == "succeeded"


@always_on_both
def test_tasks_share_a_concurrency_key(api: Api) -> None:
    for name in ("first", "second"):
        api.task(name, handler="hold", queue=name, concurrency={"key": "crm", "limit": 1})
    first = api.run("first")
    wait_entered("first")
    second = api.run("second")
    eventually(lambda: status(api, second) == "blocked")
    waits = api.read(f"/v1/runs/{second['id']}")["waiting_on"]

    open_gate("first")
    wait_entered("second")
    open_gate("second")

    assert waits == ["concurrency"]
    assert api.read("/v1/tasks/first")["concurrency"] == {"key": "crm", "limit": 1}
    assert api.ended(first)["status"] == api.ended(second)["status"] == "succeeded"


@shares_service
@pytest.mark.parametrize(
    ("concurrency", "pointer"),
    [
        ({"key": "k", "limit": 0}, "/concurrency/limit"),
        ({"key": "k", "limit": 1.5}, "/concurrency/limit"),
        ({"key": "a b", "limit": 1}, "/concurrency/key"),
        ({"limit": 1}, "/concurrency/key"),
        ({"key": "k", "limit": 1, "queue": "q"}, "/concurrency/queue"),
        (3, "/concurrency"),
    ],
)
def test_an_error_of_an_invalid_concurrency_has_a_pointer(
    api: Api, concurrency: Any, pointer: str
) -> None:
    body = {"handler": "echo", "schedule": {"type": "manual"}, "concurrency": concurrency}

    refused = api.put("/v1/tasks/t", json=body)

    problem(refused, 422, "invalid")
    assert pointers(refused) == [pointer]
