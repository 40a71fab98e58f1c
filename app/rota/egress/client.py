"""The HTTP client.

It speaks HTTP/1.1 with h11 on connections that the guard has made, without httpx's client, whose defaults could add
redirects, cookies, proxies, credentials or decompression.
"""

import asyncio
import hashlib
import logging
import ssl
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version

import h11

from rota.clock import Clock
from rota.domain.http_target.phases import CallPhase
from rota.domain.http_target.secret_headers import looks_secret
from rota.egress.connections import Connection, IdleConnections, Shared
from rota.egress.decompression import decoded
from rota.egress.guard import Guard, RefusedError, UnreachableError
from rota.egress.http11 import Header, Http11
from rota.egress.phases import Phases
from rota.egress.proxy import HttpProxy, ProxyError
from rota.egress.redirects import RedirectError, following, is_redirect
from rota.egress.requests import Request, Response, SendFailed, breach_of, host_of
from rota.egress.stream import LostError, TooLargeError, open_stream
from rota.egress.tls import client_context
from rota.egress.urls import Url, UrlError, read_url

#: The most headers of a response.
MOST_HEADERS = 500
# Of a body whose chunks have a byte each, so many bytes come for one; and small bodies have overheads.
_OVERHEAD = 8
_LEAST_RAW = 262_144
# Chunks of a body that are read before other tasks of the loop run.
_CHUNKS = 64
# What a server without a body needs to know (RFC 9110, section 8.6).
_WITH_LENGTH = frozenset({"POST", "PUT", "PATCH"})

# Headers that look secret, and differ from request to request of the same client.
_OF_ONE_REQUEST = frozenset({"idempotency-key", "webhook-signature", "x-rota-token"})


def _user_agent() -> str:
    try:
        return f"rota/{version('rota')}"
    except PackageNotFoundError:
        return "rota"


USER_AGENT = _user_agent()


class HttpClient:
    """Sends requests, and reads at most `max_body_bytes` of each response."""

    def __init__(self, max_body_bytes: int, clock: Clock, guard: Guard) -> None:
        self.max_body_bytes = max_body_bytes
        self.clock = clock
        self._guard = guard
        self._idle = IdleConnections()
        # These log whole URLs, with secrets in queries, to the journal of the run.
        for name in ("httpx", "h11"):
            logging.getLogger(name).setLevel(logging.WARNING)

    async def send(self, request: Request) -> Response:
        """Send a request, follow up to its `follow_redirects`, and return the response, without a timeout.

        Raises SendFailed.
        """
        origin, request.phases.is_elsewhere = _origin(request), False
        response = await self._sent(request)
        for _ in range(request.follow_redirects):
            redirected = _redirected(request, response)
            if redirected is None:
                return response
            request.phases.is_elsewhere = _origin(redirected) != origin
            request, response = redirected, await self._sent(redirected)
            response = replace(response, redirected=True)
        if request.follow_redirects and is_redirect(response):
            raise SendFailed(
                "http.redirect",
                f"{host_of(request.url)}: it redirects after {request.follow_redirects} redirects",
                final=True,
            )
        return response

    @property
    def secrets(self) -> frozenset[str]:
        """What is sent with requests besides what they have: the credentials of the proxy."""
        return self._guard.proxy.secrets if self._guard.proxy is not None else frozenset()

    def close(self) -> None:
        """Close the idle connections; called from outside the loops that use the client."""
        self._idle.close()

    async def aclose(self) -> None:
        """Close the idle connections of the running loop."""
        await self._idle.close_own()

    async def _sent(self, request: Request) -> Response:
        try:
            return await self._exchange(request)
        except (
            *(LostError, h11.ProtocolError, OSError, UnicodeError),
            *(UrlError, RefusedError, UnreachableError, ProxyError, TooLargeError),
        ) as error:
            text = f"{host_of(request.url)}: {_describe(error)}"
            raise SendFailed(
                _kind(error),
                text,
                final=isinstance(error, RefusedError),
                phase=request.phases.current,
            ) from None

    async def _exchange(self, request: Request) -> Response:
        url = read_url(request.url)
        shared = Shared(
            *url.origin, request.owner, _credentials(request.headers), request.redirected_from
        )
        kept = self._idle.take(shared) if request.owner else None
        if kept is not None:
            try:
                return await self._on(kept, shared, request, url)
            except (LostError, h11.RemoteProtocolError):
                # The server closed the idle connection when the request was already on its way: with no byte of an
                # answer, it is sent once more. It has the same Idempotency-Key.
                if kept.stream.received:
                    raise
        return await self._on(await self._connected(request, url), shared, request, url)

    async def _connected(self, request: Request, url: Url) -> Connection:
        way = await self._guard.way_to(url, request.phases, request.redirected_from)
        tls = self._tls if url.scheme == "https" else None
        stream = await open_stream(way.socket, tls, url.host.removesuffix("."), request.phases)
        return Connection(Http11(stream), stream, way.reached, way.proxy)

    async def _on(
        self, connection: Connection, shared: Shared, request: Request, url: Url
    ) -> Response:
        """Exchange a request and its response on a connection, and keep that for the next one if it can be reused."""
        stream, most = connection.stream, self._most(request)
        stream.begin(request.phases)
        try:
            await connection.http.send(
                request.method.encode(),
                *_head_to_send(request, url, connection.proxy),
                request.body,
            )
            status, received = await connection.http.head()
            if connection.proxy is not None:
                connection.proxy.check(status, request.phases)
            stream.begin_body(_OVERHEAD * most + _LEAST_RAW)
            headers = _headers_of(received, request.phases)
            body, truncated = await _read(connection.http, most)
            connection.http.end()
        except BaseException:
            stream.close()
            raise
        if shared.owner and connection.is_reusable:
            self._idle.keep(shared, connection)
        else:
            stream.close()
        response = Response(
            *(status, headers, body, truncated),
            url_path=url.path,
            reached=connection.reached,
        )
        return await decoded(response, most)

    def _most(self, request: Request) -> int:
        return self.max_body_bytes if request.max_body_bytes is None else request.max_body_bytes

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        context = client_context()  # once
        context.set_alpn_protocols(["http/1.1"])
        return context


#: The client of the built-in handlers; the executor sets it for the handlers' loop.
HTTP_CLIENT: ContextVar[HttpClient] = ContextVar("rota_http_client")


async def _read(http: Http11, most: int) -> tuple[bytes, bool]:
    """Return the first `most` bytes of a body, and whether there are more."""
    body = bytearray()
    chunks = 0
    async for chunk in http.body():
        # Before it is decoded, since a kilobyte of gzip can be a gigabyte of text.
        body += chunk
        if len(body) > most:
            return bytes(body[:most]), True
        chunks += 1
        if chunks % _CHUNKS == 0:
            await asyncio.sleep(0)
    return bytes(body), False


def _origin(request: Request) -> tuple[str, str, int] | None:
    """Return the origin of a request, None for a URL that cannot be used."""
    try:
        return read_url(request.url).origin
    except UrlError:
        return None


def _redirected(request: Request, response: Response) -> Request | None:
    try:
        return following(request, response)
    except RedirectError as error:
        text = f"{host_of(request.url)}: {error}"
        raise SendFailed("http.redirect", text, final=True) from None


def _credentials(headers: Mapping[str, str]) -> bytes:
    """Return a digest of what a request authenticates with."""
    secret = sorted(
        (name.lower(), text)
        for name, text in headers.items()
        if looks_secret(name) and name.lower() not in _OF_ONE_REQUEST
    )
    return hashlib.sha256(repr(secret).encode()).digest()


def _head_to_send(
    request: Request, url: Url, proxy: HttpProxy | None
) -> tuple[bytes, list[Header]]:
    """Return the request target and the headers of a request to its host, or to the proxy that passes it on."""
    headers = _headers_to_send(request, url)
    if proxy is None:
        return url.target, headers
    return url.absolute, [*headers, *proxy.headers]


def _headers_to_send(request: Request, url: Url) -> list[Header]:
    # As bytes: targets accept Latin-1. White space around a value is not part of it.
    headers = [
        (name.encode("ascii"), value.strip(" \t").encode("latin-1"))
        for name, value in request.headers.items()
    ]
    if request.body is not None or request.method in _WITH_LENGTH:
        headers.append((b"Content-Length", b"%d" % len(request.body or b"")))
    return [(b"Host", url.authority.encode("ascii")), *headers]


def _headers_of(received: Sequence[Header], phases: Phases) -> dict[str, str]:
    """Return the headers, those of one name joined; raises TooLargeError."""
    if len(received) > MOST_HEADERS:
        phases.enter(CallPhase.TOO_LARGE)
        raise TooLargeError(f"it sent {len(received):,} headers")
    found: dict[str, str] = {}
    for raw_name, raw_value in received:
        name, value = raw_name.decode("ascii").lower(), raw_value.decode("latin-1")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _kind(error: Exception) -> str:
    match error:
        case RefusedError():
            return "http.forbidden"
        case ProxyError() if not error.reaches_others:
            return "http.proxy"
        case ProxyError() | UnreachableError() | OSError():
            return "http.connect"
        case LostError():
            return "http.disconnected"
        case h11.RemoteProtocolError() | TooLargeError():
            return "http.protocol"
        case _:
            return "http.request"


def _describe(error: Exception) -> str:
    match error:
        case UnicodeError() | h11.LocalProtocolError() if not isinstance(error, UrlError):
            return "the request cannot be sent"  # its text may quote a header
        case LostError():
            return "the connection was lost"
        case OSError():
            return _words(error)
        case h11.RemoteProtocolError():
            return breach_of(str(error))
        case _:
            return str(error) or type(error).__name__


def _words(error: OSError) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not valid: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS failed: {error.reason or error}"
        case _:
            return (error.strerror or str(error) or type(error).__name__).lower()
