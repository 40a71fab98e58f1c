"""Requests that still wait when the grace period of a shutdown ends: the server cancels them, each gets a response."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rota.api.problems.problem import app_error_response
from rota.errors import Unavailable

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class CutOff:
    """ASGI middleware. Without it, the response to a cancelled request is a bare 500 of the server."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
        except asyncio.CancelledError:
            if started:  # the client sees that its response is incomplete
                raise
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
            await app_error_response(_unavailable(scope["method"]))(scope, receive, send)


def _unavailable(method: str) -> Unavailable:
    if method in _READING:
        return Unavailable("The service is stopping.")
    return Unavailable("The service is stopping; the write may or may not have been stored.")
