"""GET /v1/tasks: a total order, cursors, filters."""

import base64
import json
from typing import Any

import pytest

from tests.api.marks import always_on_both, shares_service
from tests.api.service import MANUAL, YEARLY, Api, problem

pytestmark = always_on_both


def register(api: Api, *names: str, **fields: Any) -> None:
    items = [{"name": name, "handler": "echo", "schedule": MANUAL} | fields for name in names]
    assert api.post("/v1/tasks/batch", json={"items": items}).status_code == 201


def test_no_tasks_is_an_empty_page(api: Api) -> None:
    assert api.read("/v1/tasks") == {"items": [], "next_cursor": None}


def test_tasks_are_sorted_by_the_bytes_of_their_names(api: Api) -> None:
    names = ["a", "B", "a-b", "a.b", "a0", "Z", "a_b", "ab", "0", "a~"]
    register(api, *names)

    assert api.names() == sorted(names)


def test_pages_have_every_task_exactly_once(api: Api) -> None:
    names = sorted(f"t-{number:03}" for number in range(25))
    register(api, *names)

    pages = list(walk(api, "/v1/tasks?limit=10"))

    assert [len(page) for page in pages] == [10, 10, 5]
    assert [task["name"] for page in pages for task in page] == names


def test_a_full_last_page_has_no_cursor(api: Api) -> None:
    register(api, *(f"t-{number}" for number in range(4)))

    assert [len(page) for page in walk(api, "/v1/tasks?limit=2")] == [2, 2]


def test_pages_have_existing_tasks_exactly_once_while_others_insert_and_delete(api: Api) -> None:
    names = [f"t-{number:02}" for number in range(12)]
    register(api, *names)

    seen: list[str] = []
    for number, page in enumerate(walk(api, "/v1/tasks?limit=3")):
        seen += [task["name"] for task in page]
        register(api, f"s-{number}", f"t-{number:02}x", f"u-{number}")
        api.delete(f"/v1/tasks/s-{number}")

    assert len(seen) == len(set(seen))
    assert set(names) <= set(seen)


def test_the_default_limit_is_fifty_and_the_maximum_two_hundred(api: Api) -> None:
    register(api, *(f"t-{number:03}" for number in range(201)))

    assert len(api.names()) == 50
    assert len(api.names("limit=200")) == 200
    for limit in ("0", "201", "-1", "x", "", "1e3", "1.5"):
        problem(api.get(f"/v1/tasks?limit={limit}"), 422, "invalid")


@shares_service
@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "%20",
        "ü",
        "AAAA",
        base64.urlsafe_b64encode(b'["a"').decode(),
        base64.urlsafe_b64encode(b'["a","b"]').decode(),
        base64.urlsafe_b64encode(b"[1]").decode(),
        base64.urlsafe_b64encode(b'["\\u0000"]').decode(),
        base64.urlsafe_b64encode(b'["\\ud800"]').decode(),
        base64.urlsafe_b64encode(b"\xff\xff").decode(),
    ],
)
def test_a_foreign_cursor_is_refused(api: Api, cursor: str) -> None:
    problem(api.get("/v1/tasks", params={"cursor": cursor}), 422, "invalid-cursor")


def test_filters_are_or_within_and_and_across(api: Api) -> None:
    register(api, "a", tags=["x"], queue="one")
    register(api, "b", tags=["x", "y"], queue="two")
    register(api, "c", tags=["z"], queue="two")
    register(api, "d", handler="count", schedule=YEARLY, paused=True)

    assert api.names("tag=x") == ["a", "b"]
    assert api.names("tag=x,z") == api.names("tag=x&tag=z") == ["a", "b", "c"]
    assert api.names("tag=x,z&queue=two") == ["b", "c"]
    assert api.names("tag=x&queue=one,two&handler=echo&status=active") == ["a", "b"]
    assert api.names("handler=count") == api.names("status=paused") == ["d"]
    assert api.names("status=paused,active") == ["a", "b", "c", "d"]
    assert api.names("tag=none") == api.names("queue=none") == api.names("handler=none") == []


def test_filters_hold_across_pages(api: Api) -> None:
    register(api, *(f"a-{number}" for number in range(5)), tags=["x"])
    register(api, *(f"b-{number}" for number in range(5)))

    pages = list(walk(api, "/v1/tasks?limit=2&tag=x"))

    assert [task["name"] for page in pages for task in page] == [f"a-{n}" for n in range(5)]


def test_a_prefix_is_no_pattern(api: Api) -> None:
    register(api, "ab", "a-b", "aB", "a_b", "Ab", "a~", "b")

    assert api.names("name_prefix=a") == sorted(["ab", "a-b", "aB", "a_b", "a~"])
    assert api.names("name_prefix=a_") == ["a_b"]
    assert api.names("name_prefix=a~") == ["a~"]
    assert api.names("name_prefix=c") == []


@shares_service
@pytest.mark.parametrize("prefix", ["%25", "\U0010ffff", "\ud7ff", "a b", "\x00", "a\x00", "*"])
def test_an_impossible_prefix_is_refused_or_finds_nothing(api: Api, prefix: str) -> None:
    api.task("a")

    answer = api.get("/v1/tasks", params={"name_prefix": prefix})

    assert answer.status_code == 422 or answer.json()["items"] == []


@shares_service
@pytest.mark.parametrize("name", ["status", "tag", "handler", "queue", "name_prefix"])
def test_nul_in_a_filter_is_refused(api: Api, name: str) -> None:
    assert api.get(f"/v1/tasks?{name}=%00").status_code == 422


def test_an_unknown_status_is_refused_with_a_list_of_all(api: Api) -> None:
    refused = problem(api.get("/v1/tasks?status=active,broken"), 422, "invalid-filter")

    assert "broken" in refused["detail"]
    assert "cancelled" in refused["detail"]


@shares_service
@pytest.mark.parametrize("query", ["state=active", "Limit=1", "limit=1&offset=2", "page", "=1"])
def test_an_unknown_parameter_is_refused_with_a_list_of_all(api: Api, query: str) -> None:
    refused = problem(api.get(f"/v1/tasks?{query}"), 422, "unknown-parameter")

    assert "name_prefix" in refused["detail"]


def walk(api: Api, path: str) -> Any:
    """Yield the pages of a list."""
    cursor = None
    while True:
        page = api.read(path if cursor is None else f"{path}&cursor={cursor}")
        yield page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return
        json.dumps(cursor)
