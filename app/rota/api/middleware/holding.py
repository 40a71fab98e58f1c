"""Requests that stay open: they end, within a second, when their key is revoked, rotated or has expired.

Those that needed no key, since there was none, end when the first one is made.

A write stays open as long as its body comes, which may take hours; from then on it is not left in doubt.
"""

import asyncio
import re
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rota.api.http.clients.stored_keys import StoredKeys
from rota.domain.access.stored_key import Proof

_READING = frozenset({"GET", "HEAD"})
_LONG_POLL = re.compile(r"/v1/queues/[^/]+/lease")
_EVENTS = "text/event-stream"
# A client that does not read delays the end of its stream no longer than this, in seconds.
_LAST_SEND = 1.0


def may_stay_open(scope: Scope) -> bool:
    """Return whether a request may be ended: reads, streams and waits. A write is not left in doubt."""
    return scope["method"] in _READING or _LONG_POLL.fullmatch(scope["path"]) is not None


def sends_body(headers: Headers) -> bool:
    """Return whether a request says that it has a body."""
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


class Held:
    """An ASGI application: another one, as long as the key of the request is accepted, or none is needed.

    `until_read`: only until the body of the request has been received.

    A response that has not begun is replaced by the refusal. A stream of events ends, since its client resumes; any
    other response is broken off, so that it is not taken for a whole one.
    """

    def __init__(
        self,
        app: ASGIApp,
        keys: StoredKeys,
        proof: Proof | None,
        refuse: Callable[[str], ASGIApp],
        *,
        until_read: bool = False,
    ) -> None:
        self._app = app
        self._until_read = until_read
        self._keys = keys
        self._proof = proof
        self._refuse = refuse
        self._started: Message | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._started = message
            await send(message)

        async def receive_noting() -> Message:
            message = await receive()
            if self._until_read and not message.get("more_body", False):
                request.close()
            return message

        with self._keys.opened(self._proof) as request:
            try:
                await self._app(scope, receive_noting, send_noting)
            except asyncio.CancelledError:
                # Cancelled by another one as well, such as a shutdown: that comes first.
                if request.fault is None or request.task.uncancel():
                    raise
                fault = request.fault
            else:
                return
        await self._end(fault, scope, receive, send)

    async def _end(self, fault: str, scope: Scope, receive: Receive, send: Send) -> None:
        if self._started is None:
            await self._refuse(fault)(scope, receive, send)
        elif Headers(raw=self._started["headers"]).get("content-type", "").startswith(_EVENTS):
            async with asyncio.timeout(_LAST_SEND):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            raise ConnectionAbortedError(fault)
