"""Access tokens: when one is asked for, by whom, and for how long it is kept."""

import asyncio
import gc
from collections.abc import Iterator
from datetime import timedelta
from time import monotonic
from typing import Any

import pytest

from rota.handlers.http import access_tokens
from rota.handlers.http.access_tokens import PATIENCE_SECONDS
from rota.handlers.http.oauth import TokenFailed
from tests.handlers.bench import wait_until
from tests.handlers.http.desk import Desk, opened, run


@pytest.fixture
def desk() -> Iterator[Desk]:
    with opened() as desk:
        yield desk


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


def test_a_token_is_used_while_the_server_that_should_replace_it_says_nothing(desk: Desk) -> None:
    """Only the first ones wait for it, briefly; the request continues, and its token is the next."""
    desk.got()
    desk.issuer.issuing.clear()
    desk.clock.advance(timedelta(seconds=3_550))

    async def meanwhile() -> list[str]:
        used = [await desk.get(patience=0.05)]
        desk.clock.advance(timedelta(seconds=PATIENCE_SECONDS))
        used += await asyncio.gather(*(desk.get() for _ in range(50)))  # would wait for 2 s
        desk.issuer.issuing.set()
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})
        return [*used, await desk.get()]

    began = monotonic()
    assert run(meanwhile) == ["token-1"] * 51 + ["token-2"]
    assert monotonic() - began < PATIENCE_SECONDS
    assert len(desk.issuer.asked) == 2


def test_a_token_that_ends_while_the_server_says_nothing_is_not_used(desk: Desk) -> None:
    desk.got()
    desk.issuer.issuing.clear()
    desk.clock.advance(timedelta(seconds=3_599.95))

    async def at_its_end() -> str:
        waiting = asyncio.create_task(desk.get())
        await asyncio.to_thread(wait_until, lambda: len(desk.issuer.asked) == 2, "nothing asked")
        desk.clock.advance(timedelta(seconds=0.1))
        done, _ = await asyncio.wait([waiting], timeout=0.1)
        assert not done
        desk.issuer.issuing.set()
        return await waiting

    assert run(at_its_end) == "token-2"


def test_a_token_that_is_refused_while_another_is_asked_for_is_not_used_again(desk: Desk) -> None:
    desk.got()
    desk.issuer.issuing.clear()
    desk.clock.advance(timedelta(seconds=3_550))

    async def refused_meanwhile() -> str:
        waiting = asyncio.create_task(desk.get(patience=0.05))
        await asyncio.sleep(0)
        desk.tokens.forget(desk.grant, "token-1")
        done, _ = await asyncio.wait([waiting], timeout=0.1)
        assert not done
        desk.issuer.issuing.set()
        return await waiting

    assert run(refused_meanwhile) == "token-2"


def test_a_client_that_is_refused_does_not_continue_with_its_token(desk: Desk) -> None:
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
    monkeypatch.setattr(access_tokens, "MOST_TOKENS", 2)
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
