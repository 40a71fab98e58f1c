"""The pages: what they show, and that what clients store is text in them and nothing else."""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any
from urllib.parse import quote

import pytest

from rota.domain.primitives.texts.names import RESERVED_KEYS, RESERVED_NAMES
from rota.web.pages import now
from rota.web.routes import VIEWS
from tests.api.service import YEARLY, Api, serving
from tests.web.browser import Browser

HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(1)>{{ 7 * 7 }}\u2028&amp;"""

AROUND = [
    *(f"/ui/{name}" for name in ("queues", "holds?ended=true", "load", "handlers", "secrets")),
    *("/ui/holds/stopped", "/ui/calendars", "/ui/calendars/closed", "/ui/keys", "/ui/audit"),
    "/ui/system",
]


@pytest.fixture(scope="module")
def api(another_database: Callable[[str], str]) -> Iterator[Api]:
    """A service of this machine, which needs no key, with a task of each kind."""
    with serving(another_database("sqlite")) as service:
        service.task("plain", schedule=YEARLY, tags=["billing"], description="It sends the report.")
        service.task("hostile", description=HOSTILE, input={HOSTILE: HOSTILE, "big": 2**53 + 1})
        service.put("/v1/tasks/hostile/kv/entry", json={"value": HOSTILE})
        service.post("/v1/tasks/hostile/pause", json={"reason": HOSTILE})
        service.post("/v1/tasks/hostile/resume")
        service.ended(service.run("hostile"))
        fields: dict[str, Any] = {
            HOSTILE: {"type": "string", "description": HOSTILE, "default": HOSTILE}
        }
        fields["choice"] = {"enum": [HOSTILE, {HOSTILE: HOSTILE}]}
        schema = {"type": "object", "properties": fields, "description": HOSTILE}
        service.put("/v1/handlers/outside", json={"description": HOSTILE, "input_schema": schema})
        service.task("schema", handler="outside", input={HOSTILE: HOSTILE, "choice": HOSTILE})
        service.put("/v1/holds/stopped", json={"selector": {"tags": ["none"]}, "reason": HOSTILE})
        service.put("/v1/calendars/closed", json={"dates": ["2099-12-25"], "description": HOSTILE})
        service.put("/v1/queues/mail", json={"concurrency": 2})
        service.task("broken", handler="fail", retry={"max_attempts": 1})
        service.ended(service.run("broken"))
        yield service


@pytest.fixture(scope="module")
def browser(api: Api) -> Browser:
    return Browser(api)


def run_of(api: Api, task: str) -> dict[str, Any]:
    return dict(api.items(f"/v1/runs?task={task}&limit=1")[0])


def paths(api: Api) -> list[str]:
    runs = [f"/ui/runs/{run_of(api, name)['id']}" for name in ("hostile", "broken")]
    runs += [f"{each}/{page}" for each in runs for page in ("rerun", "revert")]
    runs += ["/ui/runs", "/ui/runs/failures", "/ui/runs/bulk", "/ui/runs/bulk/new"]
    own = [f"/ui/tasks/hostile{path}" for path in ("", "/run", "/run?as=json", "/kv", "/kv/entry")]
    versions = ["/ui/tasks/hostile/kv/entry?version=1", "/ui/tasks/hostile/kv/revert?to=0"]
    versions.append("/ui/tasks/hostile/kv/_result")
    bulk = [f"/ui/tasks/{verb}?name_prefix=h" for verb in ("pause", "resume", "run", "cancel")]
    lists = ["/ui", "/ui/tasks", "/ui/tasks?name_prefix=none", "/ui/tasks/plain"]
    forms = ["/ui/tasks/schema/run", "/ui/tasks/schema", f"/ui/tasks/schema?at={quote(HOSTILE)}"]
    forms += ["/ui/new-task", "/ui/tasks/plain/edit", "/ui/tasks/hostile/edit"]
    return [*lists, *own, *versions, *bulk, *forms, *runs, *AROUND]


def test_every_page_is_there_and_loads_nothing_from_elsewhere(api: Api, browser: Browser) -> None:
    for path in paths(api):
        page = browser.page(path)
        loaded = [each.get("src") or "" for each in page.all("script")]
        loaded += [each["href"] or "" for each in page.all("link")]
        assert all(each.startswith("/ui/static/") for each in loaded), (path, loaded)
        for _, attributes in page.found:
            assert not any(name.startswith("on") or name == "style" for name in attributes), path


def test_pages_let_browsers_send_forms_with_their_origin(browser: Browser) -> None:
    metas = [each for each in browser.page("/ui").all("meta") if each.get("name") == "referrer"]

    # The header of the API says `no-referrer`: with that, browsers send `Origin: null`.
    assert metas == [{"name": "referrer", "content": "same-origin"}]


def test_what_clients_store_is_shown_as_text(api: Api, browser: Browser) -> None:
    for path in paths(api):
        page = browser.page(path)
        assert not page.all("img"), path
        assert "49" not in page.text.split("{{")[0][-3:], path
    shown = browser.page("/ui/tasks/hostile")
    assert HOSTILE in shown.text
    assert str(2**53 + 1) in shown.text


def test_the_first_page_shows_what_is_wrong(api: Api, browser: Browser) -> None:
    api.post("/v1/tasks/plain/pause", json={"reason": "CRM migration"})

    shown = " ".join(browser.page("/ui").text.split())

    assert "broken: 1 failure in a row" in shown
    assert "by local: CRM migration" in shown
    api.post("/v1/tasks/plain/resume")


def test_a_failure_stays_on_the_first_page_however_many_runs_follow(
    api: Api, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.task("broken-early", handler="fail", retry={"max_attempts": 1})
    api.task("works")
    failed = api.ended(api.run("broken-early"))
    for _ in range(3):
        api.ended(api.run("works"))
    monkeypatch.setattr(now, "_MOST_RUNS", 2)

    page = browser.open("/ui").text

    assert f'<a href="/ui/runs/{failed["id"]}" tabindex="-1"><title>broken-early: failed' in page
    assert "and the latest that failed before" in page


def test_a_list_keeps_its_filters_in_the_url(browser: Browser) -> None:
    page = browser.page("/ui/tasks?tag=billing")

    assert "plain" in page.text
    assert "hostile" not in page.text
    [tag] = [each for each in page.all("input") if each.get("name") == "tag"]
    assert tag["value"] == "billing"


def test_buttons_do_what_they_say_and_show_the_task_again(api: Api, browser: Browser) -> None:
    answer = browser.send("/ui/tasks/plain/pause", {"reason": "for a while"})

    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/tasks/plain?done=pause")
    task = api.read("/v1/tasks/plain")
    assert (task["status"], task["status_reason"]) == ("paused", "for a while")
    browser.send("/ui/tasks/plain/resume")
    assert api.read("/v1/tasks/plain")["status"] == "active"


def test_a_run_again_shows_the_new_run(api: Api, browser: Browser) -> None:
    first = run_of(api, "hostile")

    answer = browser.send(f"/ui/runs/{first['id']}/rerun")

    again = api.read("/v1/runs/" + answer.headers["location"].removeprefix("/ui/runs/"))
    assert again["rerun_of"] == first["id"]


@pytest.mark.parametrize(
    "path", ["/ui/tasks/none", "/ui/runs/01a22911-1ffa-705d-b9c0-655dbb68b392"]
)
def test_what_is_not_there_is_said_on_a_page(browser: Browser, path: str) -> None:
    answer = browser.open(path)

    assert answer.status_code == 404
    assert 'role="alert"' in answer.text


def test_a_page_through_a_proxy_is_refused_as_the_api_refuses_it(browser: Browser) -> None:
    answer = browser.open("/ui/tasks", **{"x-forwarded-for": "203.0.113.7"})

    assert answer.status_code == 403
    assert "through a proxy" in answer.text


def test_no_name_of_a_task_or_key_of_an_entry_hides_its_page() -> None:
    taken = {"name": RESERVED_NAMES, "key": RESERVED_KEYS}
    for (method, path), (other, named) in product(VIEWS, VIEWS):
        parts, names = path.split("/"), named.split("/")
        if method != other or len(parts) != len(names):
            continue
        differ = [pair for pair in zip(parts, names, strict=True) if pair[0] != pair[1]]
        for part, name in differ if len(differ) == 1 else []:
            if name in {"{name}", "{key}"}:
                assert part in taken[name.strip("{}")], f"{path} hides a page at {named}"
