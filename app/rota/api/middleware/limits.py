"""What one stored key may take of the service: requests in a second, and requests at a time. Before bodies are read."""

import math
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from rota.api.http.clients.calls import Call, Share, serving
from rota.api.middleware.origins import ADDRESS, REQUEST_ID
from rota.api.problems.problem import app_error_response
from rota.clock import Clock
from rota.domain.access.principal import LOCAL, Principal
from rota.domain.access.rates import TokenBucket
from rota.errors import RateLimited


class Limits:
    """ASGI middleware inside the one that checks keys. Keys of ROTA_API_KEY, and this machine, have no limits.

    Each replica counts for itself.
    """

    def __init__(self, app: ASGIApp, clock: Clock, share: Callable[[], Share] = Share) -> None:
        self._app = app
        self._clock = clock
        self._new_share = share
        # By the ids of keys; an unknown key does not come here, so there are no more than there are keys.
        self._shares: dict[str, Share] = {}
        self._buckets: dict[str, TokenBucket] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        known: Principal = scope.get("rota.principal") or LOCAL
        call = Call(known, scope.get(ADDRESS), scope.get(REQUEST_ID, ""), self._share_of(known))
        serving(call)
        try:
            self._check_rate(known)
            await call.begin()
        except RateLimited as error:
            await app_error_response(error)(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            call.end()

    def _share_of(self, known: Principal) -> Share | None:
        if known.key_id is None:
            return None
        if known.key_id not in self._shares:
            self._shares[known.key_id] = self._new_share()
        return self._shares[known.key_id]

    def _check_rate(self, known: Principal) -> None:
        """Count a request of a key; raises RateLimited if its rate is used up."""
        if known.key_id is None or known.rate is None:
            return
        now, bucket = self._clock.monotonic(), self._buckets.get(known.key_id)
        if bucket is None or bucket.rate != known.rate:
            bucket = self._buckets[known.key_id] = TokenBucket.full(known.rate, now)
        wait = bucket.take(now)
        if wait > 0:
            raise RateLimited(
                f"This key may make {known.rate:g} requests a second of each replica. Try again after "
                f"{math.ceil(wait)} s.",
                retry_after=math.ceil(wait),
            )
