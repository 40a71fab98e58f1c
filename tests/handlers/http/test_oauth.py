"""Calls that are authorized by access tokens."""

import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Cancelled, Failed, Fatal, RetryRequested, Succeeded
from rota.domain.secrets.opened import OpenedSecret
from tests.handlers.bench import Bench, Running, wait_until
from tests.handlers.http.issuer import Answer, Issuer, issuing
from tests.handlers.target import OUTCOME


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as issuer:
        yield issuer


def secrets(issuer: Issuer) -> tuple[OpenedSecret, ...]:
    return (OpenedSecret("client", "s3cret", origins=(f"http://127.0.0.1:{issuer.port}",)),)


def begin(bench: Bench, issuer: Issuer, **fields: Any) -> Running:
    return bench.begin("http", target=issuer.target(**fields), secrets=secrets(issuer))


def call(bench: Bench, issuer: Issuer, **fields: Any) -> Any:
    return begin(bench, issuer, **fields).outcome()


def test_one_token_serves_many_calls(bench: Bench, issuer: Issuer) -> None:
    calls = [begin(bench, issuer) for _ in range(50)]

    assert all(isinstance(each.outcome(), Succeeded) for each in calls)
    assert len(issuer.asked) == 1
    assert [each["authorization"] for each in issuer.called] == ["Bearer token-1"] * 50


def test_a_cancel_of_the_first_call_leaves_the_token_to_the_others(
    bench: Bench, issuer: Issuer
) -> None:
    issuer.issuing.clear()
    first = begin(bench, issuer)
    wait_until(lambda: issuer.asked, "no token was asked for")
    others = [begin(bench, issuer) for _ in range(5)]

    bench.cancel(first)

    assert first.outcome() == Cancelled()
    issuer.issuing.set()
    assert all(isinstance(each.outcome(), Succeeded) for each in others)
    assert len(issuer.asked) == 1


def test_a_token_that_was_revoked_is_replaced_and_the_call_repeated(
    bench: Bench, issuer: Issuer
) -> None:
    call(bench, issuer)
    issuer.valid.clear()

    assert isinstance(call(bench, issuer), Succeeded)
    sent = [each["authorization"] for each in issuer.called]
    assert sent == ["Bearer token-1", "Bearer token-1", "Bearer token-2"]
    assert issuer.called[1]["idempotency-key"] == issuer.called[2]["idempotency-key"]


def test_a_target_that_refuses_every_token_is_asked_twice(bench: Bench, issuer: Issuer) -> None:
    issuer.says(200, {"access_token": "unknown", "token_type": "bearer"})

    outcome = call(bench, issuer)

    assert isinstance(outcome, Fatal), outcome
    assert outcome.error.message == "401 from 127.0.0.1"
    assert (len(issuer.called), len(issuer.asked)) == (2, 2)


def test_a_target_for_which_401_is_a_success_is_asked_once(bench: Bench, issuer: Issuer) -> None:
    issuer.says(200, {"access_token": "unknown", "token_type": "bearer"})

    assert isinstance(call(bench, issuer, success_codes=[401]), Succeeded)
    assert len(issuer.called) == 1


def test_an_outcome_is_no_refusal_of_a_token(bench: Bench, issuer: Issuer) -> None:
    issuer.says(200, {"access_token": "unknown", "token_type": "bearer"})
    issuer.refusal = Answer(401, b'{"result":1}', {"Content-Type": OUTCOME})

    assert isinstance(call(bench, issuer), Succeeded)
    assert len(issuer.called) == 1


def test_a_client_that_is_refused_fails_the_run(bench: Bench, issuer: Issuer) -> None:
    issuer.says(401, {"error": "invalid_client", "error_description": "not s3cret"})

    assert call(bench, issuer) == Fatal(
        RunError("http.oauth", "no access token from 127.0.0.1: 401 invalid_client")
    )
    assert issuer.called == []


def test_a_server_that_is_down_is_asked_again_by_another_attempt(
    bench: Bench, issuer: Issuer
) -> None:
    issuer.says(503, b"s3cret")

    failed = RunError("http.oauth", "no access token from 127.0.0.1: 503")
    assert call(bench, issuer) == Failed(failed)
    issuer.says(429, b"", Retry_After="120")
    assert call(bench, issuer) == RetryRequested(
        timedelta(seconds=120),
        RunError("http.oauth", "no access token from 127.0.0.1: 429"),
        lengthens=True,
    )


def test_the_timeout_of_the_call_covers_the_token(bench: Bench, issuer: Issuer) -> None:
    issuer.issuing.clear()

    assert call(bench, issuer, timeout=0.3) == Failed(
        RunError("http.oauth", "no access token from 127.0.0.1 within 0.3 s")
    )


def test_scope_and_audience_are_filled_in(bench: Bench, issuer: Issuer) -> None:
    target = issuer.target({"scope": "{{ input.scope }}", "audience": "{{ input.none? }}x"})

    bench.run("http", '{"scope":"jobs:write"}', target=target, secrets=secrets(issuer))

    ((_, form),) = issuer.asked
    assert (form["scope"], form["audience"]) == ("jobs:write", "x")


def test_a_token_that_the_target_says_back_is_taken_out(bench: Bench, issuer: Issuer) -> None:
    token = "a+very/long token"[:11] + "0ken=="
    issuer.valid.add(token)
    issuer.says(200, {"access_token": token, "token_type": "Bearer"})

    outcome = call(bench, issuer)

    assert isinstance(outcome, Succeeded), outcome
    assert "0ken" not in outcome.result
    assert "Bearer [redacted]" in outcome.result


def test_neither_the_secret_nor_the_token_is_logged(
    bench: Bench, issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.answers = lambda: Answer(200, b'{"access_token":"t0ken","token_type":"Bearer"}')
    with caplog.at_level(logging.DEBUG):
        running = begin(bench, issuer)
        running.outcome()

    shown = caplog.text + str(running.lines())
    assert "s3cret" not in shown
    assert "t0ken" not in shown
