"""HEAD: the status and headers of GET, without its body."""

from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rota.api.http.streaming.sse import WITHOUT_BODY


class Head:
    """ASGI middleware: every path that accepts GET accepts HEAD, with the same status and headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        get: dict[str, Any] = {**scope, "method": "GET", WITHOUT_BODY: True}
        await self._app(get, receive, without_body)
