"""Where a request comes from: its connection, or what a trusted proxy says; and the id of the request."""

import re
from collections.abc import Sequence
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rota.domain.access.forwarding import origin_of, read_network

ADDRESS, REQUEST_ID = "rota.address", "rota.request_id"
_GIVEN_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)
_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Origins:
    """ASGI middleware. Puts the address of a request into its scope, the scheme that its client has used, and an id.

    Only a request that may change something has an id.

    `scope["client"]` stays the other end of the connection: whether a request comes from this machine is decided by
    that, and by there being no header of a proxy.
    """

    def __init__(self, app: ASGIApp, trusted: Sequence[str]) -> None:
        self._app = app
        self._trusted = [read_network(each) for each in trusted]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._note_address(scope)
        if scope["method"] in _CHANGING:
            scope[REQUEST_ID] = _request_id(Headers(scope=scope))
            send = _naming(scope[REQUEST_ID], send)
        await self._app(scope, receive, send)

    def _note_address(self, scope: Scope) -> None:
        client = scope.get("client")
        scope[ADDRESS] = peer = client[0] if client else None
        if peer is None or not self._trusted:
            return
        headers = Headers(scope=scope)
        origin = origin_of(
            peer,
            self._trusted,
            forwarded=headers.getlist("forwarded"),
            forwarded_for=headers.getlist("x-forwarded-for"),
            forwarded_proto=headers.getlist("x-forwarded-proto"),
        )
        scope[ADDRESS] = origin.address
        if origin.scheme is not None:
            scope["scheme"] = origin.scheme


def _request_id(headers: Headers) -> str:
    """Return the id that the client or a proxy has given to the request, else a new one."""
    given = headers.get("x-request-id", "")
    return given if _GIVEN_ID.fullmatch(given) else uuid4().hex


def _naming(request_id: str, send: Send) -> Send:
    """Return a `send` that adds the id of the request to a response that has none, as problems have."""

    async def send_named(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).setdefault("x-request-id", request_id)
        await send(message)

    return send_named
