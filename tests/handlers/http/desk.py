"""Access tokens without the handler: their clock is the test's, and their server is real."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from rota.clock import FakeClock
from rota.egress.client import HttpClient
from rota.handlers.http.access_tokens import PATIENCE_SECONDS, AccessTokens
from rota.handlers.http.oauth import Grant, TokenFailed
from tests.egress.guards import loopback_guard
from tests.handlers.bench import DEADLINE
from tests.handlers.http.issuer import Issuer, issuing

T = TypeVar("T")


@dataclass
class Desk:
    """Tokens whose clock is the test's, and one authorization server."""

    issuer: Issuer
    clock: FakeClock
    tokens: AccessTokens
    client: HttpClient
    grant: Grant

    async def get(self, *, patience: float = PATIENCE_SECONDS, **other: Any) -> str:
        return await self.tokens.get(self.client, replace(self.grant, **other), patience)

    def got(self, **other: Any) -> str:
        return run(lambda: self.get(**other))

    def after(self, seconds: float) -> str:
        self.clock.advance(timedelta(seconds=seconds))
        return self.got()

    def fails(self) -> TokenFailed:
        with pytest.raises(TokenFailed) as failed:
            self.got()
        return failed.value


def run(work: Callable[[], Awaitable[T]]) -> T:
    async def main() -> T:
        async with asyncio.timeout(DEADLINE):
            return await work()

    return asyncio.run(main())


@contextmanager
def opened() -> Iterator[Desk]:
    """Open a desk, with a server of its own."""
    with issuing() as issuer:
        clock = FakeClock(datetime(2026, 11, 29, tzinfo=UTC))
        grant = Grant(issuer.token_url, "rota", "s3cret")
        yield Desk(
            issuer, clock, AccessTokens(clock), HttpClient(100_000, clock, loopback_guard()), grant
        )
