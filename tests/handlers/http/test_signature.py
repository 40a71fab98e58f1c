"""Signatures over what the target receives, checked by the public library."""

import base64
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Failed, Succeeded
from rota.domain.secrets.opened import OpenedSecret
from tests.handlers.bench import CLOCK, Bench
from tests.handlers.target import Received, Site

KEY = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OLD = "whsec_" + base64.b64encode(bytes(range(1, 33))).decode()
SIGNED = {"secret": "signing"}


def received(bench: Bench, site: Site, input: str = "{}", **fields: Any) -> Received:
    secret = _secret(site, previous=fields.pop("previous", None))
    target = site.target(signature=SIGNED, **fields)
    assert isinstance(bench.run("http", input, target=target, secrets=(secret,)), Succeeded)
    return site.received[-1]


def verify(got: Received, key: str = KEY) -> None:
    Webhook(key).verify(got.body, got.headers, json_parse=False)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"body": {"text": "é\n€ 😀", "number": 1.50}},
        {"body": "a=1&b=é\r\n", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
        {"body": "", "headers": {"Content-Type": "text/plain"}},
        {"body": {"name": "{{ kv.name }}"}, "kv": ["name"]},
        {"kv": ["name", "count"]},
        {"method": "GET"},
        {"method": "DELETE"},
    ],
)
def test_exactly_the_bytes_that_are_sent_are_signed(
    bench: Bench, site: Site, fields: dict[str, Any]
) -> None:
    verify(received(bench, site, '{"kind":"dümmlich\\n"}', **fields))


def test_the_id_is_that_of_the_run_and_the_timestamp_that_of_the_attempt(
    bench: Bench, site: Site
) -> None:
    began = int(CLOCK.now().timestamp())
    got = received(bench, site)

    assert got.headers["webhook-id"] == got.headers["x-rota-run"]
    assert got.headers["webhook-timestamp"].isdigit()
    assert began <= int(got.headers["webhook-timestamp"]) <= CLOCK.now().timestamp()


def test_receivers_with_either_key_accept_a_request_while_a_rotation_overlaps(
    bench: Bench, site: Site
) -> None:
    got = received(bench, site, previous=OLD)

    assert got.headers["webhook-signature"].count("v1,") == 2
    verify(got, KEY)
    verify(got, OLD)


def test_requests_without_a_signature_have_none_of_its_headers(bench: Bench, site: Site) -> None:
    bench.run("http", target=site.target())

    assert not [name for name in site.received[0].headers if name.startswith("webhook")]


@pytest.mark.parametrize("value", ["hunter2", "whsec_hunter2"])
def test_a_request_that_cannot_be_signed_is_not_sent(bench: Bench, site: Site, value: str) -> None:
    error = _failure(bench, site, (_secret(site, value),))

    assert error.type == "http.signature"
    assert "the secret 'signing' cannot sign: a signing key is 'whsec_' and" in error.message
    assert "hunter2" not in error.message


@pytest.mark.parametrize("secrets", [(), (OpenedSecret("other", KEY),)])
def test_a_request_whose_key_is_gone_is_not_sent(
    bench: Bench, site: Site, secrets: tuple[OpenedSecret, ...]
) -> None:
    assert "there is no secret 'signing'" in _failure(bench, site, secrets).message


def _secret(site: Site, value: str = KEY, previous: str | None = None) -> OpenedSecret:
    return OpenedSecret("signing", value, previous, (site.origin,))


def _failure(bench: Bench, site: Site, secrets: tuple[OpenedSecret, ...]) -> RunError:
    outcome = bench.run("http", target=site.target(signature=SIGNED), secrets=secrets)
    assert isinstance(outcome, Failed), outcome
    assert site.received == []
    return outcome.error
