"""HEAD: what GET would answer, without the body."""

from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: In the scope of a request that is answered without its body: a stream is not begun for it.
WITHOUT_BODY = "rota.without_body"


class Head:
    """ASGI middleware: every path that takes GET takes HEAD, with the same status and headers."""

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

        asked: dict[str, Any] = {**scope, "method": "GET", WITHOUT_BODY: True}
        await self._app(asked, receive, without_body)
