"""Requests that still wait when the grace of a stop is over: the server cancels them, and each gets an answer."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rota.api.problems.problem import app_error_response
from rota.errors import Unavailable

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class CutOff:
    """ASGI middleware. Without it a request that the server cancels is answered with a bare 500 of the server's."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def note(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, note)
        except asyncio.CancelledError:
            if begun:  # the client sees that its answer is cut
                raise
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
            await app_error_response(_why(scope["method"]))(scope, receive, send)


def _why(method: str) -> Unavailable:
    if method in _READING:
        return Unavailable("The service is stopping.")
    return Unavailable("The service is stopping; the write may or may not have been stored.")
