"""GET /v1/status?tag=: the states of tasks that make their badges public, and nothing of others."""

from collections.abc import Callable, Iterator

import pytest

from tests.api.keys.clients import bearer
from tests.api.service import Api, problem, serving
from tests.api.stats.test_badge import KEY, WITH_KEY, declare
from tests.web.browser import Browser


@pytest.fixture(scope="module")
def guarded(another_database: Callable[[str], str]) -> Iterator[Api]:
    with serving(another_database("sqlite"), api_key=KEY) as api:
        declare(api, "seen-1", badge="public", tags=["billing"])
        declare(api, "seen-2", badge="public", tags=["billing", "x/y"])
        declare(api, "hidden-1", tags=["billing", "private"], description='"badge":"public"')
        declare(api, "elsewhere-1", badge="public", tags=["other"])
        api.post("/v1/tasks/seen-1/ping", headers=WITH_KEY)
        yield api


def test_anyone_sees_the_states_of_public_tasks_and_no_others(guarded: Api) -> None:
    answer = guarded.get("/v1/status?tag=billing")

    assert answer.json() == {
        "tag": "billing",
        "items": [
            {"task": "seen-1", "state": "passing"},
            {"task": "seen-2", "state": "no runs"},
        ],
        "is_complete": True,
    }
    assert guarded.get("/v1/status?tag=billing", headers=WITH_KEY).json() == answer.json()


def test_a_tag_of_private_tasks_is_answered_as_one_that_is_not_there(guarded: Api) -> None:
    private, absent = (guarded.get(f"/v1/status?tag={tag}").json() for tag in ("private", "absent"))

    assert private.pop("tag") != absent.pop("tag")
    assert private == absent == {"items": [], "is_complete": True}
    assert problem(guarded.get("/v1/status?tag=%20"), 422, "invalid")


def test_a_task_that_becomes_private_is_not_shown_any_more(guarded: Api) -> None:
    declare(guarded, "seen-3", badge="public", tags=["billing"])
    assert "seen-3" in guarded.get("/v1/status?tag=billing").text

    declare(guarded, "seen-3", badge="private", tags=["billing"])

    assert "seen-3" not in guarded.get("/v1/status?tag=billing").text


def test_a_limited_key_sees_its_tasks_only(guarded: Api) -> None:
    sent = {"name": "limited", "scopes": ["runs:read"], "tasks": ["seen-2"]}
    key = guarded.post("/v1/keys", json=sent, headers=WITH_KEY).json()["key"]

    shown = guarded.get("/v1/status?tag=billing", headers=bearer(key)).json()["items"]

    assert [each["task"] for each in shown] == ["seen-2"]


def test_the_page_needs_no_session_and_says_no_more(guarded: Api) -> None:
    guarded.put(
        "/v1/holds/all-1", json={"selector": {"all": True}, "reason": "s3cr3t"}, headers=WITH_KEY
    )
    browser = Browser(guarded)

    for _ in range(2):
        page = browser.page("/ui/status/billing")
        shown = " ".join(page.text.split())
        assert "seen-1‖ held" in shown
        assert not any(each in shown for each in ("hidden", "elsewhere", "s3cr3t", "3 tasks"))
        assert page.all("script") == page.all("a") == []
        assert browser.page("/ui/status/x/y").text.count("seen-") == 1
        browser.send("/ui/sign-in", {"key": KEY})
    guarded.delete("/v1/holds/all-1", headers=WITH_KEY)
    assert "No task with this tag" in browser.page("/ui/status/private").text


def test_tasks_that_only_look_public_hide_no_others(
    guarded: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rota.store.stats.badges.MOST_ON_A_PAGE", 1)
    for number in range(5):
        declare(
            guarded,
            f"alike-{number}",
            kv_schema={"a": {"const": {"badge": "public"}}},
            tags=["crowd"],
        )
    declare(guarded, "alike-public", badge="public", tags=["crowd"])

    shown = guarded.get("/v1/status?tag=crowd").json()["items"]

    assert [each["task"] for each in shown] == ["alike-public"]


def test_of_a_tag_with_very_many_tasks_the_first_are_read(
    guarded: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rota.store.stats.badges.MOST_TAGGED", 2)
    for name in ("one", "two", "three"):
        declare(guarded, name, badge="public", tags=["many"])

    found = guarded.get("/v1/status?tag=many").json()

    assert [each["task"] for each in found["items"]] == ["one", "two"]
