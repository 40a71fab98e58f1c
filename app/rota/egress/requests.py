"""Requests and responses of the HTTP client."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from rota.domain.http_target.phases import CallPhase
from rota.egress.phases import Phases

# The accepted names: Python also has codecs that are not encodings of text.
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii", "iso-8859-1", "windows-1252", "utf-16"})


@dataclass(frozen=True, slots=True)
class Request:
    """A request to send.

    `owner`: whose connections it may use and leave for others, "" for a connection of its own.
    `follow_redirects`: how many redirects are followed. `phases` measures the exchange, also if it is cancelled.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    owner: str = ""
    follow_redirects: int = 0
    phases: Phases = field(default_factory=Phases, compare=False)


@dataclass(frozen=True, slots=True)
class Response:
    """A response; names of headers are in lower case.

    `truncated`: `body` is only the beginning. `encoding`: the content coding of the body, if it could not be decoded.
    `url_path`: the path that was answered, after redirects. `redirected`: whether there were some.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool
    encoding: str = ""
    url_path: str = ""
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
