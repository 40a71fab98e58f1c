"""The form for a task: every member of the API is in it, what is typed is kept, and what it sends is what was typed."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import pytest

from tests.api.service import YEARLY, Api, serving
from tests.support.openapi import openapi_document
from tests.web.browser import Browser

SCHEMAS = openapi_document()["components"]["schemas"]
HOSTILE = """<script>alert(1)</script>"'></textarea><img src=x onerror=alert(1)>{{ 7 * 7 }}"""
CRON = {"/handler": "echo", "/schedule": "cron", "/schedule#cron/expression": "0 9 * * 1-5"}


@pytest.fixture(scope="module")
def api(another_database: Callable[[str], str]) -> Iterator[Api]:
    with serving(another_database("sqlite")) as service:
        for name in ("alert", "before"):
            service.task(name)
        yield service


@pytest.fixture(scope="module")
def browser(api: Api) -> Browser:
    return Browser(api)


class Typed(HTMLParser):
    """What the fields of a page hold, as a browser would send it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self._select = self._text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        match tag:
            case "input" if given.get("name"):
                self.fields[given["name"]] = given.get("value", "")
            case "textarea":
                self._text = given["name"]
                self.fields[self._text] = ""
            case "select":
                self._select = given["name"]
            case "option" if self._select:
                if "selected" in given or self._select not in self.fields:
                    self.fields[self._select] = given["value"]

    def handle_data(self, data: str) -> None:
        if self._text:
            self.fields[self._text] += data.removeprefix("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in {"textarea", "select"}:
            self._text = self._select = ""


def typed_at(browser: Browser, path: str) -> dict[str, str]:
    answer = browser.open(path)
    assert answer.status_code == 200, answer.text
    return Typed(answer.text).fields


def members(schema: Mapping[str, Any], pointer: str = "") -> Iterator[str]:
    """Yield the pointers of the members of a schema, of each form that it can have; lists and maps have none."""
    if "$ref" in schema:
        schema = SCHEMAS[schema["$ref"].rpartition("/")[2]]
    for each in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from members(each, pointer)
    for name, member in schema.get("properties", {}).items():
        below = set(members(member, f"{pointer}/{name}"))
        yield from below or {f"{pointer}/{name}"}


def test_every_member_of_a_registration_has_a_field(browser: Browser) -> None:
    fields = {re.sub(r"#[^/]*", "", name) for name in typed_at(browser, "/ui/new-task")}

    wanted = {re.sub(r"/type$", "", pointer) for pointer in members(SCHEMAS["TaskIn"])}

    assert wanted - fields == set()
    assert len(wanted) > 80


def test_an_edit_has_the_same_fields_but_the_name(api: Api, browser: Browser) -> None:
    api.task("edited", schedule=YEARLY)

    new = typed_at(browser, "/ui/new-task").keys()

    assert new - typed_at(browser, "/ui/tasks/edited/edit").keys() == {"/name"}


def test_sections_of_what_is_default_are_folded(api: Api, browser: Browser) -> None:
    api.task("by-default", schedule=YEARLY)

    page = browser.page("/ui/tasks/by-default/edit")

    assert [each for each in page.all("details") if "open" in each] == []


def test_every_form_of_a_choice_is_shown_when_it_is_chosen(browser: Browser) -> None:
    css = files("rota.web").joinpath("static/task_form.css").read_text()
    page = browser.page("/ui/new-task")

    forms = {each["data-form"] for each in page.all("div") if each.get("class") == "form"}

    assert len(forms) > 10
    for name in forms:
        assert f'option[value="{name}"]:checked) > [data-form="{name}"]' in css


def test_a_task_is_registered_without_script(api: Api, browser: Browser) -> None:
    page = browser.send("/ui/new-task", CRON | {"/name": "by-form", "/input#json": "[1, 2]"})

    assert page.status_code == 200, page.text
    assert "A new task, active." in page.text
    assert api.get("/v1/tasks/by-form").status_code == 404
    saved = browser.send("/ui/new-task", Typed(page.text).fields | {"action": "save"})
    assert (saved.status_code, saved.headers["location"]) == (303, "/ui/tasks/by-form")
    made = api.read("/v1/tasks/by-form")
    assert made["input"] == [1, 2]
    assert made["schedule"]["expression"] == "0 9 * * 1-5"


DEFINITIONS: list[dict[str, Any]] = [
    {"schedule": {"type": "once", "at": "2099-01-01T00:00:00Z"}},
    {"schedule": {"type": "interval", "every": "1h30m", "mode": "fixed_delay"}},
    {"schedule": {**YEARLY, "exclude": ["2026-12-24", {"from": "2027-01-01", "to": "2027-01-06"}]}},
    {"schedule": {**YEARLY, "dst": {"fold": "both"}, "max_runs": 3, "jitter": "90s"}},
    {"schedule": {"type": "calendar", "unit": "week", "day": ["mon", "fri"], "time": "18:00"}},
    {"schedule": {"type": "calendar", "unit": "month", "day": "last", "time": "18:00"}},
    {"schedule": {"type": "any_of", "schedules": [YEARLY, {"type": "interval", "every": 60}]}},
    {"schedule": {"type": "after", "tasks": ["alert", "before"], "on": ["failed", "skipped"]}},
    {"input": {"name": None, "big": 2**60, "text": "1\n 2"}, "description": "One.\n\nTwo: <b>"},
    {
        "handler": "http",
        "target": {
            "url": "https://app.example.com/{{ input.id }}",
            "headers": {"X-Token": "secret: very", "X-Other": "a"},
            "query": {"page": 1, "all": True},
            "success_codes": [200, "3xx"],
            "retry_codes": [],
            "kv": ["cursor"],
            "body": {"a": ["{{ kv.cursor }}"]},
        },
    },
    {
        "handler": "http",
        "target": {
            "url": "https://app.example.com/",
            "auth": {"type": "basic", "username": "key", "password": ""},
            "timeout": "5s",
        },
        "timeout": 12.5,
    },
    {
        "retry": {"max_attempts": 7, "jitter": False, "max_elapsed": "1d"},
        "concurrency": {"key": "billing", "limit": 2},
        "constraints": [{"type": "window", "from": "09:00", "to": "17:00"}],
        "tags": ["a", "b:c"],
        "retention": {"runs": 5, "age": "7d"},
        "kv_schema": {"user:*": {"type": "object"}},
        "kv_grants": ["other"],
        "priority": -3,
        "badge": "public",
    },
    {"on_failure": {"task": "alert", "after": 3, "recovery": False}, "on_late": "off"},
    {"on_skipped": {"task": "alert", "reasons": ["overlap"]}, "expect_every": "26h"},
]


@pytest.mark.parametrize("index", range(len(DEFINITIONS)))
def test_an_edit_that_changes_nothing_sends_nothing(api: Api, browser: Browser, index: int) -> None:
    before = api.task(f"same-{index}", **DEFINITIONS[index])

    path = f"/ui/tasks/same-{index}/edit"
    typed = typed_at(browser, path)
    page = browser.send(path, typed)

    assert "Nothing: the task is so already." in page.text, page.text
    again = browser.send(path, typed | {"action": "save", "/description": "Changed."})
    assert again.status_code == 303
    after = api.read(f"/v1/tasks/same-{index}")
    assert {name for name in after if after[name] != before[name]} <= {
        *("description", "generation", "updated_at", "next_fire_at", "upcoming", "applied"),
        "warnings",
    }


@pytest.mark.parametrize("index", range(len(DEFINITIONS)))
def test_what_an_edit_shows_registers_an_equal_task(api: Api, browser: Browser, index: int) -> None:
    """What is typed for a definition is that definition: not only where nothing is changed."""
    before = api.task(f"from-{index}", **DEFINITIONS[index])
    typed = typed_at(browser, f"/ui/tasks/from-{index}/edit") | {"/name": f"to-{index}"}
    typed["/target/headers"] = typed["/target/headers"].replace("[redacted]", "another: secret")
    answer = browser.send("/ui/new-task", typed | {"action": "save"})

    assert answer.status_code == 303, answer.text
    made = api.read(f"/v1/tasks/to-{index}")
    for name in ("input", "schedule", "retry", "timeout", "constraints", "tags", "on_failure"):
        assert made[name] == before[name]


def test_an_edit_sends_what_was_changed_and_nulls_too(api: Api, browser: Browser) -> None:
    api.task("changed", schedule=YEARLY, tags=["a"], input={"x": 1}, timeout="1m")
    typed = typed_at(browser, "/ui/tasks/changed/edit")

    page = browser.send("/ui/tasks/changed/edit", typed | {"/tags": "", "/timeout": ""})
    fields = Typed(page.text).fields
    assert "/tags" in page.text
    answer = browser.send("/ui/tasks/changed/edit", fields | {"action": "save"})
    assert answer.status_code == 303
    changed = api.read("/v1/tasks/changed")
    assert (changed["tags"], changed["timeout"], changed["input"]) == ([], 300, {"x": 1})
    typed = typed_at(browser, "/ui/tasks/changed/edit")
    typed |= {"/input": "json", "/input#json": '{"x": null}', "action": "save"}
    assert browser.send("/ui/tasks/changed/edit", typed).status_code == 303
    assert api.read("/v1/tasks/changed")["input"] == {"x": None}


def test_the_fire_times_that_an_edit_moves_are_shown_first(api: Api, browser: Browser) -> None:
    hour = (
        3 if datetime.now(UTC).hour >= 12 else 15
    )  # hours away: else one of the two has passed today
    api.task("moved", schedule={"type": "cron", "expression": f"0 {hour} * * *"})
    typed = typed_at(browser, "/ui/tasks/moved/edit")

    page = browser.send(
        "/ui/tasks/moved/edit", typed | {"/schedule#cron/expression": f"0 {hour + 1} * * *"}
    )

    assert "0 appear, 0 vanish," in page.text
    assert "<h3>Move</h3>" in page.text
    assert api.read("/v1/tasks/moved")["schedule"]["expression"] == f"0 {hour} * * *"


def test_a_change_by_another_is_a_conflict_that_keeps_what_was_typed(
    api: Api, browser: Browser
) -> None:
    api.task("contested", schedule=YEARLY)
    typed = typed_at(browser, "/ui/tasks/contested/edit") | {"/description": "mine"}
    api.patch("/v1/tasks/contested", json={"description": "theirs"})

    answer = browser.send("/ui/tasks/contested/edit", typed | {"action": "save"})

    assert answer.status_code == 412
    assert "was changed since this page was opened" in answer.text
    again = Typed(answer.text).fields
    assert again["/description"] == "mine"
    assert again["etag"] != typed["etag"]
    browser.send("/ui/tasks/contested/edit", again | {"action": "save"})
    assert api.read("/v1/tasks/contested")["description"] == "mine"


@pytest.mark.parametrize(
    ("typed", "path", "said"),
    [
        ({"/schedule#cron/expression": "x"}, "f-schedule-cron-expression", "5 fields"),
        ({"/handler": "nope"}, "f-handler", "nope"),
        ({"/priority": "high"}, "f-priority", "whole number"),
        ({"/retry/max_attempts": "0"}, "f-retry-max_attempts", "1"),
        ({"/input#json": "{x"}, "f-input-json", "no JSON"),
        ({"/schedule": "json", "/schedule#json": '{"type": "cron"}'}, "f-schedule-json", "expr"),
        ({"/name": "taken"}, "f-name", "taken"),
    ],
)
def test_a_fault_is_said_at_its_field(
    api: Api, browser: Browser, typed: dict[str, str], path: str, said: str
) -> None:
    api.task("taken", schedule=YEARLY)

    answer = browser.send("/ui/new-task", CRON | {"/description": "kept"} | typed)

    assert answer.status_code in {409, 422}
    (fault,) = re.findall(rf'id="{path}-fault1">(.*?)</p>', answer.text)
    assert said in fault
    assert Typed(answer.text).fields.items() >= ({"/description": "kept"} | typed).items()


def test_what_was_typed_is_text_on_each_page(browser: Browser) -> None:
    typed = CRON | {"/description": HOSTILE, "/input#json": '"' + HOSTILE.replace('"', "") + '"'}
    for action in ("review", "refresh", "live"):
        answer = browser.send("/ui/new-task", typed | {"action": action})
        assert answer.status_code == 200
        assert "<img" not in answer.text
        assert "<script>" not in answer.text
    assert (
        Typed(browser.send("/ui/new-task", typed | {"action": "refresh"}).text).fields[
            "/description"
        ]
        == HOSTILE
    )


def test_a_preview_says_words_times_and_what_is_missing(browser: Browser) -> None:
    shown = browser.send("/ui/new-task", CRON | {"action": "live"}).text

    assert "At 09:00 from Monday to Friday, UTC" in shown
    assert shown.count("<time") == 5
    assert "It can be registered." in shown
    missing = browser.send("/ui/new-task", CRON | {"/handler": "", "action": "live"}).text
    assert "Not right yet" in missing
    assert "<code>handler</code>" in missing


def test_a_form_of_another_site_is_refused(api: Api, browser: Browser) -> None:
    answer = browser.send(
        "/ui/new-task",
        CRON | {"/name": "foreign", "action": "save"},
        sec_fetch_site="cross-site",
    )

    assert answer.status_code in {400, 403}
    assert api.get("/v1/tasks/foreign").status_code == 404
