"""Signing in to the dashboard, and what ends a session."""

import asyncio
from collections.abc import Callable, Iterator

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from rota.web.open_streams import OpenStreams
from tests.api.edge.sockets import listening
from tests.api.keys.clients import ADMIN, bearer, made
from tests.api.service import Api, serving
from tests.web.browser import Browser


@pytest.fixture(scope="module")
def api(another_database: Callable[[str], str]) -> Iterator[Api]:
    with serving(another_database("sqlite"), api_key=ADMIN, headers=bearer(ADMIN)) as service:
        service.task("billing-1", tags=["billing"])
        service.task("other-1")
        yield service


@pytest.fixture
def browser(api: Api) -> Browser:
    return Browser(api)


def signed_in(api: Api, key: str) -> Browser:
    browser = Browser(api)
    answer = browser.send("/ui/sign-in", {"key": key})
    assert answer.status_code == 303, answer.text
    return browser


def test_a_page_without_a_session_leads_to_the_sign_in_and_back(browser: Browser) -> None:
    answer = browser.open("/ui/runs?status=failed")

    assert answer.status_code == 303
    to = answer.headers["location"]
    assert to == "/ui/sign-in?next=%2Fui%2Fruns%3Fstatus%3Dfailed"
    back = browser.send(to, {"key": ADMIN})
    assert (back.status_code, back.headers["location"]) == (303, "/ui/runs?status=failed")
    assert browser.open("/ui/runs?status=failed").status_code == 200


def test_the_cookie_is_for_the_dashboard_only_and_no_script_can_read_it(browser: Browser) -> None:
    answer = browser.send("/ui/sign-in", {"key": ADMIN})

    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Path=/ui" in cookie
    assert browser.open("/v1/tasks").status_code == 401, "the API takes no cookies"


@pytest.mark.parametrize("key", ["", "wrong", "rota_abcdefghijkl_short"])
def test_a_wrong_key_begins_no_session(browser: Browser, key: str) -> None:
    answer = browser.send("/ui/sign-in", {"key": key})

    assert answer.status_code == 401
    assert browser.cookies == {}
    assert 'role="alert"' in answer.text


@pytest.mark.parametrize(
    "next", ["//evil.example/ui", "https://evil.example/", "/docs", "/ui/sign-in"]
)
def test_a_sign_in_leads_to_no_other_place(browser: Browser, next: str) -> None:
    answer = browser.send(f"/ui/sign-in?next={next}", {"key": ADMIN})

    assert answer.headers["location"] == "/ui"


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "none"},
        {"sec_fetch_site": "same-origin", "origin": "http://localhost"},
    ],
)
def test_a_form_of_another_site_changes_nothing(api: Api, headers: dict[str, str]) -> None:
    browser = signed_in(api, ADMIN)
    is_own = headers["sec_fetch_site"] == "same-origin"

    answer = browser.send("/ui/tasks/billing-1/pause", {"reason": "x"}, **headers)

    assert answer.status_code == (303 if is_own else 403)
    paused = api.read("/v1/tasks/billing-1")["status"] == "paused"
    assert paused == is_own
    api.post("/v1/tasks/billing-1/resume")


@pytest.mark.parametrize("path", ["/ui/sign-in", "/ui/sign-out"])
def test_signing_in_and_out_is_refused_to_other_sites_and_for_forms_that_are_too_large(
    api: Api, path: str
) -> None:
    browser = signed_in(api, ADMIN)
    many = {f"field-{number}": "" for number in range(1_001)}

    assert browser.send(path, {"key": ADMIN}, sec_fetch_site="cross-site").status_code == 403
    assert browser.send(path, many).status_code == 413
    assert browser.open("/ui/tasks").status_code == 200, "it is signed in still"


def test_a_session_may_what_its_key_may_and_sees_what_it_sees(api: Api) -> None:
    key = made(api, "tasks:read", "runs:read", tasks=["billing-"])["key"]
    browser = signed_in(api, key)

    shown = browser.page("/ui/tasks").text
    assert "billing-1" in shown
    assert "other-1" not in shown
    assert browser.open("/ui/tasks/other-1").status_code == 404
    assert browser.send("/ui/tasks/billing-1/pause").status_code == 403
    assert api.read("/v1/tasks/billing-1")["status"] == "active"


def test_a_session_ends_with_its_key(api: Api) -> None:
    key = made(api, "tasks:read", "runs:read")["key"]
    browser = signed_in(api, key)
    assert browser.open("/ui/tasks").status_code == 200

    api.delete(f"/v1/keys/{key.split('_')[1]}")

    assert browser.open("/ui/tasks").status_code == 303


def test_signing_out_everywhere_ends_all_sessions_of_the_key_and_no_others(api: Api) -> None:
    key = made(api, "tasks:read", "runs:read")["key"]
    here, there, other = signed_in(api, key), signed_in(api, key), signed_in(api, ADMIN)

    here.send("/ui/sign-out", {"everywhere": "yes"})

    assert there.open("/ui/tasks").status_code == 303
    assert other.open("/ui/tasks").status_code == 200


def test_a_client_has_a_limited_number_of_sessions_and_the_oldest_end(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rota.store.access.sessions.MOST_SESSIONS", 2)
    key = made(api, "tasks:read", "runs:read")["key"]

    browsers = [signed_in(api, key) for _ in range(3)]

    assert [each.open("/ui/tasks").status_code for each in browsers] == [303, 200, 200]


def test_signing_out_ends_the_session_though_the_cookie_is_kept(api: Api) -> None:
    browser = signed_in(api, ADMIN)
    cookies = dict(browser.cookies)

    browser.send("/ui/sign-out")
    browser.cookies = cookies

    assert browser.open("/ui/tasks").status_code == 303


def test_scripts_read_the_api_with_the_session_and_change_nothing(api: Api) -> None:
    browser = signed_in(api, ADMIN)

    assert browser.open("/ui/api/v1/tasks?limit=1").json()["items"]
    assert browser.send("/ui/api/v1/tasks/billing-1/pause").status_code == 404
    assert browser.open("/ui/api/healthz").status_code == 404
    assert Browser(api).open("/ui/api/v1/tasks").status_code == 401


@pytest.mark.parametrize("everywhere", ["", "yes"])
def test_signing_out_ends_the_streams_that_pages_have_opened(api: Api, everywhere: str) -> None:
    key = made(api, "tasks:read", "runs:read")["key"]
    here, there = signed_in(api, key), signed_in(api, key)
    ended = here if not everywhere else there
    with listening(api) as service:
        client = httpx.Client(
            base_url=f"http://localhost:{service.port}", cookies=ended.cookies, timeout=4
        )
        with client, client.stream("GET", "/ui/api/v1/events") as stream:
            parts = stream.iter_text()
            assert next(parts)

            here.send("/ui/sign-out", {"everywhere": everywhere})

            assert not any("event: run" in part for part in parts), "it ends, instead of a timeout"


def test_a_stream_ends_when_its_session_was_ended_elsewhere() -> None:
    sent: list[Message] = []
    looks = iter([False, True])

    async def stream(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.Event().wait()

    async def is_over() -> bool:
        return next(looks)

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    asyncio.run(OpenStreams(0.01).serve(stream, {"type": "http"}, receive, send, is_over))

    assert [each.get("more_body") for each in sent] == [None, False]


def test_a_stream_that_ends_or_fails_by_itself_does_so() -> None:
    async def fails(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise ConnectionAbortedError

    async def is_over() -> bool:
        return False

    async def send(_message: Message) -> None: ...

    async def receive() -> Message:
        return {"type": "http.request"}

    with pytest.raises(ConnectionAbortedError):
        asyncio.run(OpenStreams().serve(fails, {"type": "http"}, receive, send, is_over))
