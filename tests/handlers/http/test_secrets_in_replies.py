"""What targets and authorization servers say back of a call is in nothing that Rota keeps of it."""

import json
from dataclasses import replace
from typing import Any

import pytest

from rota.domain.http_target.target import Target
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Failed, Succeeded
from rota.domain.secrets.opened import OpenedSecret
from tests.egress.hostile import Answer, Peer, serving
from tests.handlers.bench import Bench, Running
from tests.handlers.target import OUTCOME, Site, error

# As long as a JSON web token: longer than what is kept of an error.
SECRET = "eyJhbGciOiJSUzI1NiJ9." + "".join(f"{number:x}" for number in range(1_000, 1_300))
HEAD = b"HTTP/1.1 200 OK\r\n"
BROKEN = {
    "its status line is not that of HTTP/1.1": b"HTTP/1.1 %s\r\n\r\n",
    "a line of its headers is not valid": HEAD + b"X Echo: %s\r\n\r\n",
    "a chunk of its body has no valid size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n%s\r\n\r\n",
    "a chunk of its body does not end as it should": HEAD
    + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx%s\r\n",
    "its Content-Length is not a valid number": HEAD + b"Content-Length: %s\r\n\r\n",
    "its Transfer-Encoding is not 'chunked'": HEAD + b"Transfer-Encoding: %s\r\n\r\n",
}


def saying(answer: bytes) -> Answer:
    def act(peer: Peer) -> None:
        peer.request()
        peer.send(answer)
        peer.wait()

    return act


def secret_for(origin: str, value: str = SECRET) -> tuple[OpenedSecret, ...]:
    return (OpenedSecret("crm", value, origins=(origin,)),)


@pytest.mark.parametrize("why", BROKEN)
def test_no_error_quotes_what_a_server_says_instead_of_http(bench: Bench, why: str) -> None:
    with serving(saying(BROKEN[why] % SECRET.encode())) as server:
        target = Target(url=server.url(), headers={"Authorization": "Bearer {{ secret.crm }}"})

        outcome = bench.run("http", target=target, secrets=secret_for(server.url("")))

    assert isinstance(outcome, Failed), outcome
    assert outcome.error == RunError("http.protocol", f"127.0.0.1: {why}")


@pytest.mark.parametrize("why", BROKEN)
def test_no_error_quotes_what_an_authorization_server_says_instead_of_http(
    bench: Bench, why: str
) -> None:
    with serving(saying(BROKEN[why] % SECRET.encode())) as server:
        auth = {
            "type": "oauth2",
            "token_url": server.url("/token"),
            "client_id": f"of {server.port}",
            "client_secret": "{{ secret.crm }}",
        }
        target = Target(url=server.url(), auth=auth)  # type: ignore[arg-type]  # as it is read

        outcome = bench.run("http", target=target, secrets=secret_for(server.url("")))

    assert isinstance(outcome, Failed), outcome
    assert outcome.error == RunError("http.oauth", f"no access token from 127.0.0.1: {why}")


def test_a_redirect_to_a_host_that_is_named_like_a_secret_does_not_show_it(
    bench: Bench, site: Site
) -> None:
    value = "Sk-Live-51NxQ8aZ"
    site.answer(307, Location=f"https://{value}.invalid/")
    target = site.target(
        headers={"X-Api-Key": "{{ secret.crm }}"}, follow_redirects=1, method="GET"
    )

    outcome = bench.run("http", target=target, secrets=secret_for(site.origin, value))

    assert not isinstance(outcome, Succeeded)
    assert value.lower() not in repr(outcome).lower()


SECRET_INPUT = json.dumps(
    {"customer": "Ada Lovelace", "card": ["4111-1111-1111-1111"], "pin": "1234"}
)


def call(bench: Bench, site: Site, given: str = SECRET_INPUT, **fields: Any) -> Any:
    return bench.run("http", given, target=site.target(**fields), secret_input=True)


def test_a_secret_input_that_a_target_echoes_is_taken_out(bench: Bench, site: Site) -> None:
    site.answer(200, SECRET_INPUT.encode(), "application/json", X_Request_Id="Ada Lovelace")

    outcome = call(bench, site)

    assert isinstance(outcome, Succeeded)
    document = json.loads(outcome.result)
    assert document["body"] == {"customer": "[redacted]", "card": ["[redacted]"], "pin": "1234"}
    assert document["headers"]["x-request-id"] == "[redacted]"


def test_a_run_whose_task_has_no_secret_input_any_more_has_its_own_taken_out(
    bench: Bench, site: Site
) -> None:
    site.answer(200, b'"Ada Lovelace"', "application/json")
    made = bench.call("http", SECRET_INPUT, target=site.target())
    running = Running(replace(made, run=replace(made.run, secret_input=True)))
    bench.executor.begin([running.call], running.done)

    outcome = running.outcome()

    assert isinstance(outcome, Succeeded)
    assert json.loads(outcome.result)["body"] == "[redacted]"


def test_an_outcome_that_quotes_a_secret_input_has_it_taken_out(bench: Bench, site: Site) -> None:
    site.answer(200, b'{"result": "for Ada Lovelace"}', OUTCOME)

    outcome = call(bench, site)

    assert isinstance(outcome, Succeeded)
    assert json.loads(outcome.result) == "for [redacted]"


def test_a_secret_input_in_the_path_is_not_in_the_error(bench: Bench, site: Site) -> None:
    site.answer(404)
    path = "/of/{{ input.customer }}/{{ input.pin }}?card={{ input.card[0] }}"

    outcome = call(bench, site, path=path)

    assert outcome.error.response.url_path == "/of/{{ input.customer }}/{{ input.pin }}"
    assert site.received[0].path == "/of/Ada%20Lovelace/1234?card=4111-1111-1111-1111"


def test_the_path_of_an_input_that_is_not_secret_is_shown(bench: Bench, site: Site) -> None:
    site.answer(404)

    outcome = bench.run("http", SECRET_INPUT, target=site.target("/{{ input.pin }}"))

    assert not isinstance(outcome, Succeeded)
    assert "/1234" in repr(outcome)


def test_headers_that_are_filled_in_have_limits(bench: Bench, site: Site) -> None:
    def failing(size: int, headers: int) -> str:
        given = {f"X-{number}": "{{ input }}" for number in range(headers)}
        outcome = bench.run("http", json.dumps("k" * size), target=site.target(headers=given))
        assert isinstance(outcome, Failed), outcome
        return outcome.error.message

    assert failing(16_385, 1) == (
        "the request cannot be filled in: the header 'X-0' has 16,385 characters; the limit is 16,384"
    )
    assert failing(16_384, 4) == (
        "the request cannot be filled in: its headers have more than 65,536 characters, the limit"
    )
    assert site.received == []


def test_what_auth_is_filled_in_with_has_a_limit(bench: Bench, site: Site) -> None:
    target = site.target(auth={"type": "bearer", "token": "{{ input }}"})

    outcome = bench.run("http", json.dumps("k" * 16_385), target=target)

    assert outcome == Failed(
        RunError("http.auth", "target.auth.token has 16,385 characters; the limit is 16,384")
    )


def test_the_end_of_a_reply_that_is_cut_off_is_not_kept(bench: Bench, site: Site) -> None:
    value = "sk_live_51NxQ8aZ"
    site.answer(200, b"x" * 4_090 + value.encode(), "text/plain")
    target = site.target(headers={"X-Api-Key": "{{ secret.crm }}"})

    outcome = bench.run("http", target=target, secrets=secret_for(site.origin, value))

    assert isinstance(outcome, Succeeded)
    document = json.loads(outcome.result)
    assert document["body"] == "x" * (4_096 - 12 * len(value)) + "[redacted]"
    assert document["truncated"] is True


def test_a_server_that_closes_without_an_answer_is_reported_as_such(
    bench: Bench, site: Site
) -> None:
    site.hangs_up = True

    assert error(bench, site).message == "127.0.0.1: it closed the connection without an answer"
