"""Pages show no control that the key of the session may not use: all of them are opened, and all of it is tried."""

from collections.abc import Callable, Iterator, Mapping
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin

import pytest

from tests.api.keys.clients import ADMIN, bearer, made
from tests.api.service import Api, serving
from tests.web.browser import Browser

READS = ("tasks:read", "runs:read", "kv:read")
#: Method, URL and fields.
Form = tuple[str, str, dict[str, str]]
#: It is of the session, and of no scope.
OF_SESSION = "/ui/sign-out"
#: Lists lead from one page to the next, and to themselves with other filters: a page is opened once.
MOST_PAGES = 120


class Controls(HTMLParser):
    """What a page leads to, what of that is a button or in the navigation, and its forms: method, URL and fields."""

    def __init__(self, at: str, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.buttons: list[str] = []
        self._is_navigation = False
        self.forms: list[Form] = []
        self._at = at
        self._fields: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "a" and "href" in given:
            self.links.append(urljoin(self._at, given["href"]))
            if self._is_navigation or "button" in given.get("class", ""):
                self.buttons.append(self.links[-1])
        elif tag == "nav":
            self._is_navigation = True
        elif tag == "form":
            self._fields = {}
            url = urljoin(self._at, given.get("action", ""))
            self.forms.append((given.get("method", "get"), url, self._fields))
        elif tag in {"input", "select", "textarea", "button"} and given.get("name"):
            self._fields.setdefault(given["name"], given.get("value", ""))

    def handle_endtag(self, tag: str) -> None:
        self._is_navigation = self._is_navigation and tag != "nav"


@pytest.fixture(scope="module")
def api(another_database: Callable[[str], str]) -> Iterator[Api]:
    with serving(another_database("sqlite"), api_key=ADMIN, headers=bearer(ADMIN)) as service:
        service.task("ours", handler="swap", input={"key": "k", "value": "v"}, kv_history=5)
        service.task("theirs", handler="refuse", retry={"max_attempts": 1}, queue="slow")
        service.task("waiting")
        service.post("/v1/tasks/waiting/pause", json={"reason": "later"})
        service.task("keeping", handler="echo")
        for value in ("v", "w"):
            service.ended(service.run("ours", input={"key": "k", "value": value}))
        service.ended(service.run("theirs"))
        service.run("keeping", scheduled_for="2999-01-01T00:00:00Z")
        service.put("/v1/queues/slow", json={"concurrency": 2})
        service.put("/v1/holds/later", json={"selector": {"name_prefix": "x-"}})
        service.put("/v1/calendars/office", json={"dates": ["2999-12-24"]})
        service.post("/v1/runs/rerun", json={"selector": {"task": ["theirs"]}, "dry_run": True})
        yield service


def signed_in(api: Api, *scopes: str, **key: Any) -> Browser:
    browser = Browser(api)
    text = made(api, *scopes, **key)["key"]
    assert browser.send("/ui/sign-in", {"key": text}).status_code == 303
    return browser


def test_a_page_that_asks_the_api_nothing_has_the_navigation(api: Api) -> None:
    answer = signed_in(api, *READS).open("/ui/nowhere")

    assert answer.status_code == 404
    assert {"/ui/tasks", "/ui/runs"} <= set(Controls("/ui/nowhere", answer.text).buttons)


def pages(browser: Browser) -> Iterator[tuple[str, int, Controls]]:
    """Open every page that a link leads to."""
    found, opened = ["/ui"], set[str]()
    while found and len(opened) < MOST_PAGES:
        url = found.pop(0).partition("#")[0]
        if url in opened or not url.startswith("/ui") or url.startswith("/ui/api/"):
            continue
        opened.add(url)
        answer = browser.open(url)
        controls = Controls(url, answer.text)
        yield url, answer.status_code, controls
        found += controls.links


def refused(browser: Browser) -> Mapping[str, str]:
    """Return the buttons, navigation and forms that end in a refusal, with the page that has them.

    The name of a task or a run is a link for who can read it or not: it is no control.
    """
    wrong, tried = {}, set[tuple[str, str]]()
    for at, _, controls in list(pages(browser)):
        links: list[Form] = [("get", url, {}) for url in controls.buttons]
        for method, url, fields in (*links, *controls.forms):
            if method == "dialog" or url == OF_SESSION or (method, url) in tried:
                continue
            tried.add((method, url))
            answer = browser.open(url) if method == "get" else browser.send(url, fields)
            if answer.status_code == 403:
                wrong[url] = f"{method} from {at}"
    return wrong


def all_forms(browser: Browser) -> set[str]:
    return {url for _, _, controls in pages(browser) for _, url, _ in controls.forms}


@pytest.mark.parametrize(
    "scopes",
    [READS, ("tasks:read",), ("runs:read",), ("kv:read", "tasks:read"), ("audit",), ("queues",)],
    ids="+".join,
)
def test_no_page_has_a_control_that_the_key_may_not_use(api: Api, scopes: tuple[str, ...]) -> None:
    assert refused(signed_in(api, *scopes)) == {}


def test_a_reader_of_some_tasks_has_no_control_that_ends_in_a_refusal(api: Api) -> None:
    assert refused(signed_in(api, *READS, tasks=["ours"])) == {}


def test_a_reader_opens_all_pages_and_can_change_nothing(api: Api) -> None:
    opened = list(pages(signed_in(api, *READS)))

    assert [url for url, status, _ in opened if status == 403] == []
    assert {"/ui/tasks/ours", "/ui/tasks/ours/kv/k", "/ui/queues", "/ui/calendars/office"} <= {
        url for url, status, _ in opened if status == 200
    }
    changing = {url for _, _, page in opened for method, url, _ in page.forms if method == "post"}
    assert changing == {OF_SESSION}


@pytest.mark.parametrize(
    ("scope", "control"),
    [
        ("runs:write", "/ui/tasks/ours/run"),
        ("runs:write", "/ui/runs/bulk/new"),
        ("tasks:write", "/ui/tasks/ours/pause"),
        ("tasks:write", "/ui/tasks/waiting/resume"),
        ("tasks:write", "/ui/tasks/ours/delete"),
        ("tasks:write", "/ui/holds"),
        ("tasks:write", "/ui/calendars/office"),
        ("kv:write", "/ui/tasks/ours/kv/k"),
        ("queues", "/ui/queues/slow/limit"),
        ("queues", "/ui/queues/slow/pause"),
    ],
)
def test_who_has_the_scope_has_the_control(api: Api, scope: str, control: str) -> None:
    assert control in all_forms(signed_in(api, *READS, scope))


def test_who_opens_a_form_by_its_url_is_told_which_scope_it_takes(api: Api) -> None:
    browser = signed_in(api, *READS)
    run = api.items("/v1/runs?task=theirs")[0]["id"]

    for path, scope in (
        ("/ui/new-task", "tasks:write"),
        ("/ui/tasks/ours/edit", "tasks:write"),
        ("/ui/tasks/ours/run", "runs:write"),
        (f"/ui/runs/{run}/rerun", "runs:write"),
        ("/ui/runs/bulk/new", "runs:write"),
        ("/ui/tasks/ours/kv/revert", "kv:write"),
    ):
        answer = browser.open(path)
        assert answer.status_code == 403, path
        assert f"does not have the scope {scope}" in answer.text
