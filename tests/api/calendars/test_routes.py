"""Calendars over HTTP: declared, followed by schedules and previews, kept while they are used, shared by all."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rota.domain.access.names import NameLimit
from rota.domain.access.scopes import Scope
from tests.api.access.clients import client, headers_of, shared
from tests.api.service import Api, pointers, problem

PATH = "/v1/calendars/c"
DATES = {"dates": ["2030-01-02", "2030-01-01", "2030-01-02"]}
TEXT = (
    "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART;VALUE=DATE:20300101\r\nEND:VEVENT\r\nEND:VCALENDAR"
)
BERLIN = {"holidays": {"country": "DE", "subdivision": "BE"}}
YEARLY: dict[str, Any] = {
    "type": "calendar",
    "unit": "year",
    "day": ["01-01", "01-02", "01-03"],
    "time": "09:00",
    "exclude": [{"calendar": "c"}],
    "start_at": "2030-01-01T00:00:00Z",
}
SCOPES = (Scope.TASKS_READ, Scope.TASKS_WRITE)
US = headers_of(client(*SCOPES, tasks=NameLimit(("ours-",))))


@pytest.fixture(scope="module")
def shared_api(another_database: Callable[[str], str]) -> Iterator[Api]:
    with shared(another_database("sqlite")) as made:
        yield made


@pytest.fixture
def api(shared_api: Api) -> Iterator[Api]:
    """A service without tasks and calendars."""
    yield shared_api
    shared_api.post("/v1/tasks/delete", json={"selector": {"all": True}})
    for each in shared_api.items("/v1/calendars"):
        assert shared_api.delete(f"/v1/calendars/{each['name']}").status_code == 204


@pytest.mark.parametrize("body", [DATES, {"icalendar": TEXT}, BERLIN], ids=str)
def test_a_calendar_is_declared_read_listed_and_sent_back(api: Api, body: dict[str, Any]) -> None:
    made = api.put(PATH, json=body | {"description": "closed"})
    read = api.get(PATH)
    (listed,) = api.items("/v1/calendars")
    again = api.put(PATH, json=read.json(), headers={"if-match": read.headers["etag"]})

    assert (made.status_code, again.status_code) == (201, 200)
    shown = made.json()
    assert shown == read.json() == again.json()
    assert listed == {name: shown[name] for name in listed}
    assert set(shown) - set(listed) == {"dates", "icalendar", "holidays", "tasks"}
    given = {"dates": ["2030-01-01", "2030-01-02"]} if body is DATES else body
    assert {name: shown[name] for name in given} == given
    assert shown["next"][0] > "2026-12"


def test_a_schedule_and_its_preview_follow_the_present_days(api: Api) -> None:
    api.put(PATH, json={"dates": ["2030-01-01"]})
    task = api.task("t", handler="echo", schedule=YEARLY)
    body = {"schedule": YEARLY, "count": 1}

    previews = [api.post("/v1/schedules/preview", json=body).json()["fire_times"][0]["at"]]
    api.put(PATH, json=DATES)
    previews.append(api.post("/v1/schedules/preview", json=body).json()["fire_times"][0]["at"])

    assert [at[:10] for at in previews] == ["2030-01-02", "2030-01-03"]
    assert task["next_fire_at"][:10] == "2030-01-02"
    changed = api.read("/v1/tasks/t")
    assert changed["next_fire_at"][:10] == "2030-01-03"
    assert changed["generation"] == 1
    assert api.read("/v1/tasks/t/upcoming?count=1")["items"][0][:10] == "2030-01-03"
    moment = api.read("/v1/tasks/t/explain?at=2030-01-02T09:00:00Z")
    assert "leaves it out" in moment["message"]


def test_a_task_that_never_fires_because_of_a_calendar_gets_a_warning(api: Api) -> None:
    api.put(PATH, json={"dates": ["2030-01-01"]})
    once = {"type": "once", "at": "2030-01-01T09:00:00Z", "exclude": [{"calendar": "c"}]}

    made = api.put("/v1/tasks/t", json={"handler": "echo", "schedule": once}).json()

    assert [each["code"] for each in made["warnings"]] == ["never_fires"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, ""),
        (DATES | BERLIN, ""),
        ({"dates": []}, "/dates"),
        ({"dates": ["2026-02-30"]}, "/dates"),
        ({"dates": [5]}, "/dates/0"),
        ({"icalendar": "x"}, "/icalendar"),
        ({"holidays": {"country": "XX"}}, "/holidays/country"),
        ({"holidays": {"country": "DE", "subdivision": "XX"}}, "/holidays/subdivision"),
        (DATES | {"name": "other"}, "/name"),
    ],
    ids=str,
)
def test_a_wrong_calendar_is_refused_with_the_place(
    api: Api, body: dict[str, Any], pointer: str
) -> None:
    answer = api.put(PATH, json=body)

    problem(answer, 422, "invalid")
    assert pointers(answer) == [pointer]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/tasks/ours-t", {"handler": "echo", "schedule": dict(YEARLY)}),
        ("/v1/schedules/preview", {"schedule": dict(YEARLY)}),
    ],
)
def test_an_unknown_calendar_is_refused_with_the_place_and_a_near_name(
    api: Api, path: str, body: dict[str, Any]
) -> None:
    api.put("/v1/calendars/closed-days", json=DATES)

    body["schedule"] |= {"exclude": [{"calendar": "closed-day"}]}

    answer = api.call("POST" if "preview" in path else "PUT", path, json=body)

    assert pointers(answer) == ["/schedule/exclude"]
    assert problem(answer, 422, "invalid")["detail"].endswith("; did you mean 'closed-days'?")


def test_tasks_with_a_calendar_are_resumed_together(api: Api) -> None:
    api.put(PATH, json=DATES)
    rule = {"type": "interval", "every": 1, "exclude": [{"calendar": "c"}]}
    api.task("t", handler="echo", schedule=rule)
    for verb in ("pause", "resume"):
        answer = api.post(f"/v1/tasks/{verb}", json={"selector": {"all": True}})
        assert answer.json()["matched"] == 1

    assert api.read("/v1/tasks/t")["status"] == "active"


def test_a_calendar_in_use_is_kept_and_its_users_are_named(api: Api) -> None:
    api.put(PATH, json=DATES)
    api.task("t", handler="echo", schedule=YEARLY)

    refused = problem(api.delete(PATH), 409, "calendar-in-use")

    assert (refused["tasks"], refused["count"]) == (["t"], 1)
    problem(api.delete("/v1/calendars/x"), 404, "not-found")


def test_a_key_with_a_limit_uses_calendars_and_neither_changes_them_nor_sees_who_else_does(
    api: Api,
) -> None:
    api.put(PATH, json=DATES)
    for name in ("ours-t", "theirs-t"):
        api.task(name, handler="echo", schedule=YEARLY)

    read = api.get(PATH, headers=US)

    assert read.json()["tasks"] == 1
    assert api.read(PATH)["tasks"] == 2
    for answer in (api.put(PATH, json=DATES, headers=US), api.delete(PATH, headers=US)):
        assert "theirs" not in str(problem(answer, 403, "forbidden"))
    made = api.put("/v1/tasks/ours-u", json={"handler": "echo", "schedule": YEARLY}, headers=US)
    assert made.status_code == 201


def test_changes_are_in_the_audit_log(api: Api) -> None:
    api.put(PATH, json=DATES)
    api.delete(PATH)

    actions = [each["type"] for each in api.items("/v1/audit")[:2]]

    assert actions == ["calendar.removed", "calendar.declared"]
