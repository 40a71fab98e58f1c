"""Refused requests: counted, and slowed if they try keys, before their bodies are read."""

import hashlib
import math
import secrets

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rota.api.http.clients.stored_keys import StoredKeys
from rota.api.middleware.auth import given_key, takes_token
from rota.api.middleware.origins import ADDRESS
from rota.api.problems.problem import app_error_response
from rota.clock import Clock
from rota.domain.access.failed_logins import FailedLogins
from rota.domain.access.keys import parse_key
from rota.domain.access.principal import LOCAL
from rota.errors import RateLimited
from rota.metrics import Metrics

log = structlog.get_logger(__name__)

_COUNTED = frozenset({401, 403, 429})


class Refusals:
    """ASGI middleware around the one that checks keys: it sees which keys that refuses."""

    def __init__(
        self, app: ASGIApp, clock: Clock, metrics: Metrics, stored: StoredKeys, most_failures: int
    ) -> None:
        self._app = app
        self._stored = stored
        self._clock = clock
        self._metrics = metrics
        self._logins = FailedLogins(most_failures)
        # Keys are remembered by a digest that is worth nothing outside of this process.
        self._salt = secrets.token_bytes(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Holders of the token of an attempt send no key.
        if scope["type"] != "http" or takes_token(scope["path"]):
            await self._app(scope, receive, send)
            return
        key, address = self._key(scope), scope.get(ADDRESS) or ""
        wait = 0.0 if key is None else self._logins.wait(address, key, self._clock.monotonic())
        if wait > 0 and not await self._is_stored(scope):
            self._metrics.refused.labels("429").inc()
            await app_error_response(_slowed(math.ceil(wait)))(scope, receive, send)
            return

        async def send_noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._note(scope, key, address, message["status"])
            await send(message)

        await self._app(scope, receive, send_noting)

    async def _is_stored(self, scope: Scope) -> bool:
        """Return whether a request has a stored key that is accepted.

        Such a key has 256 random bits, so that telling whether one is right helps nobody to guess it. Without that, who
        sends wrong keys all the time would lock out new and rotated keys, and after a restart all of them.
        """
        key = parse_key(given_key(scope["path"], Headers(scope=scope)) or "")
        if key is None:
            return False
        await self._stored.be_current()
        proof = self._stored.prove(key)
        return proof is not None and self._stored.fault(proof) is None

    def _key(self, scope: Scope) -> bytes | None:
        """Return a digest of the key of a request, the same however the header is spelled: each one is remembered."""
        headers = Headers(scope=scope)
        given = given_key(scope["path"], headers) or headers.get("authorization")
        if given is None:
            return None
        return hashlib.blake2b(given.encode(), digest_size=16, key=self._salt).digest()

    def _note(self, scope: Scope, key: bytes | None, address: str, status: int) -> None:
        if status in _COUNTED:
            self._metrics.refused.labels(str(status)).inc()
        if key is None:
            return
        # Open paths are served with a wrong key, too, and differ for a right one.
        if status == 401 or scope.get("rota.principal", LOCAL) is None:
            if self._logins.failed(address, key, self._clock.monotonic()):
                log.warning("logins.slowed", address=address)
        elif "rota.principal" in scope:
            self._logins.accepted(address, key)


def _slowed(seconds: int) -> RateLimited:
    return RateLimited(
        f"Too many keys that are not known were sent from this address. Try again after {seconds} s; keys that were "
        "accepted from it before are accepted still.",
        retry_after=seconds,
    )
