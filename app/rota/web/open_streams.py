"""Streams that the scripts of pages have opened: they end when their session does, as its requests are refused then."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: How often it is looked whether a session was ended by another replica, in seconds.
_LOOKS_EVERY: Final = 5.0


class OpenStreams:
    """The requests that are served for sessions."""

    def __init__(self, looks_every: float = _LOOKS_EVERY) -> None:
        self._looks_every = looks_every
        self._looks: set[asyncio.Event] = set()

    def look_again(self) -> None:
        """Have each request look at once whether its session is over."""
        for each in self._looks:
            each.set()

    async def serve(
        self,
        app: ASGIApp,
        scope: Scope,
        receive: Receive,
        send: Send,
        is_over: Callable[[], Awaitable[bool]],
    ) -> None:
        """Serve a request until `is_over`; then what was begun ends as if there were no more."""
        has_begun = False

        async def send_noting(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        serving = asyncio.ensure_future(_run(app, scope, receive, send_noting))
        if await self._ends_before(serving, is_over):
            await serving
        elif has_begun:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _ends_before(
        self, serving: "asyncio.Future[None]", is_over: Callable[[], Awaitable[bool]]
    ) -> bool:
        """Wait for a request; return False if it was broken off since its session is over."""
        look = asyncio.Event()
        self._looks.add(look)
        try:
            while not await _is_done(serving, look, self._looks_every):
                look.clear()
                if await is_over():
                    return False
            return True
        finally:
            self._looks.discard(look)
            if not serving.done():
                serving.cancel()
                await asyncio.gather(serving, return_exceptions=True)


async def _run(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)


async def _is_done(serving: "asyncio.Future[None]", look: asyncio.Event, seconds: float) -> bool:
    """Wait until a request is done, but at most so long, or until it is to look; return whether it is done."""
    looked = asyncio.ensure_future(look.wait())
    waited: set[asyncio.Future[Any]] = {serving, looked}
    try:
        await asyncio.wait(waited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        looked.cancel()
    return serving.done()
