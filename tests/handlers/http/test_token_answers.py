"""The request for an access token, and what a server may answer."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from rota.handlers.http import oauth
from tests.handlers.http.desk import Desk, opened


@pytest.fixture
def desk() -> Iterator[Desk]:
    with opened() as desk:
        yield desk


@pytest.mark.parametrize("client_auth", ["basic", "post"])
def test_the_request_is_a_form_that_identifies_the_client(desk: Desk, client_auth: str) -> None:
    desk.got(
        client_id="a:b c",
        client_secret="s&=%+ é:",
        client_auth=client_auth,
        scope="read write",
        audience="https://x/?a=1&b",
    )

    ((headers, form),) = desk.issuer.asked
    expected = {
        "grant_type": "client_credentials",
        "scope": "read write",
        "audience": "https://x/?a=1&b",
    }
    if client_auth == "basic":
        # base64 of a%3Ab+c:s%26%3D%25%2B+%C3%A9%3A (RFC 6749, section 2.3.1)
        basic = "Basic YSUzQWIrYzpzJTI2JTNEJTI1JTJCKyVDMyVBOSUzQQ=="
        assert headers["authorization"] == basic
    else:
        assert "authorization" not in headers
        expected |= {"client_id": "a:b c", "client_secret": "s&=%+ é:"}
    assert form == expected
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert headers["accept-encoding"] == "identity"


TOKEN = {"access_token": "t", "token_type": "Bearer", "expires_in": 60}


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (b"", "no access_token"),
        (b"<html>s3cret</html>", "no access_token"),
        (b"\xff\xfe{}", "no access_token"),
        (b"[]", "no access_token"),
        (b'{"access_token":"s3cret"', "no access_token"),
        (b"[" * 60_000, "no access_token"),
        (b'{"a":' + b'"' + b"s3cret" * 20_000 + b'"}', "no access_token"),
        ({}, "no access_token"),
        (TOKEN | {"access_token": ""}, "no access_token"),
        (TOKEN | {"access_token": 1}, "no access_token"),
        (TOKEN | {"access_token": ["s3cret"]}, "no access_token"),
        (TOKEN | {"access_token": "s3cret\r\nX-Evil: 1"}, "no access_token"),
        (TOKEN | {"access_token": "s3cret x"}, "no access_token"),
        (TOKEN | {"access_token": "s3cret\u20ac"}, "no access_token"),
        (TOKEN | {"access_token": "x" * 16_385}, "no access_token"),
        (TOKEN | {"token_type": "mac"}, "token_type is not Bearer"),
        (TOKEN | {"token_type": None}, "token_type is not Bearer"),
        ({"access_token": "t"}, "token_type is not Bearer"),
        (TOKEN | {"expires_in": "soon"}, "expires_in is no number"),
        (TOKEN | {"expires_in": True}, "expires_in is no number"),
        (TOKEN | {"expires_in": None}, "expires_in is no number"),
    ],
)
def test_an_answer_that_cannot_be_used_gives_no_token_and_is_not_shown(
    desk: Desk, document: Any, says: str
) -> None:
    desk.issuer.says(200, document)

    failed = desk.fails()

    assert says in str(failed)
    assert "s3cret" not in str(failed)
    assert failed.passing


@pytest.mark.parametrize("document", [TOKEN | {"token_type": "bEARER"}, TOKEN | {"more": [1]}])
def test_an_answer_may_have_more_and_be_written_otherwise(desk: Desk, document: Any) -> None:
    desk.issuer.says(200, document)

    assert desk.got() == "t"


@pytest.mark.parametrize(
    ("status", "document", "passing", "says"),
    [
        (400, {"error": "invalid_client"}, False, "400 invalid_client"),
        (401, {"error": "invalid_client", "error_description": "s3cret"}, False, "invalid_client"),
        (400, {"error": "invalid_scope"}, False, "400 invalid_scope"),
        (400, {"error": "s3cret"}, False, "400"),
        (400, {"error": ["s3cret"]}, False, "400"),
        (403, b"s3cret", False, "403"),
        (400, {"error": "temporarily_unavailable"}, True, "temporarily_unavailable"),
        (429, {}, True, "429"),
        (500, b"s3cret", True, "500"),
        (503, {"error": "server_error"}, True, "503 server_error"),
        (302, b"", False, "302, a redirect, which is not followed"),
        (307, TOKEN, False, "307, a redirect"),
    ],
)
def test_a_refusal_says_whether_another_attempt_may_help(
    desk: Desk, status: int, document: Any, passing: bool, says: str
) -> None:
    desk.issuer.says(status, document, Location=desk.issuer.token_url, Retry_After="7")

    failed = desk.fails()

    assert says in str(failed)
    assert "s3cret" not in str(failed)
    assert (failed.passing, failed.retry_after) == (passing, "7")
    assert len(desk.issuer.asked) == 1


def test_an_answer_without_an_end_is_given_up(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oauth, "MOST_SECONDS", 0.3)
    desk.issuer.drips = True

    assert str(desk.fails()) == "no access token from 127.0.0.1 within 0.3 s"


def test_a_server_that_cannot_be_reached_may_be_reached_later(desk: Desk) -> None:
    desk.grant = replace(desk.grant, token_url="http://127.0.0.1:1/token?key=s3cret")

    failed = desk.fails()

    assert str(failed).startswith("no access token from 127.0.0.1: ")
    assert "s3cret" not in str(failed)
    assert failed.passing


def test_the_secret_is_not_in_its_substitute(desk: Desk) -> None:
    assert "s3cret" not in repr(desk.grant)
    assert "s3cret" not in repr(desk.grant.key)


def test_the_largest_answer_does_not_depend_on_what_is_read_of_replies(desk: Desk) -> None:
    document = TOKEN | {"access_token": "t" * 8_000}
    desk.issuer.says(200, document)
    desk.client.max_body_bytes = 1_024

    assert desk.got() == "t" * 8_000

    desk.issuer.says(200, document | {"padding": "x" * oauth.MOST_ANSWER_BYTES})
    desk.client.max_body_bytes = 10_000_000
    assert "no access_token" in str(_fails_anew(desk))


def _fails_anew(desk: Desk) -> oauth.TokenFailed:
    with pytest.raises(oauth.TokenFailed) as failed:
        desk.got(scope="another")
    return failed.value
