"""Holds over HTTP: set, changed, read, listed, ended."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rota.domain.access.scopes import Scope
from tests.api.access.clients import OURS, TEAM, client, shared, with_key
from tests.api.marks import on_both, shares_service
from tests.api.service import Api, pointers, problem
from tests.api.stream_client import Stream
from tests.support.factories import eventually

pytestmark = shares_service
ALL = {"selector": {"all": True}}
NAMES = ("deploy", "ours-deploy", "later")


@pytest.fixture(autouse=True)
def _leaves_nothing(request: pytest.FixtureRequest) -> Iterator[None]:
    used = request.getfixturevalue("guarded" if "guarded" in request.fixturenames else "api")
    yield
    for name in NAMES:
        used.delete(f"/v1/holds/{name}")


def put(api: Api, name: str = "deploy", query: str = "", **body: Any) -> Any:
    return api.put(f"/v1/holds/{name}{query}", json=ALL | body)


def ahead(**by: float) -> str:
    return (datetime.now(UTC) + timedelta(**by)).isoformat(timespec="milliseconds")


@on_both
def test_a_hold_is_set_changed_read_and_deleted(api: Api) -> None:
    made = put(api, reason="the database moves", until=ahead(hours=1))
    changed = put(api, fire_times="catch_up")

    assert (made.status_code, changed.status_code) == (201, 200)
    assert made.json() | {"from": "", "until": "", "created_at": "", "updated_at": ""} == {
        "name": "deploy",
        "selector": {"all": True},
        "within": None,
        "from": "",
        "until": "",
        "reason": "the database moves",
        "fire_times": "skip",
        "status": "active",
        "tasks": None,
        "created_at": "",
        "created_by": "local",
        "updated_at": "",
        "updated_by": "local",
    }
    shown = changed.json()
    assert (shown["from"], shown["until"]) == (made.json()["from"], None)
    assert (shown["reason"], shown["fire_times"]) == (None, "catch_up")
    assert api.read("/v1/holds/deploy") == shown
    assert api.put("/v1/holds/deploy", json=shown).json() == shown

    assert api.delete("/v1/holds/deploy").status_code == 204
    problem(api.get("/v1/holds/deploy"), 404, "not-found")
    problem(api.delete("/v1/holds/deploy"), 404, "not-found")


def test_a_list_has_what_lasts_and_what_is_to_come_and_on_request_what_has_ended(api: Api) -> None:
    put(api)
    put(api, "later", **{"from": ahead(hours=1)})
    put(api, "ours-deploy")
    api.delete("/v1/holds/ours-deploy")

    present = {each["name"]: each["status"] for each in api.items("/v1/holds")}
    ended = [
        each["name"] for each in api.items("/v1/holds?ended=true") if each["status"] == "ended"
    ]

    assert present == {"deploy": "active", "later": "planned"}
    assert "ours-deploy" in ended
    first = api.read("/v1/holds?limit=1")
    second = api.read(f"/v1/holds?limit=1&cursor={first['next_cursor']}")
    assert [each["name"] for each in first["items"] + second["items"]] == ["deploy", "later"]
    assert second["next_cursor"] is None


def test_tasks_are_counted_on_request_and_name_the_holds_that_they_are_in(api: Api) -> None:
    api.task("billing-1", tags=["billing"])
    api.task("billing-2", tags=["billing", "night"])
    api.task("other")

    counted = put(api, query="?count=true", selector={"tags": ["billing", "none"]})
    put(api, "later", selector={"name_prefix": "billing-2", "queues": ["default"]})

    assert counted.json()["tasks"] == 2
    assert api.read("/v1/holds/later?count=true")["tasks"] == 1
    assert api.read("/v1/tasks/billing-2")["held_by"] == ["deploy", "later"]
    assert {each["name"]: each["held_by"] for each in api.items("/v1/tasks")} == {
        "billing-1": ["deploy"],
        "billing-2": ["deploy", "later"],
        "other": [],
    }
    assert api.post("/v1/tasks/billing-1/pause").json()["held_by"] == ["deploy"]
    assert api.task("billing-3", tags=["billing"])["held_by"] == ["deploy"]


def test_dates_and_local_times_are_those_of_a_zone_and_a_date_is_its_whole_day(api: Api) -> None:
    given = {"from": "2090-12-24T22:00", "until": "2090-12-26", "timezone": "Europe/Berlin"}

    shown = put(api, **given).json()

    assert (shown["from"], shown["until"]) == (
        "2090-12-24T21:00:00.000Z",
        "2090-12-26T23:00:00.000Z",
    )


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"selector": {}}, "/selector"),
        ({"selector": {"all": True, "name_prefix": "x"}}, "/selector"),
        ({"selector": {"all": False}}, "/selector"),
        ({"selector": {"tags": []}}, "/selector/tags"),
        ({"selector": {"queues": ["no name"]}}, "/selector/queues/0"),
        ({"from": "2090-12-24"}, "/from"),
        ({"until": "2090-12-24T22:00"}, "/until"),
        ({"until": "soon", "timezone": "Europe/Berlin"}, "/until"),
        ({"from": "2090-12-24", "timezone": "Europe/Bärlin"}, "/timezone"),
        ({"until": "2020-01-01T00:00:00Z"}, "/until"),
        ({"from": "2090-01-02T00:00:00Z", "until": "2090-01-01T00:00:00Z"}, "/until"),
        ({"fire_times": "drop"}, "/fire_times"),
        ({"reason": "x" * 1_001}, "/reason"),
        ({"name": "other"}, "/name"),
        ({"paused": True}, "/paused"),
    ],
)
def test_errors_of_a_hold_have_pointers(api: Api, body: Any, pointer: str) -> None:
    answer = api.put("/v1/holds/deploy", json=ALL | body)

    problem(answer, 422, "invalid")
    assert pointers(answer) == [pointer]


def test_the_name_of_a_hold_that_has_ended_by_itself_is_free(api: Api) -> None:
    first = put(api, until=ahead(seconds=1)).json()

    def again() -> Any:
        answer = put(api, reason="again")
        return answer if answer.json()["created_at"] != first["created_at"] else None

    problem(eventually(lambda: ended_by_itself(api)), 404, "not-found")
    assert eventually(again).status_code == 201


def ended_by_itself(api: Api) -> Any:
    answer = api.get("/v1/holds/deploy")
    return answer if answer.status_code == 404 else None


@pytest.fixture(scope="module")
def guarded(another_database: Callable[[str], str]) -> Iterator[Api]:
    """A service with keys, and a hold and tasks of each team."""
    with shared(another_database("sqlite")) as made:
        for name in ("ours-1", "theirs-1"):
            made.task(name)
        yield made


def test_a_limited_key_sets_and_sees_holds_of_its_tasks_only(guarded: Api) -> None:
    api = guarded
    ours = with_key(api, client(*TEAM, tasks=OURS))
    put(api, reason="of all")

    made = api.put("/v1/holds/ours-deploy?count=true", json=ALL, headers=ours)

    assert (made.status_code, made.json()["tasks"], made.json()["within"]) == (201, 1, ["ours-"])
    assert [each["name"] for each in api.get("/v1/holds", headers=ours).json()["items"]] == [
        "ours-deploy"
    ]
    for method in ("GET", "DELETE"):
        problem(api.call(method, "/v1/holds/deploy", headers=ours), 404, "not-found")
    problem(api.put("/v1/holds/deploy", json=ALL, headers=ours), 404, "not-found")
    # What holds a task of its own it may know.
    assert api.get("/v1/tasks/ours-1", headers=ours).json()["held_by"] == ["deploy", "ours-deploy"]
    assert api.read("/v1/tasks/theirs-1")["held_by"] == ["deploy"]


def test_reading_needs_tasks_read_and_setting_tasks_write(guarded: Api) -> None:
    api = guarded
    reader = with_key(api, client(Scope.TASKS_READ))

    assert api.get("/v1/holds", headers=reader).status_code == 200
    problem(api.put("/v1/holds/deploy", json=ALL, headers=reader), 403, "forbidden")
    problem(api.delete("/v1/holds/deploy", headers=reader), 403, "forbidden")


def test_events_say_that_a_hold_was_set_and_has_ended(guarded: Api) -> None:
    api = guarded
    ours = with_key(api, client(*TEAM, tasks=OURS))
    events = Stream(api, "/v1/events?type=hold.*", headers=api.headers)
    of_ours = Stream(api, "/v1/events", headers=ours)
    eventually(lambda: events.last_id and of_ours.last_id)
    put(api, reason="the database moves")
    put(api)
    put(api)
    api.delete("/v1/holds/deploy")
    put(api, "ours-deploy", selector={"name_prefix": "ours-"})

    seen = events.until_received(4)
    assert of_ours.until_received(1)[0].data["hold"] == "ours-deploy"
    for each in (events, of_ours):
        each.stop()

    assert [each.type for each in seen] == ["hold.set", "hold.set", "hold.ended", "hold.set"]
    assert seen[0].data | {"id": "", "from": ""} == {
        "hold": "deploy",
        "id": "",
        "from": "",
        "until": None,
        "fire_times": "skip",
        "reason": "the database moves",
        "within": None,
        "by": "key:1",
    }
