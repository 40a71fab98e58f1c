"""What pages say to who is new, may see little, or looks for why: nothing that is not so, and nothing that misleads."""

from collections.abc import Callable, Iterator

import pytest

from tests.api.keys.clients import ADMIN, bearer, made
from tests.api.service import BASE, YEARLY, Api, serving
from tests.support.factories import eventually
from tests.web.browser import Browser, Elements

ONCE = {"max_attempts": 1}


@pytest.fixture(scope="module")
def empty(another_database: Callable[[str], str]) -> Iterator[Api]:
    with serving(another_database("sqlite")) as service:
        yield service


@pytest.fixture(scope="module")
def api(another_database: Callable[[str], str]) -> Iterator[Api]:
    handlers = ("tests.api.handlers", "tests.web.handlers")
    url = another_database("sqlite")
    with serving(url, handlers=handlers, api_key=ADMIN, headers=bearer(ADMIN)) as service:
        service.task("plain", schedule=YEARLY)
        yield service


@pytest.fixture(scope="module")
def browser(api: Api) -> Browser:
    return signed_in(api, ADMIN)


def signed_in(api: Api, key: str) -> Browser:
    browser = Browser(api)
    assert browser.send("/ui/sign-in", {"key": key}).status_code == 303
    return browser


def words(page: Elements) -> str:
    return " ".join(page.text.split())


def text_of(browser: Browser, path: str) -> str:
    return words(browser.page(path))


# ------------------------------------------------------------------------------------------------- where nothing is
@pytest.mark.parametrize("path", ["/ui/nothing", "/ui/tasks/a/b/c", "/ui/"])
def test_a_url_that_leads_nowhere_is_a_page_that_says_so(empty: Api, path: str) -> None:
    answer = Browser(empty).open(path.rstrip("/") + "/none")

    assert answer.status_code == 404
    assert "There is no page" in answer.text
    assert 'aria-label="Pages"' in answer.text


@pytest.mark.parametrize(
    "path", ["/ui/sign-out", "/ui/queues/default/pause", "/ui/tasks/plain/delete"]
)
def test_the_url_of_a_form_that_is_opened_is_a_page_that_says_so(empty: Api, path: str) -> None:
    answer = Browser(empty).open(path)

    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert "it cannot be opened" in answer.text


@pytest.mark.parametrize("path", ["/ui", "/ui/tasks", "/ui/queues", "/ui/calendars", "/ui/secrets"])
def test_a_command_of_an_empty_page_is_for_this_service(empty: Api, path: str) -> None:
    page = Browser(empty).page(path)

    assert f"{BASE}/v1/" in page.text
    assert "localhost:8000" not in page.text
    assert "authorization" not in page.text


def test_a_command_of_an_empty_page_sends_the_key_where_one_is_needed(browser: Browser) -> None:
    for path in ("/ui/calendars", "/ui/secrets"):
        assert '-H "authorization: Bearer $ROTA_KEY"' in browser.page(path).text


def test_the_command_that_tries_a_new_key_sends_it_to_this_service(browser: Browser) -> None:
    answer = browser.send("/ui/keys", {"name": "tried", "scope:tasks:read": "yes", "scopes": ""})

    page = browser.page(answer.headers["location"]) if answer.is_redirect else Elements(answer.text)
    assert "localhost:8000" not in page.text


@pytest.mark.parametrize("path", ["/ui", "/ui/tasks"])
def test_without_tasks_the_form_for_one_is_a_click_away(empty: Api, path: str) -> None:
    links = {each.get("href") for each in Browser(empty).page(path).all("a")}

    assert {"/ui/new-task", "/ui/handlers"} <= links


def test_a_list_of_changes_that_is_not_filtered_speaks_of_no_filter(empty: Api) -> None:
    assert "Nobody has changed anything yet" in text_of(Browser(empty), "/ui/audit")
    assert "No change fits" in text_of(Browser(empty), "/ui/audit?task=none")


def test_bulk_operations_are_one_of_the_views_of_runs(empty: Api) -> None:
    tabs = Browser(empty).page("/ui/runs/bulk").all("nav")

    assert "Views of runs" in {each.get("aria-label") for each in tabs}


# -------------------------------------------------------------------------------------------------- what is wrong
def test_the_first_page_says_why_a_task_fails_and_leads_to_the_run(
    api: Api, browser: Browser
) -> None:
    api.task("broken", handler="shout", input="the disk is full", retry=ONCE)
    run = api.ended(api.run("broken"))

    page = browser.page("/ui")

    assert "broken: 1 failure in a row; it has never succeeded. Failed" in words(page)
    assert "the disk is full" in page.text.partition("The last hour")[0]
    links = [each.get("href") for each in page.all("a")]
    assert f"/ui/runs/{run['id']}" in links
    assert "/ui/runs/failures" in links


def test_the_first_page_says_why_a_task_has_failed_a_while_ago(
    api: Api, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.task("long-broken", handler="shout", input="the lease is over", retry=ONCE)
    api.ended(api.run("long-broken"))
    api.task("busy")
    api.ended(api.run("busy"))
    monkeypatch.setattr("rota.web.pages.now._MOST_RUNS", 1)

    assert "the lease is over" in browser.page("/ui").text.partition("The last hour")[0]


def test_who_may_not_see_all_is_not_told_that_all_is_well(api: Api) -> None:
    limited = signed_in(api, made(api, "tasks:read", tasks=["plain"])["key"])

    shown = text_of(limited, "/ui")

    assert "Nothing of what this key may see" in shown
    assert "Every task works" not in shown


def test_what_is_typed_and_no_json_is_not_called_a_body(api: Api, browser: Browser) -> None:
    run = api.ended(api.run("plain"))
    faulty = {"input": "{", "value": "{", "as": "json", "key": "k", "verb": "rerun"}
    for path in ("/ui/runs/bulk", "/ui/tasks/plain/kv"):
        answer = browser.send(path, faulty)
        assert answer.status_code == 422
        assert "is no JSON: Expecting" in answer.text, path
    answer = browser.send(f"/ui/runs/{run['id']}/rerun", {"with": "json", "/input#json": "{"})
    assert answer.status_code == 422
    assert "is no JSON (Expecting" in answer.text
    answer = browser.send(
        "/ui/new-task", {"action": "review", "/input#json": "{x", "/input": "json"}
    )
    assert "The body is not JSON" not in answer.text


def test_a_bulk_operation_that_has_ended_says_so_in_a_sentence(api: Api, browser: Browser) -> None:
    api.ended(api.run("plain"))
    to = browser.send("/ui/runs/bulk", {"verb": "rerun", "task": "plain"}).headers["location"]
    browser.send(f"{to}/confirm")
    eventually(lambda: "Finished," in browser.page(to).text, "it does not end")

    said = text_of(browser, to).partition("Finished,")[2].partition(" done")[2]
    assert said.startswith(".")


def test_what_the_input_lacks_is_said_at_its_field(browser: Browser) -> None:
    typed = {"/handler": "greet", "/input": "fields", "/schedule": "manual"}

    page = Elements(browser.send("/ui/new-task", {"action": "review", **typed}).text)

    [name] = [each for each in page.all("input") if each.get("name") == "/input#fields/name"]
    assert name.get("aria-invalid") == "true"
    assert "is a required property" not in page.text


def test_the_log_of_changes_leads_to_what_was_changed(api: Api, browser: Browser) -> None:
    api.put("/v1/calendars/closed", json={"dates": ["2031-12-24"]})
    api.put("/v1/tasks/plain/kv/k", json={"value": 1})

    links = {each.get("href") for each in browser.page("/ui/audit").all("a")}

    assert {"/ui/calendars/closed", "/ui/tasks/plain/kv"} <= links


# ---------------------------------------------------------------------------------------------------- why it waits
def test_a_run_that_was_skipped_is_explained(api: Api, browser: Browser) -> None:
    api.task("first", handler="fail", retry=ONCE)
    api.task("second", schedule={"type": "after", "tasks": ["first"]})
    failed = api.ended(api.run("first"))
    eventually(lambda: api.items("/v1/runs?task=second"), "no run was skipped")
    [skipped] = api.items("/v1/runs?task=second")

    page = browser.page(f"/ui/runs/{skipped['id']}")

    assert "was skipped: a task that it comes after did not end as it should" in words(page)
    assert f"/ui/runs/{failed['id']}" in {each.get("href") for each in page.all("a")}


def test_a_paused_task_is_resumed_by_the_button_that_its_explanation_names(
    api: Api, browser: Browser
) -> None:
    api.post("/v1/tasks/plain/pause", json={"reason": "CRM migration"})

    shown = text_of(browser, "/ui/tasks/plain")

    assert "nothing fires until Resume." in shown
    assert "POST /v1/tasks/plain/resume" not in shown.partition("This task as code")[0]
    api.post("/v1/tasks/plain/resume")


def test_a_task_that_was_resumed_is_not_told_otherwise_than_was_chosen(browser: Browser) -> None:
    shown = text_of(browser, "/ui/tasks/plain?done=resume")

    assert "are skipped or run, as was chosen" in shown


def test_a_task_shows_what_it_calls_and_what_it_runs_when_it_fails(
    api: Api, browser: Browser
) -> None:
    target = {"url": "https://crm.example.com/sync", "method": "PUT"}
    api.task("calls", handler="http", target=target, on_failure={"task": "plain"}, schedule=YEARLY)

    shown = text_of(browser, "/ui/tasks/calls")

    assert "PUT https://crm.example.com/sync" in shown.partition("Statistics")[0]
    assert "runs plain" in shown.partition("Statistics")[0]
