"""The browser of a task's key-value table: entries, the editor with its conflicts, history, restoring."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.api.service import Api, serving
from tests.web.browser import Browser, Elements

TABLE = "/ui/tasks/t/kv"
ENTRY = f"{TABLE}/cursor"


@pytest.fixture(scope="module")
def api(another_database: Callable[[str], str]) -> Iterator[Api]:
    with serving(another_database("sqlite")) as service:
        yield service


@pytest.fixture
def browser(api: Api) -> Browser:
    api.delete("/v1/tasks/t")
    api.task("t")
    for value in ({"page": 1}, {"page": 2}):
        write(api, "cursor", value)
    return Browser(api)


def write(api: Api, key: str, value: Any) -> None:
    assert api.put(f"/v1/tasks/t/kv/{key}", json={"value": value}).status_code in {200, 201}


def value(api: Api, key: str = "cursor") -> Any:
    return api.read(f"/v1/tasks/t/kv/{key}")["value"]


def form(browser: Browser, path: str = ENTRY) -> dict[str, str]:
    """Return the fields of the editor."""
    return browser.page(path).typed() | {"do": "save", "as": "json"}


def test_entries_are_listed_with_type_size_version_and_author(api: Api, browser: Browser) -> None:
    write(api, "name", "Ada")

    shown = " ".join(browser.page(TABLE).text.split())

    assert "2 keys" in shown
    assert 'name text "Ada" 5 3' in shown
    assert "cursor" not in browser.page(f"{TABLE}?prefix=na").text
    assert browser.open(f"{TABLE}?prefix=%20").status_code == 422


def test_many_entries_have_pages(api: Api, browser: Browser) -> None:
    operations = [{"op": "set", "key": f"k-{index:03}", "value": index} for index in range(60)]
    api.post("/v1/tasks/t/kv/transaction", json={"operations": operations})

    page = browser.page(f"{TABLE}?prefix=k-")
    [following] = [each["href"] for each in page.all("a") if each.get("rel") == "next"]

    assert "k-059" not in page.text
    assert "k-059" in browser.page(following or "").text


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"value": "[9007199254740993]", "as": "json"}, [2**53 + 1]),
        ({"value": "a\r\nb", "as": "text"}, "a\nb"),
    ],
)
def test_a_value_is_saved_as_json_or_as_text(
    api: Api, browser: Browser, given: dict[str, str], expected: Any
) -> None:
    answer = browser.send(ENTRY, form(browser) | given)

    assert (answer.status_code, answer.headers["location"]) == (303, f"{ENTRY}?done=save")
    assert value(api) == expected


def test_a_conflict_shows_the_present_value_and_keeps_what_was_typed(
    api: Api, browser: Browser
) -> None:
    typed = form(browser) | {"value": '{"page": 50}'}
    write(api, "cursor", {"page": 77})

    answer = browser.send(ENTRY, typed)

    assert answer.status_code == 412
    assert "{&#34;page&#34;: 50}" in answer.text
    assert "&#34;page&#34;: 77" in answer.text
    assert value(api) == {"page": 77}
    again = Elements(answer.text).typed() | {"do": "save", "as": "json", "value": '{"page": 50}'}
    assert browser.send(ENTRY, again).status_code == 303
    assert value(api) == {"page": 50}


def test_what_is_no_json_stays_in_the_editor(api: Api, browser: Browser) -> None:
    answer = browser.send(ENTRY, form(browser) | {"value": '{"page": '})

    assert answer.status_code == 422
    assert "{&#34;page&#34;: </textarea>" in answer.text
    assert value(api) == {"page": 2}


def test_a_version_shows_what_it_changed_and_can_be_restored(api: Api, browser: Browser) -> None:
    page = browser.page(f"{ENTRY}?version=2")

    assert '-   "page": 1' in page.text
    assert '+   "page": 2' in page.text
    fields = page.typed() | {"do": "restore", "version": "1"}
    assert browser.send(ENTRY, fields).headers["location"] == f"{ENTRY}?done=restore"
    assert value(api) == {"page": 1}


def test_a_deleted_entry_is_restored_from_its_history(api: Api, browser: Browser) -> None:
    browser.send(ENTRY, form(browser) | {"do": "delete"})
    assert api.get("/v1/tasks/t/kv/cursor").status_code == 404

    fields = browser.page(ENTRY).typed() | {"do": "restore", "version": "2"}
    assert browser.send(ENTRY, fields).status_code == 303

    assert value(api) == {"page": 2}


def test_a_new_entry_overwrites_none(api: Api, browser: Browser) -> None:
    fields = {"key": "cursor", "value": "7", "as": "json"}

    answer = browser.send(TABLE, fields)
    created = browser.send(TABLE, fields | {"key": "other", "ttl": "1h"})

    assert answer.status_code == 412
    assert Elements(answer.text).typed()["key"] == "cursor"
    assert created.headers["location"] == f"{TABLE}/other"
    assert api.read("/v1/tasks/t/kv/other")["expires_at"]
    assert value(api) == {"page": 2}


@pytest.mark.parametrize("key", ["a/b", "../../b", "_own", "revert", ""])
def test_a_key_that_is_none_is_said_and_stays(browser: Browser, key: str) -> None:
    answer = browser.send(TABLE, {"key": key, "value": "1", "as": "json"})

    assert answer.status_code in {404, 405, 422}


def test_an_expiry_stays_when_a_value_is_saved(api: Api, browser: Browser) -> None:
    api.put("/v1/tasks/t/kv/cursor", json={"value": 1, "ttl": "1h"})

    browser.send(ENTRY, form(browser) | {"value": "2"})

    assert api.read("/v1/tasks/t/kv/cursor")["expires_at"]


def test_a_text_with_a_type_of_its_own_keeps_it(api: Api, browser: Browser) -> None:
    headers = {"content-type": "text/csv"}
    api.put("/v1/tasks/t/kv/cursor", content=b"a,b", headers=headers)

    browser.send(ENTRY, form(browser) | {"value": "a,b\r\nc"})

    read = api.get("/v1/tasks/t/kv/cursor")
    assert (read.content, read.headers["content-type"][:8]) == (b"a,b\nc", "text/csv")


def test_bytes_are_not_edited(api: Api, browser: Browser) -> None:
    headers = {"content-type": "image/png"}
    api.put("/v1/tasks/t/kv/cursor", content=b"\xff\x00", headers=headers)

    page = browser.page(ENTRY)

    assert page.all("textarea") == []
    assert "/ui/api/v1/tasks/t/kv/cursor" in [each.get("href") for each in page.all("a")]


def test_entries_of_rota_are_read_only(api: Api, browser: Browser) -> None:
    api.ended(api.run("t", input={"x": 1}))

    page = browser.page(f"{TABLE}/_result")

    assert page.all("textarea") == []
    assert "restore" not in [each.get("value") for each in page.all("input")]


def test_the_whole_table_is_reverted_after_a_preview(api: Api, browser: Browser) -> None:
    write(api, "other", 1)

    page = browser.page(f"{TABLE}/revert?to=1")

    assert "Revert 2 keys" in page.text
    assert value(api) == {"page": 2}
    write(api, "third", 1)
    assert browser.send(f"{TABLE}/revert", page.typed()).status_code == 409
    again = browser.page(f"{TABLE}/revert?to=1").typed()
    assert browser.send(f"{TABLE}/revert", again).headers["location"] == TABLE
    assert value(api) == {"page": 1}
    assert [each["key"] for each in api.items("/v1/tasks/t/kv")] == ["cursor"]


@pytest.mark.parametrize("moment", ["99", "yesterday", "01a22911-1ffa-705d-b9c0-655dbb68b392"])
def test_a_moment_that_is_none_is_said_and_stays(browser: Browser, moment: str) -> None:
    answer = browser.open(f"{TABLE}/revert?to={moment}")

    assert answer.status_code in {404, 409, 422}
    assert Elements(answer.text).typed()["to"] == moment
    assert 'role="alert"' in answer.text
