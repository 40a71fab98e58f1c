"""Requests of web pages of other origins (CORS): only of those that ROTA_CORS_ORIGINS names, exactly."""

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_SENT = (
    "authorization",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "last-event-id",
    "traceparent",
)
# What a page may read of a response besides the few headers that browsers always show.
_SHOWN = (
    "allow",
    "etag",
    "idempotency-replayed",
    "link",
    "location",
    "retry-after",
    "warning",
    "x-request-id",
)
_PREFLIGHT_KEPT = 600
_OF_BROWSERS = frozenset({b"origin", b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest"})


class Cors:
    """ASGI middleware, installed if origins are set. Cookies are never allowed: a page sends a key, or needs none."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self._app = CORSMiddleware(
            _Allowed(app, origins),
            allow_origins=origins,
            allow_methods=_METHODS,
            allow_headers=_SENT,
            expose_headers=_SHOWN,
            allow_credentials=False,
            max_age=_PREFLIGHT_KEPT,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


class _Allowed:
    """Passes requests of the origins on without what shows that a page sent them: without a key, pages are refused."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self._app = app
        self._origins = frozenset(origin.encode() for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = [value for name, value in scope["headers"] if name == b"origin"]
            if len(given) == 1 and given[0] in self._origins:
                left = [each for each in scope["headers"] if each[0] not in _OF_BROWSERS]
                scope = {**scope, "headers": left}
        await self._app(scope, receive, send)
