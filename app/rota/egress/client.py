"""The HTTP client: the only importer of httpx.

Requests go through httpx's transport and not its client, whose defaults could add redirects, cookies, proxies,
credentials or decompression. Each request has a connection of its own, so that no data of one task reaches another,
and no attempt fails because the server has just closed an idle connection.
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
from rota.daemon_threads import in_thread_if_large
from rota.egress.decompression import decompress, is_compressed


def _user_agent() -> str:
    try:
        return f"rota/{version('rota')}"
    except PackageNotFoundError:
        return "rota"


USER_AGENT = _user_agent()

# The accepted names: Python also has codecs that are not encodings of text.
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii", "iso-8859-1", "windows-1252", "utf-16"})


@dataclass(frozen=True, slots=True)
class Request:
    """A request to send."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Response:
    """A response; names of headers are in lower case.

    `truncated`: `body` is only the beginning. `encoding`: the content coding of the body, if it could not be decoded.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool
    encoding: str = ""


class SendFailed(Exception):
    """There is no usable response; `kind` is the type of the error, and the text has the host and no secrets."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class HttpClient:
    """Sends requests, and reads at most `max_body_bytes` of each response."""

    def __init__(self, max_body_bytes: int, clock: Clock) -> None:
        self.max_body_bytes = max_body_bytes
        self.clock = clock
        # These log whole URLs, with secrets in queries, to the journal of the run.
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)

    async def send(self, request: Request) -> Response:
        """Send a request and return the response, without a timeout; raises SendFailed."""
        try:
            return await self._exchange(request)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise SendFailed(_kind(error), f"{host_of(request.url)}: {_describe(error)}") from None

    async def _exchange(self, request: Request) -> Response:
        async with httpx.AsyncHTTPTransport(verify=self._tls) as transport:
            received = await transport.handle_async_request(_prepared(request))
            try:
                body, truncated = await self._read(received)
            finally:
                await received.aclose()
        response = Response(received.status_code, dict(received.headers), body, truncated)
        encoding = response.headers.get("content-encoding", "")
        if not is_compressed(encoding):
            return response
        return await in_thread_if_large(
            self.max_body_bytes, partial(self._decompressed, response, encoding)
        )

    def _decompressed(self, response: Response, encoding: str) -> Response:
        """Return the response with its body decompressed, or with its `encoding` if that is not possible."""
        found = decompress(response.body, encoding, self.max_body_bytes)
        if found is None:
            return replace(response, encoding=encoding)
        body, truncated = found
        return replace(response, body=body, truncated=response.truncated or truncated)

    async def _read(self, received: httpx.Response) -> tuple[bytes, bool]:
        body = bytearray()
        # Raw, since a kilobyte of gzip can be a gigabyte of text.
        async for chunk in received.aiter_raw():
            body += chunk
            if len(body) > self.max_body_bytes:
                return bytes(body[: self.max_body_bytes]), True
        return bytes(body), False

    @cached_property
    def _tls(self) -> SSLContext:
        # Made once, since loading the certificates takes about 20 ms. It honours SSL_CERT_FILE.
        return httpx.create_ssl_context()


#: The client of the built-in handlers; the executor sets it for the handlers' loop.
HTTP_CLIENT: ContextVar[HttpClient] = ContextVar("rota_http_client")


def with_query(url: str, query: Mapping[str, str | float]) -> str:
    """Return the URL with `query` appended to its own query."""
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
    """Return the media type of a `Content-Type`, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def is_json(content_type: str) -> bool:
    """Return whether a `Content-Type` is JSON, or a type that is written as JSON."""
    media_type = media_type_of(content_type)
    return media_type == "application/json" or media_type.endswith("+json")


def charset_of(content_type: str) -> str:
    """Return the charset of a `Content-Type`: UTF-8 if it has none, or an unknown one."""
    charset = content_type.lower().partition("charset=")[2].partition(";")[0].strip('" ')
    return charset if charset in _CHARSETS else "utf-8"


def host_of(url: str) -> str:
    """Return the part of a URL that may be shown."""
    return urlsplit(url).hostname or "the target"


def _prepared(request: Request) -> httpx.Request:
    # As bytes: httpx accepts only ASCII text, targets also Latin-1. White space around a value is not part of it.
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


def _describe(error: Exception) -> str:
    match error:
        case httpx.InvalidURL() | UnicodeError():
            return "the URL cannot be used"  # the text of the error may quote it
        case httpx.LocalProtocolError():
            return "the request cannot be sent"  # its text may quote a header
        case httpx.ReadError():
            return "the connection was lost"
        case _:
            return str(error)[:300] or type(error).__name__
