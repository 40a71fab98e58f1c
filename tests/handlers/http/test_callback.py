"""Targets that report their outcomes later: what their requests contain, and what a 202 of theirs means."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from rota.domain.http_target.target import Target
from rota.domain.primitives.bounds import STORED
from rota.domain.runs.outcomes import CallEnd, Failed, Fatal, HandedOff, Succeeded
from tests.egress import hostile
from tests.handlers.bench import Bench, started
from tests.handlers.conftest import SAMPLES
from tests.handlers.target import OUTCOME, Site

TOKEN = "a" * 43


@pytest.fixture(scope="module")
def public() -> Iterator[Bench]:
    with started(SAMPLES, public_url="https://rota.example.com/jobs") as bench:
        yield bench


def call(bench: Bench, site: Site, token: str = TOKEN, **fields: Any) -> CallEnd:
    target = site.target(**{"async": True} | fields)
    return bench.begin("http", target=target, token=token).end()


def test_a_target_gets_the_token_and_the_addresses_in_headers_only(
    public: Bench, site: Site
) -> None:
    own = {"X-Rota-Token": "its own", "x-rota-complete-url": "elsewhere"}
    stored = {"url": f"http://127.0.0.1:{site.port}/", "async": True, "headers": own}
    target = Target.model_validate(stored, context=STORED)  # a registration with them is refused
    public.begin("http", target=target, token=TOKEN).end()

    (got,) = site.received
    base = f"https://rota.example.com/jobs/v1/runs/{got.headers['x-rota-run']}"
    assert got.headers["x-rota-token"] == TOKEN
    assert got.headers["x-rota-complete-url"] == f"{base}/complete"
    assert got.headers["x-rota-heartbeat-url"] == f"{base}/heartbeat"
    assert TOKEN not in got.path


def test_without_a_token_nothing_is_sent_and_a_202_is_a_success(public: Bench, site: Site) -> None:
    site.answer(202)

    end = call(public, site, token="")

    assert isinstance(end, Succeeded)
    assert not [name for name in site.received[0].headers if "token" in name or "-url" in name]


def test_a_202_hands_the_attempt_off(public: Bench, site: Site) -> None:
    site.answer(202, b'{"queued": true}', "application/json")

    assert call(public, site) == HandedOff()
    assert call(public, site, success_codes=["200"]) == HandedOff()


@pytest.mark.parametrize("elsewhere", [True, False])
def test_a_202_after_a_redirect_hands_nothing_off(public: Bench, elsewhere: bool) -> None:
    accepted = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
    moved = b"HTTP/1.1 303 See Other\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n"
    with ExitStack() as stack:
        other = stack.enter_context(hostile.serving(hostile.always(accepted)))
        there = other.url("/jobs") if elsewhere else "/jobs"
        answers = hostile.always(moved % there.encode(), accepted)
        server = stack.enter_context(hostile.serving(answers))
        stored = {"url": server.url(), "async": True, "follow_redirects": 1}
        target = Target.model_validate(stored, context=STORED)  # a registration of it is refused

        end = public.begin("http", target=target, token=TOKEN).end()

        assert isinstance(end, Fatal)
        assert (end.error.type, len(server.requests)) == ("http.redirect", 1 if elsewhere else 2)
        assert not any(TOKEN.encode() in request for request in other.requests)


def test_another_response_is_the_outcome_at_once(public: Bench, site: Site) -> None:
    site.answer(200, b"1", "application/json")
    done = call(public, site)
    site.answer(202, b'{"result": "declared"}', OUTCOME)
    declared = call(public, site)
    site.answer(503)
    failed = call(public, site)

    assert isinstance(done, Succeeded)
    assert isinstance(declared, Succeeded)
    assert json.loads(declared.result) == "declared"
    assert isinstance(failed, Failed)
