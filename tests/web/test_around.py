"""The pages around tasks: queues, holds, keys, audit, system; what their forms do, and what they say."""

from collections.abc import Callable, Iterator

import pytest

from tests.api.keys.clients import ADMIN, bearer, made
from tests.api.service import YEARLY, Api, serving
from tests.api.test_encryption import OLD
from tests.web.browser import Browser


@pytest.fixture(scope="module")
def api(another_database: Callable[[str], str]) -> Iterator[Api]:
    url = another_database("sqlite")
    with serving(url, api_key=ADMIN, headers=bearer(ADMIN), encryption_keys=(OLD,)) as service:
        service.task("digest", schedule=YEARLY, queue="mail", tags=["billing"])
        service.task("hourly", schedule={"type": "cron", "expression": "0 * * * *"})
        yield service


@pytest.fixture(scope="module")
def browser(api: Api) -> Browser:
    browser = Browser(api)
    assert browser.send("/ui/sign-in", {"key": ADMIN}).status_code == 303
    return browser


def text_of(browser: Browser, path: str) -> str:
    return " ".join(browser.page(path).text.split())


def test_a_queue_is_limited_paused_and_resumed(api: Api, browser: Browser) -> None:
    browser.send("/ui/queues/mail/limit", {"concurrency": "3"})
    browser.send("/ui/queues/mail/pause")

    queue = api.read("/v1/queues/mail")
    assert (queue["concurrency"], queue["paused"]) == (3, True)
    assert "queue paused mail" in text_of(browser, "/ui")
    assert "0 of 3" in text_of(browser, "/ui/queues")
    browser.send("/ui/queues/mail/resume")
    queue = api.read("/v1/queues/mail")
    assert (queue["concurrency"], queue["paused"]) == (3, False)


def test_a_limit_that_is_refused_stays_in_its_form(browser: Browser) -> None:
    answer = browser.send("/ui/queues/mail/limit", {"concurrency": "many"})

    assert answer.status_code == 400
    assert 'value="many"' in answer.text
    assert 'role="alert"' in answer.text


def test_a_hold_of_everything_is_on_each_page_until_it_is_ended(api: Api, browser: Browser) -> None:
    browser.send("/ui/holds", {"reason": "the database moves"})

    hold = api.read("/v1/holds/everything")
    assert (hold["status"], hold["selector"]) == ("active", {"all": True})
    assert hold["until"] is not None
    for path in ("/ui", "/ui/tasks", "/ui/audit", "/ui/tasks/digest"):
        assert "Everything is held: the database moves; until" in text_of(browser, path)
    assert "every task: 2 tasks" in text_of(browser, "/ui/holds/everything")
    browser.send("/ui/holds/everything/end")
    assert "Everything is held" not in text_of(browser, "/ui")


def test_a_hold_of_a_tag_is_no_banner(api: Api, browser: Browser) -> None:
    browser.send("/ui/holds", {"name": "b", "what": "tags", "which": "billing, eu", "length": ""})

    hold = api.read("/v1/holds/b")
    assert (hold["selector"], hold["until"]) == ({"tags": ["billing", "eu"]}, None)
    shown = text_of(browser, "/ui")
    assert "Everything is held" not in shown
    assert "held tag billing or eu, by b of key:1" in shown
    browser.send("/ui/holds/b/end")


def test_what_was_typed_stays_in_the_form_of_a_hold_that_is_refused(browser: Browser) -> None:
    sent = {"name": "c", "what": "tags", "which": "", "length": "", "until": "tomorrow"}
    answer = browser.send("/ui/holds", sent | {"reason": "why not"})

    assert answer.status_code == 400
    for each in ('value="tomorrow"', 'value="why not"', "<code>/until</code>", "Times</summary>"):
        assert each in answer.text
    assert browser.open("/ui/holds/c").status_code == 404


def test_a_key_is_shown_once_and_revoked_by_its_name(api: Api, browser: Browser) -> None:
    sent = {"name": "CI", "scope:tasks:read": "yes", "tasks": "dig", "rate": "20"}
    answer = browser.send("/ui/keys", sent)

    key = next(each for each in api.items("/v1/keys") if each["name"] == "CI")
    assert (key["scopes"], key["tasks"], key["rate"]) == (["tasks:read"], ["dig"], 20)
    assert f"rota_{key['id']}_" in answer.text
    assert "data-still" in answer.text, "an event would replace it by the list"
    page = f"/ui/keys/{key['id']}"
    assert f"rota_{key['id']}_" not in text_of(browser, page)
    rotated = browser.send(f"{page}/rotate", {"overlap": "1h"})
    assert f"rota_{key['id']}_" in rotated.text
    assert browser.send(f"{page}/revoke", {"typed": "Ci"}).status_code == 400
    assert api.read(f"/v1/keys/{key['id']}")["status"] == "active"
    assert browser.send(f"{page}/revoke", {"typed": "CI"}).status_code == 303
    assert api.read(f"/v1/keys/{key['id']}")["status"] == "revoked"


def test_quotas_of_a_key_are_set_in_its_form(api: Api, browser: Browser) -> None:
    sent = {"name": "quotas", "scope:tasks:read": "yes", "max_tasks": "5"}
    refused = browser.send("/ui/keys", sent | {"max_unfinished_runs": "many"})

    assert refused.status_code == 400
    for each in ('value="5"', 'value="many"', "<code>/max_unfinished_runs</code>"):
        assert each in refused.text
    browser.send("/ui/keys", sent | {"max_unfinished_runs": "7"})
    key = next(each for each in api.items("/v1/keys") if each["name"] == "quotas")
    assert (key["max_tasks"], key["max_unfinished_runs"]) == (5, 7)


def test_a_calendar_is_made_changed_and_deleted_by_its_name(api: Api, browser: Browser) -> None:
    sent = {"name": "closed", "source": "dates", "dates": "2031-12-24, 2031-12-31"}
    assert browser.send("/ui/calendars", sent).headers["location"] == "/ui/calendars/closed"
    assert browser.send("/ui/calendars", sent).status_code == 400, "it is there already"

    form = browser.page("/ui/calendars/closed").typed()
    changed = form | {"source": "dates", "dates": "2032-01-02", "description": "The office"}
    assert browser.send("/ui/calendars/closed", changed).status_code == 303
    late = browser.send("/ui/calendars/closed", changed | {"description": "late"})
    assert late.status_code == 400
    assert "somebody else has changed it" in late.text
    calendar = api.read("/v1/calendars/closed")
    assert (calendar["dates"], calendar["description"]) == (["2032-01-02"], "The office")
    assert browser.send("/ui/calendars/closed/delete", {"typed": "close"}).status_code == 400
    assert browser.send("/ui/calendars/closed/delete", {"typed": "closed"}).status_code == 303
    assert browser.open("/ui/calendars/closed").status_code == 404


def test_what_was_typed_stays_in_the_form_of_a_calendar_that_is_refused(browser: Browser) -> None:
    answer = browser.send("/ui/calendars", {"name": "x", "source": "dates", "dates": "<b>soon</b>"})

    assert answer.status_code == 400
    assert "&lt;b&gt;soon&lt;/b&gt;" in answer.text
    assert 'role="alert"' in answer.text


VALUE = "sk_live_never_shown"


def test_a_secret_is_stored_rotated_changed_and_deleted_and_never_shown(
    api: Api, browser: Browser
) -> None:
    sent = {"name": "crm", "origins": "https://crm.example.com", "tasks": "billing-*"}
    pages = [browser.send("/ui/secrets", sent | {"value": VALUE, "origins": "crm"})]
    assert pages[0].status_code == 400
    assert browser.send("/ui/secrets", sent | {"value": VALUE}).status_code == 303
    form = browser.page("/ui/secrets/crm").typed() | sent | {"value": ""}

    assert browser.send("/ui/secrets/crm", form | {"description": "CRM"}).status_code == 303
    pages.append(browser.send("/ui/secrets/crm", form | {"value": VALUE}))
    assert pages[-1].status_code == 400, "somebody else has changed it"
    assert browser.send("/ui/secrets/crm/rotate", {"value": f"{VALUE}-2"}).status_code == 303
    pages.append(browser.send("/ui/secrets/crm/rotate", {"value": VALUE, "overlap": "1 moon"}))
    pages += [browser.open(path) for path in ("/ui/secrets", "/ui/secrets/crm", "/ui/audit")]
    assert not any(VALUE in each.text for each in pages)
    secret = api.read("/v1/secrets/crm")
    assert (secret["description"], secret["tasks"]) == ("CRM", ["billing-*"])
    assert browser.send("/ui/secrets/crm/delete", {"typed": "CRM"}).status_code == 400
    assert browser.send("/ui/secrets/crm/delete", {"typed": "crm"}).status_code == 303
    assert api.items("/v1/secrets") == []


def test_a_key_without_scopes_is_refused_and_its_form_kept(browser: Browser) -> None:
    answer = browser.send("/ui/keys", {"name": "nothing", "rate": "fast"})

    assert answer.status_code == 400
    for each in ('value="nothing"', 'value="fast"', "<code>/scopes</code>"):
        assert each in answer.text


def test_the_audit_shows_what_differs(api: Api, browser: Browser) -> None:
    api.post("/v1/tasks/digest/pause", json={"reason": "for a while"})

    shown = text_of(browser, "/ui/audit?action=task.paused")
    assert "was active" in shown
    assert "is paused" in shown
    assert "hourly" not in shown
    api.post("/v1/tasks/digest/resume")
    refused = browser.open("/ui/audit?from=yesterday")
    assert refused.status_code == 400
    assert 'value="yesterday"' in refused.text


def test_the_load_shows_what_is_due(browser: Browser) -> None:
    shown = text_of(browser, "/ui/load?task=hourly")

    assert "of 1 task, by day and hour" in shown


def test_the_system_page_shows_replicas_and_the_session(browser: Browser) -> None:
    shown = text_of(browser, "/ui/system")

    assert "served this page" in shown
    assert "Sign out everywhere" in shown
    assert "✓ ready" in shown


def test_a_limited_key_sees_its_part_and_no_more(api: Api) -> None:
    key = made(api, "tasks:read", "runs:read", tasks=["dig"])["key"]
    browser = Browser(api)
    browser.send("/ui/sign-in", {"key": key})

    assert "Only a key that is not limited" in text_of(browser, "/ui/system")
    assert "hourly" not in text_of(browser, "/ui")
    for path in ("/ui/keys", "/ui/secrets", "/ui/audit"):
        assert browser.open(path).status_code == 403, path


def test_a_key_that_may_not_read_tasks_is_told_so(api: Api) -> None:
    browser = Browser(api)
    browser.send("/ui/sign-in", {"key": made(api, "audit")["key"]})

    assert "This key may not read tasks" in text_of(browser, "/ui")
    assert "task.registered" in text_of(browser, "/ui/audit")


def test_the_rare_pages_are_reachable_without_a_script(browser: Browser) -> None:
    links = {each.get("href") for each in browser.page("/ui").all("a")}

    assert {"/ui/keys", "/ui/audit", "/ui/system", "/ui/load", "/ui/queues"} <= links
