"""Requests and responses of the HTTP client."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from rota.domain.hosts.addresses import AddressKind
from rota.domain.http_target.phases import CallPhase
from rota.egress.phases import Phases

# The accepted names: Python also has codecs that are not encodings of text.
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii", "iso-8859-1", "windows-1252", "utf-16"})

# What breaks HTTP, by how the text of h11 begins.
_BREACHES = {
    "Server disconnected": "it closed the connection without an answer",
    "peer closed": "it closed the connection within its answer",
    "peer unexpectedly closed": "it closed the connection within its answer",
    "Receive buffer too long": "its headers are too long",
    "illegal status line": "its status line is not that of HTTP/1.1",
    "illegal header line": "a line of its headers is not valid",
    "illegal chunk header": "a chunk of its body has no valid size",
    "malformed chunk footer": "a chunk of its body does not end as it should",
    "conflicting Content-Length": "its Content-Length headers contradict each other",
    "bad Content-Length": "its Content-Length is not a valid number",
    "multiple Transfer-Encoding": "it has more than one Transfer-Encoding",
    "Only Transfer-Encoding: chunked": "its Transfer-Encoding is not 'chunked'",
}


@dataclass(frozen=True, slots=True)
class Request:
    """A request to send.

    `owner`: whose connections it may use and leave for others, "" for a connection of its own.
    `follow_redirects`: how many redirects are followed. `redirected_from`: of one that a redirect to another server
    led to, the farthest kind of address on the way. `max_body_bytes`: how much of the answer is read, if not as much as
    the client reads of others. `phases` measures the exchange, also if it is cancelled.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    owner: str = ""
    follow_redirects: int = 0
    redirected_from: AddressKind | None = None
    max_body_bytes: int | None = None
    phases: Phases = field(default_factory=Phases, compare=False)


@dataclass(frozen=True, slots=True)
class Response:
    """A response; names of headers are in lower case.

    `truncated`: `body` is only the beginning. `encoding`: the content coding of the body, if it could not be decoded.
    `url_path`: the path that was answered, after redirects. `reached`: the kind of the address that answered.
    `redirected`: whether there were redirects.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool
    encoding: str = ""
    url_path: str = ""
    reached: AddressKind = AddressKind.PUBLIC
    redirected: bool = False


class SendFailed(Exception):
    """There is no usable response; `kind` is the type of the error, and the text has the host and no secrets.

    `final`: another attempt would fail in the same way. `phase`: at which point it failed.
    """

    def __init__(
        self, kind: str, message: str, *, final: bool = False, phase: CallPhase | None = None
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.final = final
        self.phase = phase


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


def breach_of(text: str) -> str:
    """Return how a server breaks HTTP, in fixed phrases: the text of the error may quote the server."""
    known = (own for begins, own in _BREACHES.items() if text.startswith(begins))
    return next(known, "its answer is not HTTP/1.1")
