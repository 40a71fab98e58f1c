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
    """ASGI middleware, installed if origins are set. Cookies are never allowed: a page sends a key, or needs none.

    A request of any other origin, or without one, passes as if this were not installed.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self._app = app
        self._origins = frozenset(origin.encode() for origin in origins)
        self._of_pages = CORSMiddleware(
            _as_of_no_page(app),
            allow_origins=origins,
            allow_methods=_METHODS,
            allow_headers=_SENT,
            expose_headers=_SHOWN,
            allow_credentials=False,
            max_age=_PREFLIGHT_KEPT,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._of_pages if self._is_allowed(scope) else self._app
        await app(scope, receive, send)

    def _is_allowed(self, scope: Scope) -> bool:
        if scope["type"] != "http":
            return False
        given = [value for name, value in scope["headers"] if name == b"origin"]
        return len(given) == 1 and given[0] in self._origins


def _as_of_no_page(app: ASGIApp) -> ASGIApp:
    """Remove from requests what shows that a page sent them: a service without a key refuses pages."""

    async def passed_on(scope: Scope, receive: Receive, send: Send) -> None:
        left = [each for each in scope["headers"] if each[0] not in _OF_BROWSERS]
        await app({**scope, "headers": left}, receive, send)

    return passed_on
