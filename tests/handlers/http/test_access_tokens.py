"""Access tokens: when one is asked for, by whom, and for how long it is kept."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from rota.clock import FakeClock
from rota.handlers.http import oauth
from rota.handlers.http.client import HttpClient
from rota.handlers.http.oauth import AccessTokens, Grant, TokenFailed
from tests.handlers.bench import DEADLINE, wait_until
from tests.handlers.http.issuer import Issuer, issuing

T = TypeVar("T")


@dataclass
class Desk:
    """Tokens whose clock is the test's, and one authorization server."""

    issuer: Issuer
    clock: FakeClock
    tokens: AccessTokens
    client: HttpClient
    grant: Grant

    async def get(self, **other: Any) -> str:
        return await self.tokens.get(self.client, replace(self.grant, **other))

    def got(self, **other: Any) -> str:
        return run(lambda: self.get(**other))

    def after(self, seconds: float) -> str:
        self.clock.advance(timedelta(seconds=seconds))
        return self.got()

    def fails(self) -> TokenFailed:
        with pytest.raises(TokenFailed) as failed:
            self.got()
        return failed.value


def run(work: Callable[[], Awaitable[T]]) -> T:
    async def main() -> T:
        async with asyncio.timeout(DEADLINE):
            return await work()

    return asyncio.run(main())


@pytest.fixture
def desk() -> Iterator[Desk]:
    with issuing() as issuer:
        clock = FakeClock(datetime(2026, 11, 29, tzinfo=UTC))
        grant = Grant(issuer.token_url, "rota", "s3cret")
        yield Desk(issuer, clock, AccessTokens(clock), HttpClient(100_000, clock), grant)


@pytest.mark.parametrize(
    ("expires_in", "kept"),
    [(3_600, 3_540), ("3600", 3_540), (100, 80), (2.5, 2.0), (None, 240), (10**300, 86_340)],
)
def test_a_token_is_replaced_shortly_before_it_expires(
    desk: Desk, expires_in: Any, kept: float
) -> None:
    desk.issuer.expires_in = expires_in

    assert desk.got() == desk.after(kept - 0.1) == "token-1"
    assert desk.after(0.2) == "token-2"


@pytest.mark.parametrize("expires_in", [0, -5, "0"])
def test_a_token_that_has_expired_already_is_used_once(desk: Desk, expires_in: Any) -> None:
    desk.issuer.expires_in = expires_in

    assert [desk.got(), desk.got()] == ["token-1", "token-2"]


def test_a_token_that_cannot_be_replaced_is_used_as_long_as_it_lasts(desk: Desk) -> None:
    desk.got()
    desk.issuer.says(503, {})

    assert desk.after(3_550) == "token-1"
    desk.clock.advance(timedelta(seconds=50))
    assert desk.fails().passing


def test_a_client_that_is_refused_does_not_go_on_with_its_token(desk: Desk) -> None:
    desk.got()
    desk.issuer.says(401, {"error": "invalid_client"})
    desk.clock.advance(timedelta(seconds=3_550))

    assert not desk.fails().passing


def test_fifty_that_need_a_token_at_once_make_one_request(desk: Desk) -> None:
    async def all_of_them() -> list[str]:
        return await asyncio.gather(*(desk.get() for _ in range(50)))

    assert run(all_of_them) == ["token-1"] * 50
    assert len(desk.issuer.asked) == 1


def test_fifty_that_wait_for_a_request_that_fails_all_fail_by_it(desk: Desk) -> None:
    desk.issuer.says(500, {})

    async def all_of_them() -> list[Any]:
        return await asyncio.gather(*(desk.get() for _ in range(50)), return_exceptions=True)

    assert {type(each) for each in run(all_of_them)} == {TokenFailed}
    assert len(desk.issuer.asked) == 1
    desk.issuer.answers = None
    assert desk.got() == "token-1"


@pytest.mark.parametrize("cancelled", [[0], [0, 1], [0, 1, 2]])
def test_a_wait_that_is_cancelled_takes_the_token_from_nobody(
    desk: Desk, cancelled: list[int]
) -> None:
    desk.issuer.issuing.clear()

    async def some_of_them() -> list[Any]:
        waiting = [asyncio.create_task(desk.get()) for _ in range(3)]
        await asyncio.to_thread(wait_until, lambda: desk.issuer.asked, "no token was asked for")
        for index in cancelled:
            waiting[index].cancel()
        await asyncio.sleep(0)
        desk.issuer.issuing.set()
        return [*await asyncio.gather(*waiting, return_exceptions=True), await desk.get()]

    got = run(some_of_them)
    for index, token in enumerate(got):
        assert (token == "token-1") is (index not in cancelled)
    assert len(desk.issuer.asked) == 1


def test_a_request_that_fails_when_nobody_waits_any_more_is_no_fault_of_the_loop(
    desk: Desk,
) -> None:
    desk.issuer.says(500, {})
    desk.issuer.issuing.clear()
    faults: list[Any] = []

    async def nobody() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
        waiting = asyncio.create_task(desk.get())
        await asyncio.to_thread(wait_until, lambda: desk.issuer.asked, "no token was asked for")
        waiting.cancel()
        desk.issuer.issuing.set()
        while len(asyncio.all_tasks()) > 1:
            await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})
        gc.collect()

    run(nobody)
    assert faults == []


def test_a_request_of_a_loop_that_was_left_is_not_waited_for(desk: Desk) -> None:
    desk.issuer.issuing.clear()
    left = asyncio.new_event_loop()
    stuck = left.create_task(desk.get())
    left.run_until_complete(asyncio.sleep(0))  # it has begun, and then its loop is stuck
    desk.issuer.issuing.set()

    assert desk.got() == "token-1"
    assert left.run_until_complete(stuck).startswith("token-")
    left.close()


def test_credentials_that_differ_have_tokens_of_their_own(desk: Desk) -> None:
    others: list[dict[str, Any]] = [
        {},
        {"client_secret": "other"},
        {"client_id": "other"},
        {"scope": "a"},
        {"audience": "a"},
        {"client_auth": "post"},
    ]

    tokens = [desk.got(**each) for each in others]

    assert len(set(tokens)) == len(others)
    assert [desk.got(**each) for each in others] == tokens


def test_the_token_that_was_used_least_recently_gives_way(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oauth, "MOST_TOKENS", 2)
    first, second = desk.got(client_id="a"), desk.got(client_id="b")
    assert desk.got(client_id="a") == first
    desk.got(client_id="c")

    assert desk.got(client_id="a") == first
    assert desk.got(client_id="b") != second


def test_a_token_is_forgotten_unless_another_has_taken_its_place(desk: Desk) -> None:
    desk.tokens.forget(desk.grant, desk.got())
    assert desk.got() == "token-2"

    desk.tokens.forget(desk.grant, "token-1")
    assert desk.got() == "token-2"


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


def test_the_secret_is_not_in_what_stands_for_it(desk: Desk) -> None:
    assert "s3cret" not in repr(desk.grant)
    assert "s3cret" not in repr(desk.grant.key)
