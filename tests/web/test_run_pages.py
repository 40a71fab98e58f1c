"""The pages of runs: filters, groups of failures, bulk operations, the page of a run, and repairs after it."""

import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest

from rota.web.task_forms.input_fields import input_field, only
from rota.web.task_forms.typed import Reader
from tests.api.handlers import open_gate, wait_entered
from tests.api.service import Api, serving
from tests.support.factories import eventually
from tests.web.browser import Browser, Elements
from tests.web.test_pages import HOSTILE

ONCE = {"max_attempts": 1}


@pytest.fixture(scope="module")
def api(another_database: Callable[[str], str]) -> Iterator[Api]:
    handlers = ("tests.api.handlers", "tests.web.handlers")
    keys = (f"k1:{b64encode(bytes(range(32))).decode()}",)
    with serving(another_database("sqlite"), handlers=handlers, encryption_keys=keys) as service:
        shouting = {"handler": "shout", "input": "", "retry": ONCE, "overlap_policy": "allow"}
        service.task("shouting", **shouting, tags=["loud"])
        service.task("also-shouting", **shouting)
        service.task("greeting", handler="greet", input={"name": "Ada"}, overlap_policy="allow")
        swapping = {"handler": "swap", "input": {"key": "k", "value": "v"}, "kv_history": 20}
        service.task("swapping", **swapping, overlap_policy="allow")
        service.task("holding", handler="hold")
        service.task("secretive", secret_input=True, input="nobody knows", overlap_policy="allow")
        yield service


@pytest.fixture(scope="module")
def browser(api: Api) -> Browser:
    return Browser(api)


def shouted(api: Api, text: str, task: str = "shouting") -> dict[str, Any]:
    return api.ended(api.run(task, input=text))


def text_of(browser: Browser, path: str) -> str:
    return " ".join(browser.page(path).text.split())


def hidden(page: str, name: str) -> str:
    """The value of the first hidden field with a name."""
    return unescape(page.split(f'name="{name}" value="')[1].split('"', maxsplit=1)[0])


# ---------------------------------------------------------------------------------------------------- hostile
def test_what_a_run_says_is_text_and_nothing_else(api: Api, browser: Browser) -> None:
    failed = shouted(api, HOSTILE)
    swapped = api.ended(api.run("swapping", input={"key": "h", "value": HOSTILE}))
    stored = browser.send("/ui/runs/bulk", {"verb": "rerun", "error_text": HOSTILE[:100]})

    for path in (
        f"/ui/runs/{failed['id']}",
        f"/ui/runs/{failed['id']}/rerun",
        f"/ui/runs/{swapped['id']}",
        f"/ui/runs/{swapped['id']}/revert",
        "/ui/runs?show=values",
        f"/ui/runs?task={quote(HOSTILE)}&tag={quote(HOSTILE)}&window=1h",
        "/ui/runs/failures",
        f"/ui/runs/failures?error={quote(HOSTILE)}&window={quote(HOSTILE)}",
        f"/ui/runs/bulk/new?task={quote(HOSTILE)}",
        stored.headers["location"],
        "/ui/runs/bulk",
    ):
        answer = browser.open(path)
        assert answer.status_code in {200, 422}, (path, answer.text[-300:])
        assert "<img" not in answer.text, path
        assert "alert(1)</script>" not in answer.text, path
        assert 'style="' not in answer.text, path
    assert browser.page(f"/ui/runs/{failed['id']}").text.count("alert(1)") >= 3


# ----------------------------------------------------------------------------------------------------- filters
def test_the_list_takes_the_filters_of_the_api_and_a_window(api: Api, browser: Browser) -> None:
    failed = shouted(api, "filters: it is full")
    other = shouted(api, "filters: it is late", "also-shouting")

    page = browser.open("/ui/runs?window=1h&status=failed&error_text=filters:&tag=loud").text

    assert failed["id"] in page
    assert other["id"] not in page
    assert "that ended in the last 1h" in page
    assert "<strong>1 run</strong>" in page


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("scheduled_from=yesterday", "scheduled_from: give a time"),
        ("window=soon", "The window:"),
        ("status=lost", "status:"),
    ],
)
def test_a_wrong_filter_is_said_and_stays_in_the_form(
    browser: Browser, query: str, said: str
) -> None:
    answer = browser.open(f"/ui/runs?{query}")

    assert answer.status_code == 422
    assert said in unescape(answer.text)
    assert f'value="{query.partition("=")[2]}"' in answer.text


def test_pages_go_forwards_and_back(api: Api, browser: Browser) -> None:
    api.task("many", overlap_policy="allow", retention={"runs": 200})
    for _ in range(55):
        api.run("many")

    first = browser.open("/ui/runs?task=many").text
    older = unescape(first.split('rel="next" href="')[1].split('"')[0])
    second = browser.open(older).text
    newer = unescape(second.split('rel="prev" href="')[1].split('"')[0])

    assert "<strong>55 runs</strong>" in first
    assert 'rel="prev"' not in first
    assert 'rel="next"' not in second
    assert newer == "/ui/runs?task=many"


def test_values_are_shown_on_request_and_secrets_never(api: Api, browser: Browser) -> None:
    api.ended(api.run("secretive"))

    quiet, shown = (
        browser.open(f"/ui/runs?task=secretive{more}").text for more in ("", "&show=values")
    )

    assert ('scope="col">Input' in quiet, 'scope="col">Input' in shown) == (False, True)
    assert "<code>secret</code>" in shown
    assert "nobody knows" not in quiet


# ---------------------------------------------------------------------------------------------------- failures
def test_each_group_of_failures_leads_to_its_runs_and_to_no_others(
    api: Api, browser: Browser
) -> None:
    expected = {shouted(api, f"groups: customer {number} is blocked")["id"] for number in (1, 22)}
    shouted(api, "groups: the disk is full")

    page = browser.open("/ui/runs/failures?error_text=groups:&window=1h").text
    blocked = next(row for row in page.split("<tr>") if "is blocked" in row)
    link = unescape(blocked.split('href="')[1].split('"')[0])
    asked = dict(parse_qsl(urlsplit(link).query))

    assert ">2</a>" in blocked
    assert (asked["status"], asked["window"], asked["error"]) == ("failed", "1h", "ValueError")
    listed = browser.open(link).text
    assert {each for each in expected if each in listed} == expected
    assert "<strong>2 runs</strong>" in listed


# -------------------------------------------------------------------------------------------------------- bulk
def test_a_bulk_is_previewed_confirmed_and_shows_each_run(api: Api, browser: Browser) -> None:
    failed = [shouted(api, f"bulk: {number}") for number in range(3)]
    chosen = {"task": "shouting", "status": "failed", "error_text": "bulk:", "window": "1h"}

    stored = browser.send("/ui/runs/bulk", {**chosen, "verb": "rerun", "input": '"bulk: again"'})
    url = stored.headers["location"]
    preview = text_of(browser, url)
    before = len(api.items("/v1/runs?trigger=rerun&task=shouting"))
    confirmed = browser.send(f"{url}/confirm")

    assert "Nothing is done yet. 3 runs fit: 3 failed" in preview
    assert all(each["id"] in preview for each in failed)
    assert before == 0
    assert confirmed.headers["location"] == url
    assert eventually(lambda: "Finished" in text_of(browser, url))
    assert "done 3" in text_of(browser, url)
    again = api.items("/v1/runs?trigger=rerun&task=shouting")
    assert [each["input"] for each in again] == ["bulk: again"] * 3
    assert "Run again: 3 runs" in text_of(browser, "/ui/runs/bulk")


def test_a_bulk_delete_takes_the_number_of_runs(api: Api, browser: Browser) -> None:
    for _ in range(2):
        shouted(api, "bulk: deleted")
    chosen = {"task": "shouting", "error_text": "bulk: deleted"}
    to = browser.send("/ui/runs/bulk", {**chosen, "verb": "delete"}).headers["location"]

    for typed in ("", "1"):
        refused = browser.send(f"{to}/confirm", {"confirmation": typed})
        assert refused.status_code == 422
        assert "Type 2, the number of runs" in refused.text
    assert api.read(f"/v1/bulk/{to.rpartition('/')[2]}")["status"] == "previewed"
    assert browser.send(f"{to}/confirm", {"confirmation": "2"}).status_code == 303
    assert api.items("/v1/runs?task=shouting&error_text=bulk: deleted") == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"input": "{"}, "The input is no JSON"),
        ({"max_concurrent": "few"}, "give a whole number"),
        ({"max_concurrent": "0"}, "/max_concurrent"),
        ({"chain_id": "01a22911-1ffa-705d-b9c0-655dbb68b392"}, "Runs of a chain"),
        ({"scheduled_from": "yesterday"}, "RFC 3339"),
    ],
)
def test_a_wrong_bulk_is_said_and_what_was_typed_stays(
    browser: Browser, fields: dict[str, str], said: str
) -> None:
    answer = browser.send("/ui/runs/bulk", {"verb": "rerun", "status": "failed", **fields})

    assert answer.status_code == 422
    assert said in unescape(answer.text)
    assert hidden(answer.text, "status") == "failed"
    assert next(iter(fields.values())) in unescape(answer.text)


def test_a_date_in_a_bulk_is_on_the_clock_of_its_task(api: Api, browser: Browser) -> None:
    api.task(
        "in-berlin",
        schedule={"type": "cron", "expression": "0 0 1 1 *", "timezone": "Europe/Berlin"},
    )

    stored = browser.send(
        "/ui/runs/bulk", {"verb": "cancel", "task": "in-berlin", "scheduled_from": "2026-07-01"}
    )

    bulk = api.read("/v1/bulk/" + stored.headers["location"].rpartition("/")[2])
    assert bulk["selector"]["scheduled_from"].startswith("2026-06-30T22:00:00")
    browser.send(f"/ui/runs/bulk/{bulk['id']}/cancel")
    assert api.read(f"/v1/bulk/{bulk['id']}")["status"] == "cancelled"


# --------------------------------------------------------------------------------------------------- one run
def test_a_run_shows_its_attempts_as_a_picture_and_as_a_table(api: Api, browser: Browser) -> None:
    api.task("again", handler="again")
    run = api.ended(api.run("again"))

    page = browser.page(f"/ui/runs/{run['id']}")

    pictures = [each for each in page.all("svg") if each.get("class") == "gantt"]
    assert "attempt 1 retry after" in str(pictures[0]["aria-label"])
    text = " ".join(page.text.split())
    assert "Attempt 1 retry" in text
    assert "Attempt 2 succeeded" in text


def test_a_run_that_goes_on_is_explained_followed_and_cancelled(api: Api, browser: Browser) -> None:
    run = api.run("holding")
    wait_entered("holding")

    answer = browser.open(f"/ui/runs/{run['id']}").text
    cancelled = browser.send(f"/ui/runs/{run['id']}/cancel")

    assert "Attempt 1 has been running since" in answer
    assert f'data-follow="{run["id"]}"' in answer
    assert cancelled.headers["location"] == f"/ui/runs/{run['id']}"
    open_gate("holding")
    assert api.ended(run)["cancel_requested_at"] is not None


def test_a_run_shows_what_it_changed_and_it_can_be_restored(api: Api, browser: Browser) -> None:
    api.put("/v1/tasks/swapping/kv/name", json={"value": "Ada"})
    run = api.ended(api.run("swapping", input={"key": "name", "value": "Grace"}))

    shown = browser.page(f"/ui/runs/{run['id']}").text
    asked = browser.open(f"/ui/runs/{run['id']}/revert").text
    done = browser.send(f"/ui/runs/{run['id']}/revert")

    assert '-"Ada"\n+"Grace"' in shown
    assert "<dt>Set again</dt><dd><code>name</code>" in asked
    assert "The kv is as it was before the run" in done.text
    assert api.read("/v1/tasks/swapping/kv/name")["value"] == "Ada"


def test_a_run_shows_the_runs_around_it(api: Api, browser: Browser) -> None:
    first = api.ended(api.run("greeting"))
    again = api.ended(api.post(f"/v1/runs/{first['id']}/rerun").json())

    page = browser.open(f"/ui/runs/{again['id']}").text

    assert f'href="/ui/runs/{first["id"]}"' in page
    assert f"/ui/runs?chain_id={first['id']}" in page
    assert 'aria-label="greeting, succeeded, this run"' in page
    assert '<path class="link rerun"' in page


def test_a_rerun_has_a_field_per_member_with_the_input_of_the_run(
    api: Api, browser: Browser
) -> None:
    run = api.ended(api.run("greeting", input={"name": "Lovelace", "times": 2}))
    api.ended(api.run("greeting", input={"name": "later"}))
    url = f"/ui/runs/{run['id']}/rerun"

    form = browser.page(url).typed()

    assert (form["/input#fields/name"], form["/input#fields/times"]) == ("Lovelace", "2")
    accepted = browser.send(url, form | {"/input#fields/times": "3"})
    again = api.read("/v1/runs/" + accepted.headers["location"].rpartition("/")[2])
    assert (again["rerun_of"], again["input"]) == (run["id"], {"name": "Lovelace", "times": 3})


def test_a_wrong_input_of_a_rerun_is_said_at_its_field_and_stays(
    api: Api, browser: Browser
) -> None:
    url = f"/ui/runs/{api.ended(api.run('greeting'))['id']}/rerun"

    answer = browser.send(url, browser.page(url).typed() | {"/input#fields/times": "10"})

    assert answer.status_code == 422
    fields = {each.get("name"): each for each in Elements(answer.text).all("input")}
    assert fields["/input#fields/times"]["value"] == "10"
    assert fields["/input#fields/times"]["aria-invalid"] == "true"


def test_a_rerun_takes_other_input_and_keeps_what_was_typed(api: Api, browser: Browser) -> None:
    run = api.ended(api.run("greeting"))
    url = f"/ui/runs/{run['id']}/rerun"

    assert '"name": "Ada"' in browser.page(f"{url}?as=json").text
    for typed, said in (
        ('{"name":', "no JSON"),
        (" ", "give a value"),
        ('{"name": "Grace", "times": 10}', "times: "),
    ):
        refused = browser.send(url, {"with": "json", "/input#json": typed})
        assert refused.status_code == 422
        assert said in unescape(refused.text)
        assert typed in unescape(refused.text)
    accepted = browser.send(url, {"with": "json", "/input#json": '{"name": "Grace"}'})
    again = api.read("/v1/runs/" + accepted.headers["location"].rpartition("/")[2])
    assert (again["rerun_of"], again["input"]) == (run["id"], {"name": "Grace"})


@pytest.mark.parametrize("stored", [["Ada", 7], "Ada", None, {"name": {"first": "Ada"}, "old": 1}])
def test_an_input_that_the_schema_does_not_fit_any_more_is_shown_whole(
    api: Api, browser: Browser, stored: Any
) -> None:
    api.task("evolving", input="")
    run = api.ended(api.run("evolving", input=stored))
    api.task("evolving", handler="greet", input={"name": "Ada"})
    url = f"/ui/runs/{run['id']}/rerun"

    page = browser.open(url)

    assert page.status_code == 200
    fields = {**areas(page.text), **Elements(page.text).typed()}
    reader = Reader(fields)
    assert reader.members([only(input_field(greet_schema(api)), fields["with"])]) == {
        "input": stored
    }
    assert not reader.faults


def greet_schema(api: Api) -> Any:
    return api.read("/v1/handlers/greet")["input_schema"]


def areas(page: str) -> dict[str, str]:
    """The texts of the fields with several lines, by their names."""
    found = re.findall(r'<textarea [^>]*name="([^"]*)"[^>]*>\n(.*?)</textarea>', page, re.DOTALL)
    return {unescape(name): unescape(typed) for name, typed in found}


def test_a_secret_input_is_not_in_the_form(api: Api, browser: Browser) -> None:
    run = api.ended(api.run("secretive"))

    assert "nobody knows" not in browser.open(f"/ui/runs/{run['id']}/rerun").text
