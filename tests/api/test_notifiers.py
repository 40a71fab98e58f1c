"""Notifiers as tasks: registered, run by hand and by a chain, with an address that is a secret."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest

from tests.api.service import FINAL, MANUAL, Api, pointers, problem, serving
from tests.api.test_encryption import OLD
from tests.handlers.notifiers.relay import Relay, relaying
from tests.handlers.target import Site
from tests.handlers.target import serving as serving_site
from tests.support.alert_events import event
from tests.support.factories import eventually

HOOK = "/services/T0123/B0456/hunter2-and-more"


class There(NamedTuple):
    api: Api
    site: Site
    relay: Relay


@pytest.fixture(scope="module")
def service(another_database: Callable[[str], str]) -> Iterator[There]:
    """One service for the tests of this file, whose chat and relay are on the loopback."""
    with ExitStack() as stack:
        site, relay = stack.enter_context(serving_site()), stack.enter_context(relaying())
        settings: dict[str, Any] = {
            "encryption_keys": (OLD,),
            "smtp_host": "127.0.0.1",
            "smtp_port": relay.port,
            "smtp_tls": "none",
            "smtp_from": "Rota <rota@example.com>",
        }
        api = stack.enter_context(serving(another_database("sqlite"), **settings))
        secret = {"value": site.origin + HOOK, "origins": [site.origin], "tasks": ["tell-*"]}
        assert api.put("/v1/secrets/chat", json=secret).status_code == 201
        yield There(api, site, relay)


@pytest.fixture
def there(service: There) -> There:
    service.site.received.clear()
    service.site.answer(200)
    service.relay.taken.clear()
    return service


def declare(api: Api, name: str, handler: str, input: Any, schedule: Any = MANUAL) -> Any:
    retry = {"max_attempts": 1}
    body = {"handler": handler, "input": input, "schedule": schedule, "retry": retry}
    return api.put(f"/v1/tasks/{name}", json=body)


def test_a_chat_is_notified_by_a_secret_address_which_nothing_shows(there: There) -> None:
    api, site, _ = there
    made = declare(api, "tell-chat", "notify.slack", {"url_secret": "chat"})
    assert made.status_code == 201, made.text

    tested = api.ended(api.run("tell-chat"))
    site.answer(404, f"no service at {HOOK}".encode(), "text/plain")
    failed = api.ended(api.run("tell-chat", input={"url_secret": "chat"} | event()))

    assert tested["status"] == "succeeded"
    assert [got.path for got in site.received] == [HOOK, HOOK]
    assert failed["status"] == "failed"
    assert failed["error"]["response"]["url_path"] == "/[redacted]"
    for path in (
        "/v1/tasks/tell-chat",
        "/v1/secrets/chat",
        *(f"/v1/runs/{run['id']}{rest}" for run in (tested, failed) for rest in ("", "/logs")),
    ):
        assert "hunter2" not in api.get(path).text


def test_a_chain_by_failures_reports_what_has_failed_and_nothing_of_successes(there: There) -> None:
    api, site, relay = there
    target = {"url": f"{site.origin}/jobs", "retry_codes": []}
    job = {"handler": "http", "target": target, "schedule": MANUAL}
    assert api.put("/v1/tasks/nightly", json=job).status_code == 201
    follows = {"type": "after", "tasks": ["nightly"], "on": ["failed"]}
    to = {"to": ["ops@example.com"]}
    assert declare(api, "tell-ops", "notify.email", to, follows).status_code == 201

    api.ended(api.run("nightly"))
    assert api.items("/v1/tasks/tell-ops/runs") == []
    site.answer(500, b"column foo does not exist", "text/plain")
    api.ended(api.run("nightly"))

    def told() -> Any:
        return [run for run in api.items("/v1/tasks/tell-ops/runs") if run["status"] in FINAL]

    (run,) = eventually(told)
    assert run["status"] == "succeeded", run["error"]
    (got,) = relay.taken
    assert got.message["Subject"] == "[rota] nightly failed (fatal)"
    assert "column foo does not exist" in got.text


def test_an_alert_arrives_by_e_mail_with_the_reply_of_the_target_and_so_does_the_recovery(
    there: There,
) -> None:
    api, site, relay = there
    assert declare(api, "tell-mail", "notify.email", {"to": ["ops@example.com"]}).is_success
    job = {
        "handler": "http",
        "target": {"url": f"{site.origin}/jobs", "retry_codes": []},
        "schedule": MANUAL,
        "on_failure": {"task": "tell-mail"},
    }
    assert api.put("/v1/tasks/watched", json=job).status_code == 201

    site.answer(500, b"column foo does not exist", "text/plain")
    api.ended(api.run("watched"))
    eventually(lambda: len(relay.taken) == 1)
    site.answer(200)
    api.ended(api.run("watched"))
    eventually(lambda: len(relay.taken) == 2)

    failed, recovered = relay.taken
    assert failed.message["Subject"] == "[rota] watched has failed"
    assert "500 /jobs\n  column foo does not exist" in failed.text
    assert recovered.message["Subject"] == "[rota] watched has recovered"


@pytest.mark.parametrize(
    ("handler", "input", "slug", "at"),
    [
        ("notify.slack", {}, "invalid-input", "/input"),
        ("notify.slack", {"url": "https://a.example", "too": 1}, "invalid-input", "/input/too"),
        ("notify.slack", {"url": "a.example"}, "invalid-input", "/input/url"),
        ("notify.email", {"to": ["a@b"], "from": "c"}, "invalid-input", "/input/from"),
        ("notify.slack", {"url_secret": "gone"}, "unusable-secret", "/input/url_secret"),
        ("notify.email", {"to": []}, "invalid-input", "/input/to"),
        ("notify.email", {"to": ["a@b\r\nBcc: c@d"]}, "invalid-input", "/input/to/0"),
    ],
)
def test_an_input_that_notifies_nobody_is_refused_at_the_registration(
    there: There, handler: str, input: Any, slug: str, at: str
) -> None:
    refused = declare(there.api, "tell-wrong", handler, input)

    problem(refused, 422, slug)
    assert at in pointers(refused), json.dumps(refused.json())


def test_another_task_may_not_send_the_secret(there: There) -> None:
    refused = declare(there.api, "steal", "notify.slack", {"url_secret": "chat"})

    problem(refused, 422, "unusable-secret")
    assert "'steal'" in refused.json()["detail"]


def test_the_handlers_are_described(there: There) -> None:
    for name in ("notify.email", "notify.slack", "notify.webhook"):
        shown = there.api.read(f"/v1/handlers/{name}")
        assert shown["description"]
        assert shown["input_schema"]["properties"]["type"]
