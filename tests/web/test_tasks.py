"""The list of tasks and bulk verbs from its filters; the page of a task and its forms."""

from collections.abc import Callable, Iterator

import pytest

from rota.web.pages.tasks import tasks_bulk
from tests.api.keys.clients import ADMIN, bearer, made
from tests.api.service import YEARLY, Api, serving
from tests.web.browser import Browser, Elements


@pytest.fixture(scope="module")
def api(another_database: Callable[[str], str]) -> Iterator[Api]:
    with serving(another_database("sqlite")) as service:
        yield service


@pytest.fixture
def browser(api: Api) -> Browser:
    api.post("/v1/tasks/delete", json={"selector": {"all": True}})
    for name, fields in {
        "a-1": {"tags": ["a", "b"], "schedule": YEARLY},
        "a-2": {"tags": ["a"], "handler": "count", "schedule": YEARLY},
        "b-1": {"queue": "slow", "handler": "greet", "input": {"name": "Ada"}},
    }.items():
        api.task(name, **fields)
    return Browser(api)


def words(page: Elements) -> str:
    return " ".join(page.text.split())


def statuses(api: Api) -> dict[str, str]:
    return {each["name"]: each["status"] for each in api.items("/v1/tasks")}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("name_prefix=a-", {"a-1", "a-2"}),
        ("tag=b,none", {"a-1"}),
        ("all_tags=a,b", {"a-1"}),
        ("handler=count", {"a-2"}),
        ("queue=slow", {"b-1"}),
        ("status=paused", set()),
    ],
)
def test_each_filter_narrows_the_list_and_its_bulk_links(
    browser: Browser, query: str, expected: set[str]
) -> None:
    page = browser.page(f"/ui/tasks?{query}")

    links = {each.get("href") for each in page.all("a")}
    found = {name for name in ("a-1", "a-2", "b-1") if f"/ui/tasks/{name}" in links}
    assert found == expected
    if expected:
        name, _, value = query.partition("=")
        assert f"/ui/tasks/pause?{name}={value.replace(',', '%2C')}" in links
        assert f"{len(expected)} task" in words(page)


def test_a_list_makes_one_call_for_the_latest_runs(api: Api, browser: Browser) -> None:
    api.ended(api.run("b-1"))

    page = browser.page("/ui/tasks")

    labels = [each["aria-label"] for each in page.all("svg")]
    assert labels == ["no runs yet", "no runs yet", "last runs: 1 succeeded"]


def test_a_wrong_filter_is_said_there_and_what_was_typed_stays(browser: Browser) -> None:
    answer = browser.open("/ui/tasks?name_prefix=%20")

    assert answer.status_code == 422
    page = Elements(answer.text)
    assert page.typed()["name_prefix"] == " "
    assert 'role="alert"' in answer.text


def test_without_tasks_the_next_command_is_shown(api: Api, browser: Browser) -> None:
    api.post("/v1/tasks/delete", json={"selector": {"all": True}})

    assert "curl -X POST" in browser.page("/ui/tasks").text


# --- bulk
def test_a_bulk_pause_shows_first_what_it_would_do(api: Api, browser: Browser) -> None:
    page = browser.page("/ui/tasks/pause?tag=a")

    assert "2 tasks fit: 2 would change, 0 would not" in words(page)
    assert set(statuses(api).values()) == {"active"}
    answer = browser.send("/ui/tasks/pause?tag=a", page.typed() | {"reason": "CRM"})
    assert "pause for 2 tasks" in answer.text
    assert statuses(api) == {"a-1": "paused", "a-2": "paused", "b-1": "active"}
    assert api.read("/v1/tasks/a-1")["status_reason"] == "CRM"


def test_a_bulk_of_very_many_says_only_how_many(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks_bulk, "_MOST", 1)

    shown = words(browser.page("/ui/tasks/pause?tag=a"))

    assert "2 tasks fit. Of so many it is not tried out" in shown


def test_a_bulk_does_nothing_if_other_tasks_fit_meanwhile(api: Api, browser: Browser) -> None:
    form = browser.page("/ui/tasks/pause?tag=a").typed()
    api.task("a-3", tags=["a"])

    answer = browser.send("/ui/tasks/pause?tag=a", form | {"reason": "typed"})

    assert answer.status_code == 409
    assert Elements(answer.text).typed()["reason"] == "typed"
    assert set(statuses(api).values()) == {"active"}


@pytest.mark.parametrize(("typed", "status"), [("", 409), ("1", 409), ("2", 200)])
def test_a_bulk_cancel_takes_the_number_of_tasks(
    api: Api, browser: Browser, typed: str, status: int
) -> None:
    form = browser.page("/ui/tasks/cancel?tag=a").typed()

    answer = browser.send("/ui/tasks/cancel?tag=a", form | {"confirmation": typed})

    assert answer.status_code == status
    assert (statuses(api)["a-1"] == "cancelled") == (status == 200)


def test_a_bulk_run_that_is_sent_twice_runs_once(api: Api, browser: Browser) -> None:
    form = browser.page("/ui/tasks/run?queue=slow").typed()

    for _ in range(2):
        assert browser.send("/ui/tasks/run?queue=slow", form).status_code == 200

    assert len(api.items("/v1/tasks/b-1/runs")) == 1


# --- a task
def test_pausing_offers_to_undo_it(api: Api, browser: Browser) -> None:
    to = browser.send("/ui/tasks/a-1/pause", {"reason": "CRM"}).headers["location"]

    page = browser.page(to)
    assert "by local: CRM" in words(page)
    assert {"type": "submit", "form": "resume"} in page.all("button")
    browser.send("/ui/tasks/a-1/resume", {"catch_up": "none"})
    assert statuses(api)["a-1"] == "active"


@pytest.mark.parametrize("typed", ["", "a-2", "A-1"])
def test_a_task_is_deleted_by_its_name_only(api: Api, browser: Browser, typed: str) -> None:
    answer = browser.send("/ui/tasks/a-1/delete", {"name": typed})

    assert answer.status_code == 422
    assert Elements(answer.text).typed()["name"] == typed
    assert "a-1" in statuses(api)
    assert browser.send("/ui/tasks/a-1/delete", {"name": "a-1"}).status_code == 303
    assert "a-1" not in statuses(api)


def test_a_page_explains_another_time_and_says_which_are_none(browser: Browser) -> None:
    shown = words(browser.page("/ui/tasks/a-1?at=2020-01-01T00:00:00Z"))
    wrong = browser.page("/ui/tasks/a-1?at=nonsense")

    assert "was registered at" in shown
    assert [each for each in wrong.all("p") if each.get("class") == "problem"]


def test_a_failing_task_says_what_failed_last(api: Api, browser: Browser) -> None:
    api.task("a-1", handler="fail", retry={"max_attempts": 1})
    api.ended(api.run("a-1"))

    shown = words(browser.page("/ui/tasks/a-1"))

    assert "failing 1 failure in a row; the last one" in shown
    assert ": ValueError " in shown


def test_what_cannot_be_done_is_said_on_the_page(browser: Browser) -> None:
    browser.send("/ui/tasks/a-1/cancel")

    answer = browser.send("/ui/tasks/a-1/pause", {"reason": "typed"})

    assert answer.status_code == 409
    assert "is cancelled" in answer.text


# --- run now
def test_run_now_has_a_field_per_member_with_the_last_input(api: Api, browser: Browser) -> None:
    api.ended(api.run("b-1", input={"name": "Grace", "times": 2}))

    page = browser.page("/ui/tasks/b-1/run")

    form = page.typed()
    assert (form["/input#fields/name"], form["/input#fields/times"]) == ("Grace", "2")
    answer = browser.send("/ui/tasks/b-1/run", form | {"/input#fields/times": "3"})
    run = api.read("/v1" + answer.headers["location"].removeprefix("/ui"))
    assert run["input"] == {"name": "Grace", "times": 3}
    assert browser.page("/ui/tasks/b-1/run?from=own").typed()["/input#fields/name"] == "Ada"


@pytest.mark.parametrize("times", ["10", "many"])
def test_a_wrong_input_is_said_at_its_field_and_stays(browser: Browser, times: str) -> None:
    form = browser.page("/ui/tasks/b-1/run").typed()

    answer = browser.send("/ui/tasks/b-1/run", form | {"/input#fields/times": times})

    assert answer.status_code == 422
    fields = {each.get("name"): each for each in Elements(answer.text).all("input")}
    assert fields["/input#fields/times"]["value"] == times
    assert fields["/input#fields/times"]["aria-invalid"] == "true"
    assert "aria-invalid" not in fields["/input#fields/name"]


def test_an_input_as_json_is_kept_exactly_when_it_is_refused(browser: Browser) -> None:
    answer = browser.send("/ui/tasks/b-1/run", {"with": "json", "/input#json": '{"name": 1e400}'})

    assert answer.status_code == 422
    assert "1e400" in answer.text


def test_an_input_that_was_emptied_does_not_become_that_of_the_task(
    api: Api, browser: Browser
) -> None:
    answer = browser.send("/ui/tasks/b-1/run", {"with": "json", "/input#json": " "})

    assert answer.status_code == 422
    assert "give a value" in answer.text
    assert api.items("/v1/tasks/b-1/runs") == []


def test_a_session_that_may_only_read_tasks_sees_no_runs(
    another_database: Callable[[str], str],
) -> None:
    with serving(another_database("sqlite"), api_key=ADMIN, headers=bearer(ADMIN)) as api:
        api.task("a-1", schedule=YEARLY)
        api.run("a-1")
        browser = Browser(api)
        browser.send("/ui/sign-in", {"key": made(api, "tasks:read")["key"]})

        assert browser.page("/ui/tasks").all("svg") == []
        page = browser.page("/ui/tasks/a-1")
        assert page.all("svg") == []
        assert "State" not in page.text
        assert browser.send("/ui/tasks/a-1/run").status_code == 403
        assert browser.open("/ui/tasks/a-1/kv").status_code == 403
        assert browser.open("/ui/tasks/pause").status_code == 403
