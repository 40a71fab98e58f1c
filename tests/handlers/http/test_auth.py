"""What authorizes a request, as the target receives it."""

import base64
from typing import Any

import pytest

from rota.domain.runs.outcomes import Failed, Succeeded
from rota.domain.secrets.opened import OpenedSecret
from tests.handlers.bench import Bench
from tests.handlers.target import Site

BEARER = {"type": "bearer", "token": "{{ secret.crm }}"}
BASIC = {"type": "basic", "username": "rota", "password": "{{ secret.crm }}"}


def call(bench: Bench, site: Site, auth: Any, value: str | None = "s3cret", **over: Any) -> Any:
    secret = OpenedSecret("crm", value or "", origins=(site.origin,))
    secrets = () if value is None else (secret,)
    input = over.pop("input", "{}")
    return bench.run("http", input, target=site.target(auth=auth, **over), secrets=secrets)


def sent(bench: Bench, site: Site, auth: Any, value: str = "s3cret", **over: Any) -> str:
    assert isinstance(call(bench, site, auth, value, **over), Succeeded)
    return site.received[-1].headers["authorization"]


def failure(bench: Bench, site: Site, auth: Any, value: str | None, **over: Any) -> str:
    outcome = call(bench, site, auth, value, **over)
    assert isinstance(outcome, Failed), outcome
    assert value is None or outcome.error.type == "http.auth"
    assert site.received == []
    return outcome.error.message


def test_a_bearer_token_is_sent(bench: Bench, site: Site) -> None:
    assert sent(bench, site, BEARER) == "Bearer s3cret"
    assert sent(bench, site, BEARER | {"token": "a-{{ secret.crm }}"}) == "Bearer a-s3cret"


def test_a_token_may_come_with_the_input(bench: Bench, site: Site) -> None:
    auth = BEARER | {"token": "{{ input.token }}"}

    assert sent(bench, site, auth, input='{"token":"t.o-k_e~n+/=="}') == "Bearer t.o-k_e~n+/=="


@pytest.mark.parametrize(
    ("user", "password"),
    [("rota", "s3cret"), ("Jürgen", "pässwörd €"), ("a b", "with:colon"), ("", "only")],
)
def test_a_user_and_a_password_are_sent_in_utf_8(
    bench: Bench, site: Site, user: str, password: str
) -> None:
    header = sent(bench, site, BASIC | {"username": user}, password)

    assert header.startswith("Basic ")
    assert base64.b64decode(header[6:]) == f"{user}:{password}".encode()


def test_the_example_of_rfc_7617(bench: Bench, site: Site) -> None:
    assert sent(bench, site, BASIC | {"username": "test"}, "123£") == "Basic dGVzdDoxMjPCow=="


def test_a_key_may_be_the_user_name_with_no_password(bench: Bench, site: Site) -> None:
    header = sent(bench, site, BASIC | {"username": "{{ secret.crm }}", "password": ""})

    assert base64.b64decode(header[6:]) == b"s3cret:"


@pytest.mark.parametrize(
    ("auth", "value", "says"),
    [
        (BEARER, None, "there is no secret"),
        (BEARER, "", "target.auth.token is empty"),
        (BEARER | {"token": "{{ input.none? }}"}, "x", "target.auth.token is empty"),
        (BEARER, "zzz\n", "control characters, such as a line break at its end"),
        (BEARER, "zzz\r\nX-Evil: 1", "control characters"),
        (BEARER, "zz z", "has a space"),
        (BEARER, "zzzé", "characters that a token cannot have"),
        (BASIC, "zzz\x00", "target.auth.password has control characters"),
        (BASIC, "", "target.auth.password is empty"),
        (BASIC | {"username": "{{ secret.crm }}"}, "zz:z", "has a colon"),
    ],
)
def test_what_cannot_be_sent_fails_before_a_request_and_is_not_shown(
    bench: Bench, site: Site, auth: Any, value: str | None, says: str
) -> None:
    message = failure(bench, site, auth, value)

    assert says in message
    assert "zz" not in message


@pytest.mark.parametrize("auth", [BEARER, BASIC])
def test_a_body_that_is_all_that_a_request_has_has_no_secrets(
    bench: Bench, site: Site, auth: Any
) -> None:
    sent(bench, site, auth, kv=["name"])

    assert b"s3cret" not in site.received[0].body
    assert b'"secret"' not in site.received[0].body


@pytest.mark.parametrize("auth", [BEARER, BASIC])
def test_what_the_target_says_back_of_a_credential_is_taken_out(
    bench: Bench, site: Site, auth: Any
) -> None:
    value = "s3cret-and-more"
    basic = base64.b64encode(f"rota:{value}".encode())
    site.answer(200, basic + b" " + value.encode(), "text/plain", X_Request_Id=value)

    outcome = call(bench, site, auth, value)

    assert isinstance(outcome, Succeeded), outcome
    assert value not in outcome.result
    assert auth is BEARER or basic.decode() not in outcome.result


def test_a_refused_token_is_not_sent_again(bench: Bench, site: Site) -> None:
    site.answer(401)

    call(bench, site, BEARER)

    assert len(site.received) == 1
