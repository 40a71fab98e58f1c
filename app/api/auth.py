"""Who may ask: API keys; on loopback without one, only this machine's own programs, not web pages."""

import hashlib
import hmac
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.problems import problem_response

_OPEN = frozenset({"/", "/healthz", "/readyz", "/docs", "/openapi.json"})
# Pages that say nothing of what is stored; a browser cannot send a key when it opens them.
_OPEN_BELOW = ("/docs/", "/problems/")
_LABEL_LENGTH = 8


class Gate:
    """ASGI middleware. With keys: `Authorization: Bearer …` on everything but health and documentation.

    Without (loopback only): the `Host` must be a loopback name and a foreign `Origin` is refused, so that a web page
    in this machine's browser can reach the service neither directly nor by rebinding a name.
    """

    def __init__(self, app: ASGIApp, keys: Sequence[str]) -> None:
        self._app = app
        self._keys = [key.encode() for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._check(scope)
        await (refusal or self._app)(scope, receive, send)

    def _check(self, scope: Scope) -> ASGIApp | None:
        headers = Headers(scope=scope)
        if not self._keys:
            return _check_loopback(headers)
        principal = self._principal(headers)
        scope["rota.principal"] = principal
        if principal is None and not _is_open(scope["path"]):
            return _unauthorized("authorization" in headers)
        return None

    def _principal(self, headers: Headers) -> str | None:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        encoded = given.strip().encode()
        # Every key is compared, in constant time, whichever fits.
        fits = [hmac.compare_digest(encoded, key) for key in self._keys]
        return f"key:{hashlib.sha256(encoded).hexdigest()[:_LABEL_LENGTH]}" if any(fits) else None


def _check_loopback(headers: Headers) -> ASGIApp | None:
    if not _is_loopback(headers.get("host", "")):
        return problem_response(
            421,
            "wrong-host",
            "Not the host you asked for",
            "Without an API key the service answers to localhost, 127.0.0.1 and [::1] only. "
            "Set ROTA_API_KEY to serve other names.",
        )
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2] != headers.get("host"):
        return problem_response(
            403,
            "foreign-origin",
            "Not allowed",
            "Without an API key the service refuses requests from other sites' web pages. Set ROTA_API_KEY.",
        )
    return None


def _host_name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


# Clients name the same few hosts in every request.
@lru_cache(maxsize=64)
def _is_loopback(host: str) -> bool:
    name = _host_name(host)
    # An address cannot be rebound as a name can, so every one of 127.0.0.0/8 is this machine.
    try:
        return name == "localhost" or ip_address(name or "").is_loopback
    except ValueError:
        return False


def _unauthorized(given: bool) -> ASGIApp:  # noqa: FBT001  # a predicate of the one caller
    detail = "This key is not known." if given else "Send the header Authorization: Bearer <key>."
    return problem_response(
        401, "unauthorized", "A key is needed", detail, headers={"www-authenticate": "Bearer"}
    )


def _is_open(path: str) -> bool:
    return path in _OPEN or path.startswith(_OPEN_BELOW)
