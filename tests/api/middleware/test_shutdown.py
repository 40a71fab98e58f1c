"""Requests that the server cancels at the end of the grace period still get a response."""

import asyncio
from typing import Any

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from rota.api.middleware.shutdown import CutOff
from tests.api.service import check_problem


class Waiting:
    """An application that never ends, before or after it has begun its answer."""

    def __init__(self, *, begins: bool) -> None:
        self._begins = begins
        self.entered = asyncio.Event()

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        if self._begins:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        self.entered.set()
        await asyncio.Event().wait()


async def cancelled(method: str, *, begins: bool) -> tuple[list[Message], bool]:
    """Cancel a request as uvicorn does; return what was sent, and whether the cancellation got through."""
    application = Waiting(begins=begins)
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("nothing is read")

    scope: dict[str, Any] = {"type": "http", "method": method, "path": "/", "headers": []}
    task = asyncio.create_task(CutOff(application)(scope, receive, send))
    await application.entered.wait()
    task.cancel("the grace period has ended")
    await asyncio.wait([task])
    return sent, task.cancelled()


def answer(sent: list[Message]) -> httpx.Response:
    start, body = sent
    headers = [(name.decode(), value.decode()) for name, value in start["headers"]]
    return httpx.Response(start["status"], headers=headers, content=body["body"])


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_cancelled_write_is_a_503_with_an_unknown_outcome(method: str) -> None:
    sent, was_cancelled = asyncio.run(cancelled(method, begins=False))

    response = answer(sent)
    check_problem(response)
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert response.json()["type"] == "/problems/unavailable"
    assert "may or may not have been stored" in response.json()["detail"]
    assert not was_cancelled


def test_a_cancelled_read_is_a_503_as_the_service_stops() -> None:
    sent, _ = asyncio.run(cancelled("GET", begins=False))

    response = answer(sent)
    check_problem(response)
    assert response.json()["detail"] == "The service is stopping."


def test_a_response_that_has_started_is_not_mixed_with_another() -> None:
    sent, was_cancelled = asyncio.run(cancelled("POST", begins=True))

    assert [message["type"] for message in sent] == ["http.response.start"]
    assert was_cancelled
