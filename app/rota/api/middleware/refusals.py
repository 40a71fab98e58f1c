"""Refused requests: counted, and slowed if they try keys, before their bodies are read."""

import hmac
import math
from collections.abc import Sequence

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rota.api.http.stored_keys import StoredKeys
from rota.api.middleware.auth import bearer, takes_token
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
        self,
        app: ASGIApp,
        clock: Clock,
        metrics: Metrics,
        keys: Sequence[str],
        stored: StoredKeys,
        most_failures: int,
    ) -> None:
        """`keys`: those of ROTA_API_KEY."""
        self._app = app
        self._keys = [key.encode() for key in keys]
        self._stored = stored
        self._clock = clock
        self._metrics = metrics
        self._logins = FailedLogins(most_failures)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Holders of the token of an attempt send no key.
        if scope["type"] != "http" or takes_token(scope["path"]):
            await self._app(scope, receive, send)
            return
        given, address = _given(scope), scope.get(ADDRESS) or ""
        wait = 0.0 if given is None else self._logins.wait(address, self._clock.monotonic())
        if given is not None and wait > 0 and not await self._is_right(given):
            self._metrics.refused.labels("429").inc()
            await app_error_response(_slowed(math.ceil(wait)))(scope, receive, send)
            return

        async def send_noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._note(scope, given, address, message["status"])
            await send(message)

        await self._app(scope, receive, send_noting)

    async def _is_right(self, given: str) -> bool:
        """Return whether a key is accepted: one of ROTA_API_KEY, or a stored one."""
        encoded = given.encode()
        # All are compared, in constant time.
        if sum(hmac.compare_digest(encoded, key) for key in self._keys):
            return True
        key = parse_key(given)
        if key is None:
            return False
        await self._stored.be_current()
        proof = self._stored.prove(key)
        return proof is not None and self._stored.fault(proof) is None

    def _note(self, scope: Scope, given: str | None, address: str, status: int) -> None:
        if status in _COUNTED:
            self._metrics.refused.labels(str(status)).inc()
        if given is None:
            return
        # Open paths are served with a wrong key, too, and differ for a right one.
        is_wrong = status == 401 or scope.get("rota.principal", LOCAL) is None
        if is_wrong and self._logins.failed(address, self._clock.monotonic()):
            log.warning("logins.slowed", address=address)


def _given(scope: Scope) -> str | None:
    """Return the key of a request, or what it has sent in place of one."""
    headers = Headers(scope=scope)
    return bearer(headers) or headers.get("authorization")


def _slowed(seconds: int) -> RateLimited:
    return RateLimited(
        f"This key is not known, and too many such keys were sent from this address. Try again after {seconds} s; a "
        "key that is known is accepted at once.",
        retry_after=seconds,
    )
