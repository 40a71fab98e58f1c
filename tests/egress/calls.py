"""Calls of the client in tests."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import uvloop

from rota.clock import SystemClock
from rota.egress.client import HttpClient
from rota.egress.guard import Guard
from rota.egress.requests import Request, Response, SendFailed
from tests.egress.guards import loopback_guard

T = TypeVar("T")
CLOCK = SystemClock()


def on_a_loop(work: Callable[[HttpClient], Awaitable[T]], guard: Guard | None = None) -> T:
    """Return what `work` returns on a loop as that of the handlers is, and close what it left."""
    guard = guard or loopback_guard()
    client = HttpClient(65_536, CLOCK, guard)

    async def whole() -> T:
        try:
            async with asyncio.timeout(20):
                return await work(client)
        finally:
            await client.aclose()

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(whole())
    finally:
        guard.close()


def get(url: str, **over: Any) -> Request:
    """Return a request without a body, of an owner."""
    return Request("GET", url, over.pop("headers", {}), None, **{"owner": "t", **over})


def sent(url: str, guard: Guard | None = None, **over: Any) -> Response:
    """Return the response to one request."""
    request = get(url, **over)
    return on_a_loop(lambda client: client.send(request), guard)


def failed(url: str, guard: Guard | None = None, **over: Any) -> SendFailed:
    """Return how one request failed."""
    try:
        response = sent(url, guard, **over)
    except SendFailed as error:
        return error
    raise AssertionError(response)


def timed_out(url: str, seconds: float = 0.3, **over: Any) -> Request:
    """Return a request that was given up after so many seconds, and check that this was within one more."""
    request = get(url, **over)

    async def work(client: HttpClient) -> float:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            async with asyncio.timeout(seconds):
                response = await client.send(request)
        except TimeoutError:
            took = loop.time() - begun
            assert sum(request.phases.timings().values()) >= seconds * 0.9
            return took
        raise AssertionError(response)

    assert on_a_loop(work) < seconds + 1
    return request
