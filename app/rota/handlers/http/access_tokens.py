"""Access tokens (OAuth 2), kept until shortly before they expire.

One request at a time is made for the same credentials: who needs the token meanwhile waits for that one, but only
briefly while the token before it lasts.
"""

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from rota.clock import Clock
from rota.egress.client import HttpClient
from rota.handlers.http.oauth import Grant, Key, TokenFailed, fetch_token

#: How many tokens are kept; the one that was used least recently gives way.
MOST_TOKENS: Final = 256
# How long before its end a token is replaced: a fifth of its life, a minute at most.
_MARGIN_SECONDS = 60.0
#: How long a request for a token may be waited for while another one can be used.
PATIENCE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class _Held:
    token: str
    replace_at: float
    ends_at: float


@dataclass(frozen=True, slots=True)
class _Asked:
    request: asyncio.Task[str]
    began: float


class AccessTokens:
    """The tokens of a process, and the requests for them that are under way."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: dict[Key, _Held] = {}
        self._asked: dict[Key, _Asked] = {}

    async def get(
        self, client: HttpClient, grant: Grant, patience: float = PATIENCE_SECONDS
    ) -> str:
        """Return a token; raises TokenFailed.

        If one that is about to end cannot be replaced, or not within the `patience` in seconds, it is used as long as
        it lasts.
        """
        held = self._lasting(grant.key)
        if held is not None:
            self._held[grant.key] = self._held.pop(grant.key)  # now the one that was used last
            if self._clock.monotonic() < held.replace_at:
                return held.token
        asked = self._request(client, grant)
        if held is not None:
            await asyncio.wait([asked.request], timeout=self._remaining(asked, held, patience))
            held = self._lasting(grant.key)  # unless it has been refused meanwhile
            if held is not None and not asked.request.done():
                return held.token
        try:
            # A waiter that is cancelled leaves the request to the others, and its token to the next.
            return await asyncio.shield(asked.request)
        except TokenFailed as error:
            held = self._lasting(grant.key)
            if error.passing and held is not None:
                return held.token
            raise

    def _lasting(self, key: Key) -> _Held | None:
        """Return the token that is kept, unless it has ended."""
        held = self._held.get(key)
        return held if held is not None and self._clock.monotonic() < held.ends_at else None

    def _remaining(self, asked: _Asked, held: _Held, patience: float) -> float:
        """Return for how long to wait for a request: of many that wait in turn, only the first ones have to."""
        return max(min(asked.began + patience, held.ends_at) - self._clock.monotonic(), 0)

    def forget(self, grant: Grant, token: str) -> None:
        """Drop a token that was refused, unless another one has taken its place."""
        held = self._held.get(grant.key)
        if held is not None and held.token == token:
            self._held.pop(grant.key, None)

    def _request(self, client: HttpClient, grant: Grant) -> _Asked:
        """Return the request for a token that is under way on this loop, or else a new one."""
        loop = asyncio.get_running_loop()
        under_way = self._asked.get(grant.key)
        # Handlers get another loop while one of them blocks theirs.
        if under_way is not None and _is_under_way(under_way.request, loop):
            return under_way
        asked = _Asked(loop.create_task(self._fetch(client, grant)), self._clock.monotonic())
        self._asked[grant.key] = asked
        asked.request.add_done_callback(lambda _: self._end(grant.key, asked))
        return asked

    def _end(self, key: Key, asked: _Asked) -> None:
        if self._asked.get(key) is asked:
            del self._asked[key]
        if not asked.request.cancelled():
            asked.request.exception()  # retrieved: it may have no waiter left

    async def _fetch(self, client: HttpClient, grant: Grant) -> str:
        began = self._clock.monotonic()
        token, life = await fetch_token(client, grant)
        if life > 0:
            self._keep(grant.key, token, began, life)
        return token

    def _keep(self, key: Key, token: str, began: float, life: float) -> None:
        margin = min(_MARGIN_SECONDS, life / 5)
        self._held.pop(key, None)
        self._held[key] = _Held(token, began + life - margin, began + life)
        while len(self._held) > MOST_TOKENS:
            self._held.pop(next(iter(self._held)), None)


def _is_under_way(request: asyncio.Task[str], loop: asyncio.AbstractEventLoop) -> bool:
    return request.get_loop() is loop and not request.done()


#: The tokens for the built-in handlers; the executor sets it for the handlers' loop.
ACCESS_TOKENS: ContextVar[AccessTokens] = ContextVar("rota_access_tokens")
