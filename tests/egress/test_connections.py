"""Connections are kept for the next call of the same owner, and a call that a kept one lost is made again."""

import asyncio
import gc
import socket
from collections.abc import Sequence
from typing import Any

import pytest

from rota.egress import connections
from rota.egress.client import HttpClient
from rota.egress.requests import Request, Response, SendFailed
from tests.egress.calls import get, on_a_loop
from tests.egress.hostile import OK, Peer, always, serving


def one_after_the_other(*requests: Request) -> Sequence[Response]:
    """Return the responses to requests that are sent by one client."""

    async def work(client: HttpClient) -> list[Response]:
        return [await client.send(request) for request in requests]

    return on_a_loop(work)


def test_calls_of_one_owner_share_a_connection() -> None:
    with serving(always(OK)) as server:
        one_after_the_other(*(get(server.url(f"/{number}")) for number in range(5)))

        assert (server.connections, len(server.requests)) == (1, 5)


@pytest.mark.parametrize(
    "other",
    [
        {"owner": "another"},
        {"owner": ""},
        {"headers": {"Authorization": "Bearer b"}},
        {"headers": {"X-Api-Key": "a"}},
        {"headers": {}},
    ],
)
def test_no_connection_is_shared_with_other_owners_or_credentials(other: dict[str, Any]) -> None:
    mine: dict[str, Any] = {"headers": {"Authorization": "Bearer a"}}
    with serving(always(OK)) as server:
        first, second = get(server.url(), **mine), get(server.url(), **{**mine, **other})
        one_after_the_other(first, second, get(server.url(), **mine))

        assert server.connections == 2


def test_other_headers_do_not_need_another_connection() -> None:
    with serving(always(OK)) as server:
        one_after_the_other(*(get(server.url(), headers={"X-Rota-Run": run}) for run in "abc"))

        assert server.connections == 1


@pytest.mark.parametrize("name", ["X-Rota-Token", "Idempotency-Key", "Webhook-Signature"])
def test_what_belongs_to_one_call_only_is_no_other_credential(name: str) -> None:
    with serving(always(OK)) as server:
        one_after_the_other(*(get(server.url(), headers={name: run}) for run in "abc"))

        assert server.connections == 1


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n" + b"x" * 99_999,
    ],
    ids=["close", "1.0", "more-than-asked", "truncated"],
)
def test_a_connection_on_which_more_may_come_is_not_kept(reply: bytes) -> None:
    with serving(always(reply)) as server:
        responses = one_after_the_other(get(server.url("/1")), get(server.url("/2")))

        assert server.connections == 2
        assert not any(b"forged" in response.body for response in responses)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("reset", [True, False])
def test_a_request_that_a_kept_connection_lost_is_sent_once_more(method: str, reset: bool) -> None:
    def answer(peer: Peer) -> None:
        peer.request()
        peer.send(OK)
        if peer.number == 1:
            peer.request()  # and no answer
            if reset:
                peer.reset()
        else:
            always(OK)(peer)

    with serving(answer) as server:
        body = b"{}" if method == "POST" else None
        requests = [Request(method, server.url(f"/{n}"), {}, body, owner="t") for n in range(3)]
        responses = one_after_the_other(*requests)

        assert [response.body for response in responses] == [b"ok"] * 3
        assert (server.connections, len(server.requests)) == (2, 4)


def test_a_request_that_was_partly_answered_is_not_sent_again() -> None:
    def answer(peer: Peer) -> None:
        peer.request()
        peer.send(OK)
        peer.request()
        peer.send(OK[:20])

    with serving(answer) as server:
        with pytest.raises(SendFailed):
            one_after_the_other(get(server.url()), get(server.url()))

        assert len(server.requests) == 2


def test_a_request_that_a_fresh_connection_lost_is_not_sent_again() -> None:
    def answer(peer: Peer) -> None:
        peer.request()

    with serving(answer) as server:
        with pytest.raises(SendFailed):
            one_after_the_other(get(server.url()))

        assert server.connections == 1


def test_a_kept_connection_that_the_server_has_closed_is_not_used() -> None:
    def answer(peer: Peer) -> None:
        peer.request()
        peer.send(OK)

    async def work(client: HttpClient) -> None:
        for _ in range(2):
            await client.send(get(server.url()))
            await asyncio.sleep(0.05)

    with serving(answer) as server:
        on_a_loop(work)

        assert (server.connections, len(server.requests)) == (2, 2)


def test_connections_are_kept_for_a_limited_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.02)

    async def work(client: HttpClient) -> None:
        await client.send(get(server.url()))
        for _ in range(500):
            if server.closed:
                return
            await asyncio.sleep(0.01)

    with serving(always(OK)) as server:
        on_a_loop(work)

        assert (server.connections, server.closed) == (1, 1)


def test_a_limited_number_of_connections_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_IDLE", 3)

    async def work(client: HttpClient) -> int:
        for number in range(10):
            await client.send(get(server.url(), owner=f"task-{number}"))
        for number in (9, 8, 7, 0):
            await client.send(get(server.url(), owner=f"task-{number}"))
        return server.connections

    with serving(always(OK)) as server:
        assert on_a_loop(work) == 11


def test_each_loop_has_connections_of_its_own_and_leaves_none_behind() -> None:
    with serving(always(OK)) as server:
        for _ in range(2):
            one_after_the_other(get(server.url()))
        gc.collect()

        assert server.connections == 2


def test_cookies_are_not_kept_with_the_connection() -> None:
    reply = b"HTTP/1.1 200 OK\r\nSet-Cookie: session=1\r\nContent-Length: 2\r\n\r\nok"
    with serving(always(reply)) as server:
        one_after_the_other(get(server.url()), get(server.url()))

        assert server.connections == 1
        assert b"ookie" not in server.requests[1]


def test_a_call_on_a_kept_connection_has_no_phase_of_connecting() -> None:
    first, second = get(""), get("")

    async def work(client: HttpClient) -> None:
        nonlocal first, second
        first, second = get(server.url()), get(server.url())
        await client.send(first)
        await client.send(second)
        assert list(first.phases.timings()) == ["dns", "connect", "write", "wait", "read"]
        assert list(second.phases.timings()) == ["write", "wait", "read"]

    with serving(always(OK)) as server:
        on_a_loop(work)


def test_an_answer_before_the_whole_body_was_read_counts() -> None:
    def answer(peer: Peer) -> None:
        peer.socket.recv(1_000)
        peer.send(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
        peer.socket.shutdown(socket.SHUT_WR)
        peer.wait()

    with serving(answer) as server:
        request = Request("POST", server.url(), {}, b"x" * 5_000_000, owner="t")
        (response,) = one_after_the_other(request)

    assert (response.status, response.body) == (413, b"no")
