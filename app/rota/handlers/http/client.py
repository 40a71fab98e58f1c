"""Requests to elsewhere: the only importer of httpx.

Sent through httpx's transport and not its client: no redirects, cookies, proxies, credentials or
decompression can come in through defaults. Each request has a connection of its own, so that
nothing of one task reaches another and an idle connection that the server has just closed fails
nobody's attempt.
"""

import logging
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cached_property, partial
from importlib.metadata import PackageNotFoundError, version
from ssl import SSLContext
from urllib.parse import urlencode, urlsplit

import httpx

from rota.clock import Clock
from rota.handlers.daemon_threads import in_thread_if_large
from rota.handlers.http.decompression import decompress, is_compressed


def _user_agent() -> str:
    try:
        return f"rota/{version('rota')}"
    except PackageNotFoundError:
        return "rota"


USER_AGENT = _user_agent()

# Not whatever name a header gives: Python has codecs that are no encodings of text.
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii", "iso-8859-1", "windows-1252", "utf-16"})


@dataclass(frozen=True, slots=True)
class Request:
    """What to send."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back; names of headers are in lower case.

    `encoding`: how the body is compressed, if it could not be read.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool
    encoding: str = ""


class SendFailed(Exception):
    """No usable reply: `kind` says at which point, the text names the host and nothing secret."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Egress:
    """Sends requests and reads at most `max_body_bytes` of each reply."""

    def __init__(self, max_body_bytes: int, clock: Clock) -> None:
        self.max_body_bytes = max_body_bytes
        self.clock = clock
        # These log whole URLs, secrets in queries included, and would log into the run's journal.
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)

    async def send(self, request: Request) -> Reply:
        """Send, and read the reply; has no deadline of its own. Raises SendFailed."""
        try:
            return await self._exchange(request)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise SendFailed(_kind(error), f"{host_of(request.url)}: {_words(error)}") from None

    async def _exchange(self, request: Request) -> Reply:
        async with httpx.AsyncHTTPTransport(verify=self._tls) as transport:
            response = await transport.handle_async_request(_prepared(request))
            try:
                body, truncated = await self._read(response)
            finally:
                await response.aclose()
        reply = Reply(response.status_code, dict(response.headers), body, truncated)
        encoding = reply.headers.get("content-encoding", "")
        if not is_compressed(encoding):
            return reply
        return await in_thread_if_large(
            self.max_body_bytes, partial(self._decompressed, reply, encoding)
        )

    def _decompressed(self, reply: Reply, encoding: str) -> Reply:
        """Return the reply with its body as it was before it was compressed, if that can be found out."""
        found = decompress(reply.body, encoding, self.max_body_bytes)
        if found is None:
            return replace(reply, encoding=encoding)
        body, truncated = found
        return replace(reply, body=body, truncated=reply.truncated or truncated)

    async def _read(self, response: httpx.Response) -> tuple[bytes, bool]:
        body = bytearray()
        # Raw: a kilobyte of gzip can be a gigabyte of text.
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self.max_body_bytes:
                return bytes(body[: self.max_body_bytes]), True
        return bytes(body), False

    @cached_property
    def _tls(self) -> SSLContext:
        # Made once: loading the certificates takes some 20 ms. Honours SSL_CERT_FILE.
        return httpx.create_ssl_context()


#: What the built-in handlers send through; set for the handlers' loop by the executor.
EGRESS: ContextVar[Egress] = ContextVar("rota_egress")


def with_query(url: str, query: Mapping[str, str | float]) -> str:
    """Return the URL with `query` added to the query that it has."""
    if not query:
        return url
    words = {True: "true", False: "false"}
    pairs = [
        (name, words[value] if isinstance(value, bool) else str(value))
        for name, value in query.items()
    ]
    parts = urlsplit(url)
    return parts._replace(query="&".join(filter(None, [parts.query, urlencode(pairs)]))).geturl()


def media_type_of(content_type: str) -> str:
    """Return the media type that a `Content-Type` names, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def is_json(content_type: str) -> bool:
    """Tell whether a `Content-Type` names JSON, or a type that is written as JSON."""
    media_type = media_type_of(content_type)
    return media_type == "application/json" or media_type.endswith("+json")


def charset_of(content_type: str) -> str:
    """Return the encoding of text that a `Content-Type` names: UTF-8 if none, or one that is not known."""
    charset = content_type.lower().partition("charset=")[2].partition(";")[0].strip('" ')
    return charset if charset in _CHARSETS else "utf-8"


def host_of(url: str) -> str:
    """Return what of a URL may be shown."""
    return urlsplit(url).hostname or "the target"


def _prepared(request: Request) -> httpx.Request:
    # As bytes: httpx takes text in ASCII only, targets also Latin-1. White space around a value is no part of it.
    headers = [
        (name.encode(), value.strip(" \t").encode("latin-1"))
        for name, value in request.headers.items()
    ]
    return httpx.Request(request.method, request.url, headers=headers, content=request.body)


def _kind(error: Exception) -> str:
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return "http.connect"
        case httpx.NetworkError():
            return "http.disconnected"
        case httpx.RemoteProtocolError():
            return "http.protocol"
        case _:
            return "http.request"


def _words(error: Exception) -> str:
    match error:
        case httpx.InvalidURL() | UnicodeError():
            return "the URL cannot be used"  # the error's own text may quote it
        case httpx.LocalProtocolError():
            return "the request cannot be sent"  # as above: of a header, say
        case httpx.ReadError():
            return "the connection was lost"
        case _:
            return str(error)[:300] or type(error).__name__
