"""Access tokens (OAuth 2), kept until shortly before they expire.

One request at a time is made for the same credentials: who needs the token meanwhile waits for that one.
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


@dataclass(frozen=True, slots=True)
class _Held:
    token: str
    replace_at: float
    ends_at: float


class AccessTokens:
    """The tokens of a process, and the requests for them that are under way."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: dict[Key, _Held] = {}
        self._asked: dict[Key, asyncio.Task[str]] = {}

    async def get(self, client: HttpClient, grant: Grant) -> str:
        """Return a token; raises TokenFailed.

        If one that is about to end cannot be replaced, it is used as long as it lasts.
        """
        held = self._held.pop(grant.key, None)
        if held is not None and self._clock.monotonic() < held.ends_at:
            self._held[grant.key] = held  # now the one that was used last
            if self._clock.monotonic() < held.replace_at:
                return held.token
        try:
            # A waiter that is cancelled leaves the request to the others, and its token to the next.
            return await asyncio.shield(self._request(client, grant))
        except TokenFailed as error:
            held = self._held.get(grant.key)
            if error.passing and held is not None and self._clock.monotonic() < held.ends_at:
                return held.token
            raise

    def forget(self, grant: Grant, token: str) -> None:
        """Drop a token that was refused, unless another one has taken its place."""
        held = self._held.get(grant.key)
        if held is not None and held.token == token:
            self._held.pop(grant.key, None)

    def _request(self, client: HttpClient, grant: Grant) -> asyncio.Task[str]:
        """Return the request for a token that is under way on this loop, or else a new one."""
        loop = asyncio.get_running_loop()
        under_way = self._asked.get(grant.key)
        # Handlers get another loop while one of them blocks theirs.
        if under_way is not None and under_way.get_loop() is loop and not under_way.done():
            return under_way
        task = loop.create_task(self._fetch(client, grant))
        self._asked[grant.key] = task
        task.add_done_callback(lambda _: self._end(grant.key, task))
        return task

    def _end(self, key: Key, task: asyncio.Task[str]) -> None:
        if self._asked.get(key) is task:
            del self._asked[key]
        if not task.cancelled():
            task.exception()  # nobody may wait for it any more

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


#: The tokens for the built-in handlers; the executor sets it for the handlers' loop.
ACCESS_TOKENS: ContextVar[AccessTokens] = ContextVar("rota_access_tokens")
