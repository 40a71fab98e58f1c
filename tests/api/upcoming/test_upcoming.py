"""What runs next of all tasks: as a list, and as a calendar with a key as its password."""

from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rota.domain.access.names import NameLimit
from rota.domain.access.scopes import Scope
from tests.api.access.clients import KEY, OURS, client, shared, with_key
from tests.api.marks import always_on_both, shares_service
from tests.api.service import Api, problem, serving
from tests.api.upcoming.test_icalendar import events_of

HOURLY = {"type": "cron", "expression": "0 * * * *"}
NEVER = HOURLY | {"exclude": [{"from": "2000-01-01", "to": "2099-01-01"}]}


@pytest.fixture
def filled(api: Api) -> Api:
    api.task("hourly", schedule=HOURLY, tags=["a", "b"])
    api.task("half", schedule=HOURLY | {"expression": "30 * * * *"}, tags=["b"])
    api.task("berlin", schedule=HOURLY | {"timezone": "Europe/Berlin"}, queue="mail")
    api.task("paused", schedule=HOURLY, paused=True)
    api.task("never", schedule=NEVER)
    api.task("manual")
    return api


def listed(api: Api, query: str = "") -> list[str]:
    return [each["task"] for each in api.read(f"/v1/upcoming?{query}")["items"]]


@shares_service
@always_on_both
def test_what_runs_next_is_listed_by_time(filled: Api) -> None:
    shown = filled.read("/v1/upcoming?limit=30")

    items = shown["items"]
    assert len(items) == 30
    assert items == sorted(items, key=lambda each: (each["at"], each["task"]))
    assert {each["task"] for each in items} == {"hourly", "half", "berlin"}
    assert shown["complete_until"] >= items[-2]["at"] or items[-2]["at"] == items[-1]["at"]
    berlin = next(each for each in items if each["task"] == "berlin")
    assert berlin["local"].endswith(("+01:00", "+02:00"))
    assert {name: berlin[name] for name in ("handler", "queue", "tags", "held")} == {
        "handler": "echo",
        "queue": "mail",
        "tags": [],
        "held": False,
    }
    upcoming = filled.read("/v1/tasks/half/upcoming?count=10")["items"]
    assert [each["at"] for each in items if each["task"] == "half"] == upcoming


@shares_service
@always_on_both
def test_a_list_has_the_tasks_and_the_time_that_it_was_asked_for(filled: Api) -> None:
    assert set(listed(filled, "tag=a")) == {"hourly"}
    assert set(listed(filled, "tag=b,x")) == {"hourly", "half"}
    assert set(listed(filled, "task=half&task=berlin")) == {"half", "berlin"}
    assert set(listed(filled, "task=half&tag=a")) == set()
    assert listed(filled, "until=2000-01-01T00:00:00Z") == []
    page = filled.read("/v1/upcoming?task=half&limit=1")
    first = page["items"][0]["at"]
    second = filled.read("/v1/upcoming?task=half&limit=2")["items"][1]["at"]
    assert first < page["complete_until"] < second < page["until"]
    assert listed(filled, f"task=half&until={first}") == ["half"]
    problem(filled.get("/v1/upcoming?until=soon"), 422, "invalid")
    problem(filled.get("/v1/upcoming?limit=501"), 422, "invalid")


@shares_service
@always_on_both
def test_the_calendar_has_an_event_for_each(filled: Api) -> None:
    answer = filled.get("/v1/upcoming.ics?task=berlin&task=half&days=1")

    assert answer.headers["content-type"] == "text/calendar; charset=utf-8"
    events = events_of(answer.content)
    shown = filled.read("/v1/upcoming?task=berlin&task=half&limit=48")["items"]
    assert [str(each["SUMMARY"]) for each in events] == [each["task"] for each in shown]
    assert [each["DTSTART"].dt.isoformat() for each in events] == [
        each["at"].replace(".000Z", "+00:00") for each in shown
    ]
    assert len({str(each["UID"]) for each in events}) == len(events) == 48
    assert "Europe/Berlin" in next(str(each["DESCRIPTION"]) for each in events
                                   if each["SUMMARY"] == "berlin")  # fmt: skip
    again = events_of(filled.get("/v1/upcoming.ics?task=half&days=2").content)
    uids = {str(each["UID"]) for each in again}
    assert {str(each["UID"]) for each in events if each["SUMMARY"] == "half"} <= uids


@shares_service
def test_a_task_that_fires_all_the_time_leaves_room_for_the_others(api: Api) -> None:
    api.task("every-minute", schedule=HOURLY | {"expression": "* * * * *"}, tags=["room"])
    api.task("daily", schedule=HOURLY | {"expression": "0 0 * * *"}, tags=["room"])

    events = events_of(api.get("/v1/upcoming.ics?tag=room&days=30").content)

    names = [str(each["SUMMARY"]) for each in events]
    assert names.count("every-minute") == 100
    assert names.count("daily") == 30


@shares_service
@always_on_both
def test_what_lies_in_a_hold_is_marked_and_in_no_calendar(api: Api) -> None:
    for name in ("held", "free"):
        api.task(name, schedule=HOURLY, tags=["holding", name])
    first, second, third = [
        each["at"] for each in api.read("/v1/upcoming?task=held&limit=3")["items"]
    ]
    hold = {"selector": {"tags": ["held"]}, "from": second, "until": third, "fire_times": "skip"}
    assert api.put("/v1/holds/planned", json=hold).is_success

    items = api.read("/v1/upcoming?tag=holding&limit=6")["items"]
    events = events_of(api.get("/v1/upcoming.ics?tag=holding&days=1").content)
    assert api.delete("/v1/holds/planned").is_success

    assert [each["at"] for each in items if each["held"]] == [second]
    assert [each["task"] for each in items if each["held"]] == ["held"]
    names = [str(each["SUMMARY"]) for each in events]
    assert (names.count("held"), names.count("free")) == (23, 24)
    assert first < second


# -------------------------------------------------------------------------------------------------------------- keys
@pytest.fixture(scope="module")
def guarded(another_database: Callable[[str], str]) -> Iterator[Api]:
    with shared(another_database("sqlite")) as made:
        for name in ("ours-1", "theirs-1"):
            made.task(name, schedule=HOURLY, tags=["all"])
        yield made


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"}


def test_a_key_sees_its_own_tasks_only(guarded: Api) -> None:
    ours = with_key(guarded, client(Scope.TASKS_READ, tasks=OURS))

    answers: list[Any] = [
        guarded.get(f"/v1/upcoming{path}", headers=ours)
        for path in ("", "?tag=all", "?task=theirs-1", ".ics?tag=all")
    ]

    assert [each.status_code for each in answers] == [200] * 4
    assert ["ours-1" in each.text for each in answers] == [True, True, False, True]
    assert not any("theirs-1" in each.text for each in answers)
    none = with_key(guarded, client(Scope.KV_READ, tasks=NameLimit(None)))
    problem(guarded.get("/v1/upcoming", headers=none), 403, "forbidden")


def test_a_calendar_sends_a_key_as_the_password(guarded: Api) -> None:
    bare = Api(guarded.portal, guarded.app)

    for user in ("", "rota", "an:y"[:2]):
        assert bare.get("/v1/upcoming.ics", headers=basic(user, KEY)).status_code == 200
    for wrong in (basic("", "wrong"), basic(KEY, ""), {"Authorization": "Basic %"}, {}):
        refused = bare.get("/v1/upcoming.ics", headers=wrong)
        problem(refused, 401, "unauthorized")
        assert refused.headers["www-authenticate"].startswith("Basic realm=")
    # Nowhere else: a browser would send the password to all of them by itself.
    elsewhere = bare.get("/v1/upcoming", headers=basic("", KEY))
    problem(elsewhere, 401, "unauthorized")
    assert elsewhere.headers["www-authenticate"] == "Bearer"


def test_without_keys_a_program_of_this_machine_needs_none(migrated_database_url: str) -> None:
    with serving(migrated_database_url) as api:
        assert api.get("/v1/upcoming.ics").status_code == 200
