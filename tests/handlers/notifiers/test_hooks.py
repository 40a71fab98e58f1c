"""Webhooks and Slack messages: what a real server gets, and that no secret address comes back."""

import base64
import json
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from rota.domain.primitives.ids import random_id
from rota.domain.runs.outcomes import Failed, Fatal, RetryRequested, Succeeded
from rota.domain.secrets.opened import OpenedSecret
from tests.handlers.bench import Bench
from tests.handlers.target import Site, serving
from tests.support.alert_events import event

KEY = "whsec_" + base64.b64encode(bytes(range(32))).decode()
PATH = "/services/T0123/B0456/hunter2-and-more"


@pytest.fixture
def site() -> Any:
    with serving() as site:
        yield site


def notify(bench: Bench, name: str, input: dict[str, Any], **over: Any) -> Any:
    return bench.run(f"notify.{name}", json.dumps(input), **over)


def address(site: Site, **over: Any) -> OpenedSecret:
    given = {"value": site.origin + PATH, "origins": (site.origin,)} | over
    return OpenedSecret("hook", **given)


def test_a_webhook_gets_the_event_as_it_is(bench: Bench, site: Site) -> None:
    outcome = notify(bench, "webhook", {"url": f"{site.origin}/alerts"} | event())

    assert outcome == Succeeded('{"status":200}', (), 5)
    (got,) = site.received
    assert (got.method, got.path) == ("POST", "/alerts")
    assert json.loads(got.body) == event()
    assert got.headers["content-type"] == "application/json"


def test_a_webhook_is_signed_with_a_named_secret_and_the_id_of_the_run(
    bench: Bench, site: Site
) -> None:
    signing = OpenedSecret("signing", KEY, origins=(site.origin,))
    given = {"url": site.origin, "signature": {"secret": "signing"}}
    run_id = random_id()

    outcome = notify(bench, "webhook", given | event(), secrets=(signing,), run_id=run_id)

    assert isinstance(outcome, Succeeded), outcome
    (got,) = site.received
    assert got.headers["webhook-id"] == got.headers["idempotency-key"] == run_id
    Webhook(KEY).verify(got.body, got.headers)


def test_by_hand_a_test_is_sent(bench: Bench, site: Site) -> None:
    for name in ("webhook", "slack"):
        assert isinstance(notify(bench, name, {"url": site.origin}), Succeeded)

    hook, slack = (json.loads(got.body) for got in site.received)
    assert hook["type"] == "alert.test"
    assert slack["text"].startswith("*Test message*")


def test_slack_gets_a_message_whose_address_is_a_named_secret(bench: Bench, site: Site) -> None:
    outcome = notify(bench, "slack", {"url_secret": "hook"} | event(), secrets=(address(site),))

    assert isinstance(outcome, Succeeded), outcome
    (got,) = site.received
    assert got.path == PATH
    assert list(json.loads(got.body)) == ["text", "blocks"]
    assert json.loads(outcome.result) == {
        "status": 200,
        "title": "nightly is failing (3 failures in a row)",
    }


def test_after_other_tasks_their_runs_are_the_message(bench: Bench, site: Site) -> None:
    run = event()["data"]["run"]
    told = {name: run[name] for name in ("id", "status", "reason", "error", "attempt")}
    given = {"url": site.origin, "results": {"nightly": None}, "runs": {"nightly": told}}

    for name in ("slack", "webhook"):
        assert isinstance(notify(bench, name, given), Succeeded)

    slack, hook = (json.loads(got.body) for got in site.received)
    assert slack["text"].startswith("*nightly failed (error)*\nError: http.status: 500 from crm")
    assert (hook["type"], hook["data"]["runs"]) == ("after", {"nightly": told})


@pytest.mark.parametrize(
    ("status", "headers", "outcome"),
    [
        (500, {}, Failed),
        (429, {}, Failed),
        (429, {"Retry-After": "30"}, RetryRequested),
        (503, {"Retry-After": "30"}, RetryRequested),
        (400, {}, Fatal),
        (404, {}, Fatal),
        (302, {"Location": "/elsewhere"}, Fatal),
    ],
)
def test_a_reply_decides_whether_it_is_tried_again(
    own: Bench, site: Site, status: int, headers: Any, outcome: Any
) -> None:
    site.answer(status, b"invalid_blocks", "text/plain", **headers)

    ended = notify(own, "slack", {"url": site.origin} | event())

    assert isinstance(ended, outcome), ended
    assert ended.error.type == "http.status"
    assert ended.error.response.body == "invalid_blocks"


def test_a_server_that_is_not_there_is_tried_again(own: Bench, site: Site) -> None:
    with serving() as gone:
        url = gone.origin

    ended = notify(own, "webhook", {"url": url} | event())

    assert isinstance(ended, Failed)
    assert ended.error.type == "http.connect"


@pytest.mark.parametrize("kept", ["named", "secret_input"])
@pytest.mark.parametrize("status", [200, 404, 500])
def test_a_secret_address_is_shown_nowhere_even_if_the_server_says_it_back(
    own: Bench, site: Site, kept: str, status: int
) -> None:
    echo = f"no service {PATH}, {PATH.rsplit('/', maxsplit=1)[-1]}, {site.origin}{PATH}".encode()
    site.answer(status, echo, "text/plain", Location=PATH)
    given = {"url_secret": "hook"} if kept == "named" else {"url": site.origin + PATH}

    running = own.begin(
        "notify.slack",
        json.dumps(given | event()),
        secrets=(address(site),) if kept == "named" else (),
        secret_input=kept == "secret_input",
    )
    ended = running.outcome()

    shown = repr(ended) + repr(running.lines())
    assert "hunter2" not in shown
    assert "B0456/" not in shown
    assert len(site.received) == 1


@pytest.mark.parametrize(
    ("over", "kind"),
    [
        ({"origins": ("https://hooks.slack.com",)}, "secret.not_permitted"),
        ({"tasks": ("other-*",)}, "secret.missing"),
        ({"value": "hunter2-and-more"}, "secret.not_a_url"),
        ({"value": "http://{{ input.host }}/hunter2"}, "secret.not_a_url"),
    ],
)
def test_a_secret_address_is_used_only_as_it_is_bound(
    bench: Bench, site: Site, over: Any, kind: str
) -> None:
    ended = notify(bench, "slack", {"url_secret": "hook"}, secrets=(address(site, **over),))

    assert isinstance(ended, Failed)
    assert (ended.error.type, site.received) == (kind, [])
    assert "hunter2" not in str(ended)


@pytest.mark.parametrize("value", ["https://b.example/hook", "hunter2-and-more"])
def test_a_secret_for_other_tasks_is_as_one_that_is_not_there(bench: Bench, value: str) -> None:
    """Whoever runs the task gives its input, and so can name the secrets of other teams."""
    theirs = OpenedSecret("hook", value, origins=("https://b.example",), tasks=("theirs-*",))
    signed = {"url": "https://evil.example/", "signature": {"secret": "hook"}}

    for kind, given in (("slack", {"url_secret": "hook"}), ("webhook", signed)):
        there = notify(bench, kind, given, secrets=(theirs,))
        assert there.error == notify(bench, kind, given).error
        assert there.error.type == "secret.missing"


def test_a_path_that_is_too_short_to_be_found_in_replies_is_not_shown(
    own: Bench, site: Site
) -> None:
    site.answer(404)

    short = address(site, value=f"{site.origin}/s3cr3t")
    ended = notify(own, "slack", {"url_secret": "hook"}, secrets=(short,))

    assert isinstance(ended, Fatal)
    assert ended.error.response is not None
    assert ended.error.response.url_path == "/[redacted]"


def test_a_signing_key_is_used_only_for_the_servers_it_is_bound_to(
    bench: Bench, site: Site
) -> None:
    elsewhere = OpenedSecret("signing", KEY, origins=("https://a.example",))

    given = {"url": site.origin, "signature": {"secret": "signing"}}
    ended = notify(bench, "webhook", given, secrets=(elsewhere,))

    assert ended.error.type == "secret.not_permitted"
    assert site.received == []


def test_without_its_secret_nothing_is_sent(bench: Bench, site: Site) -> None:
    unsigned = {"url": site.origin, "signature": {"secret": "signing"}}
    no_key = OpenedSecret("signing", "hunter2-and-more", origins=(site.origin,))
    sealed = OpenedSecret("hook", "", origins=(site.origin,), fault="it does not open")

    outcomes = [
        notify(bench, "slack", {"url_secret": "hook"}),
        notify(bench, "slack", {"url_secret": "hook"}, secrets=(sealed,)),
        notify(bench, "webhook", unsigned),
        notify(bench, "webhook", unsigned, secrets=(no_key,)),
    ]

    kinds = [ended.error.type for ended in outcomes]
    assert kinds == ["secret.missing", "sealed", "secret.missing", "http.signature"]
    assert site.received == []


@pytest.mark.parametrize(
    "input",
    [
        {},
        {"url": "https://a.example", "url_secret": "hook"},
        {"url": "ftp://a.example"},
        {"url": "https://user:password@a.example"},
        {"url": "https://{{ input.host }}/"},
        {"url": "https://a.example", "too": "many"},
    ],
)
def test_an_input_without_one_address_is_refused(bench: Bench, input: Any) -> None:
    ended = notify(bench, "slack", input)

    assert isinstance(ended, Fatal)
    assert ended.error.type == "input.invalid"
    assert "password" not in ended.error.message


def test_the_guard_judges_where_a_hook_is(bench: Bench) -> None:
    ended = notify(bench, "slack", {"url": "http://169.254.169.254/latest"})

    assert isinstance(ended, Fatal)
