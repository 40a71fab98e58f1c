"""Requests: sent, repeated where that is possible, and answered with values or errors."""

import logging
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx

from rota.client import wire
from rota.client.address import Address
from rota.client.aio.concurrency import Chunks, sleep
from rota.client.errors import ProblemError, RotaError, Unreachable
from rota.client.problems import NotFound
from rota.client.replies import Reply, reply_of, unreachable
from rota.client.retries import Repeat, Retries
from rota.client.timing import Deadline, deadline

log = logging.getLogger("rota.client")

_CONNECT_SECONDS = 10.0
# The service closes a connection that was idle for 15 seconds: a request must not meet that.
_IDLE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Request:
    """One request; the same one may be sent several times."""

    method: str
    url: str
    content: bytes | None
    headers: Mapping[str, str]
    repeat: Repeat


class AsyncTransport:
    """Makes the requests of a client."""

    def __init__(
        self,
        address: Address,
        timeout: float,
        retries: Retries,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        """`timeout`: the seconds that a call may take, with all its repetitions and the waits between them."""
        self.address = address
        self.timeout = timeout
        self._retries = retries
        self._client = httpx.AsyncClient(
            headers=address.headers,
            transport=transport,
            trust_env=not address.is_loopback,
            limits=httpx.Limits(keepalive_expiry=_IDLE_SECONDS),
        )

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = wire.UNSET,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        repeat: Repeat = Repeat.SAFE,
        extra: float = 0.0,
        within: float = math.inf,
    ) -> Reply:
        """Return the answer to a request; raises ProblemError, Unreachable, InvalidResponse.

        `body` is sent as JSON, `content` as it is. `extra`: the seconds that the service may wait by request.
        `within`: the seconds that the call may take, if they are fewer than those of the client.
        """
        headers = dict(headers or {})
        if body is not wire.UNSET:
            content = wire.encode(body)
            headers = {"Content-Type": wire.JSON} | headers
        if repeat is Repeat.KEYED:
            headers.setdefault("Idempotency-Key", uuid4().hex)
        request = Request(method, self._url(path, query), content, headers, repeat)
        return await self._repeated(request, deadline(min(self.timeout + extra, within)))

    async def read(
        self,
        path: str,
        query: Mapping[str, Any] | None = None,
        extra: float = 0,
        within: float = math.inf,
    ) -> Any:
        """Return the JSON at a path."""
        return (await self.call("GET", path, query=query, extra=extra, within=within)).value

    @asynccontextmanager
    async def stream(
        self, path: str, query: Mapping[str, Any], headers: Mapping[str, str], silence: float | None
    ) -> AsyncIterator[Chunks]:
        """Open a stream; its end, or `silence` seconds without a byte, is Unreachable to whoever reads it."""
        timeout = httpx.Timeout(_CONNECT_SECONDS, read=silence)
        url = self._url(path, query)
        try:
            async with self._client.stream(
                "GET", url, headers=headers, timeout=timeout
            ) as response:
                if response.status_code >= 300:
                    reply_of(response, await response.aread())
                yield response.aiter_bytes()
        except httpx.HTTPError as error:
            raise unreachable(self.address.url, error) from None

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    def _url(self, path: str, query: Mapping[str, Any] | None) -> str:
        text = wire.query(query or {})
        return f"{self.address.url}{path}{'?' if text else ''}{text}"

    async def _repeated(self, request: Request, until: Deadline) -> Reply:
        attempt, may_be_done = 0, False
        while True:
            attempt += 1
            try:
                return await self._once(request, until)
            except NotFound:
                if request.method == "DELETE" and may_be_done:
                    return Reply(204, {}, b"")  # by the request whose answer was lost
                raise
            except (ProblemError, Unreachable) as error:
                may_be_done |= isinstance(error, Unreachable) and error.may_be_done
                await self._rest(error, request, attempt, until)

    async def _rest(
        self, error: RotaError, request: Request, attempt: int, until: Deadline
    ) -> None:
        """Wait before the next attempt; raises the error if there is none."""
        wait = self._retries.wait(error, request.repeat, attempt)
        if wait is None or wait >= until.left:
            raise error
        log.info("%s %s is tried again in %.1f s: %s", request.method, request.url, wait, error)
        await sleep(wait)

    async def _once(self, request: Request, until: Deadline) -> Reply:
        left = until.left
        timeout = httpx.Timeout(left, connect=min(left, _CONNECT_SECONDS))
        try:
            async with self._client.stream(
                request.method,
                request.url,
                content=request.content,
                headers=request.headers,
                timeout=timeout,
            ) as response:
                content = await _content(response, until)
        except httpx.HTTPError as error:
            raise unreachable(self.address.url, error) from None
        return reply_of(response, content)


async def _content(response: httpx.Response, until: Deadline) -> bytes:
    """Return the body; raises ReadTimeout if it takes longer: the timeout of httpx begins again with each piece."""
    pieces = []
    async for piece in response.aiter_bytes():
        if until.is_over:
            raise httpx.ReadTimeout("the answer takes too long")
        pieces.append(piece)
    return b"".join(pieces)
