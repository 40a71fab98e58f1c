"""Checks of a complete head, and how a body is read after a head that requests an upgrade."""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

import httptools

from rota.api.edge.framing import Framing
from rota.api.edge.limits import Limits
from rota.api.edge.refusals import Refusal

Header = tuple[bytes, bytes]

# RFC 9110, 7.2: a name or an address, and a port. Percent signs occur in names and in zones of addresses.
_HOST = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._~%-]+)?\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]{0,5})?"
)
_VERSIONS = frozenset({"1.1", "1.0"})
_LONGEST_HOST = 300


def check(url: bytes, headers: Sequence[Header], version: str, limits: Limits) -> tuple[int, bool]:
    """Return the length of the body, and whether it is chunked instead; raises Refusal."""
    if len(url) > limits.url_bytes:
        raise too_long_url(limits)
    if len(headers) > limits.headers:
        raise too_large_headers(limits)
    if version not in _VERSIONS:
        raise Refusal.malformed(f"This is HTTP/{version}; HTTP/1.1 and HTTP/1.0 are accepted.")
    fields = dict(headers)
    hosts = [fields[b"host"]] if b"host" in fields else []
    if len(fields) < len(headers):  # some are repeated
        hosts = [value for name, value in headers if name == b"host"]
        fields[b"transfer-encoding"] = b",".join(
            value for name, value in headers if name == b"transfer-encoding"
        )
    coding = fields.get(b"transfer-encoding")
    _check_host(hosts, version)
    if coding and coding.lower() != b"chunked":
        raise Refusal.malformed("The only Transfer-Encoding that is accepted is chunked.")
    return int(fields.get(b"content-length", 0)), bool(coding)


def _check_host(hosts: Sequence[bytes], version: str) -> None:
    # RFC 9112, 3.2: without a Host header, or with two, a request is ambiguous. HTTP/1.0 has none.
    if not hosts and version != "1.1":
        return
    if len(hosts) != 1:
        raise Refusal.malformed(f"Send one header Host; there are {len(hosts) or 'none'}.")
    if len(hosts[0]) > _LONGEST_HOST or not _is_host(hosts[0]):
        raise Refusal.malformed(
            "The header Host is not a host: give a name or an address, with an optional port."
        )


# Clients name the same few hosts in every request.
@lru_cache(maxsize=64)
def _is_host(value: bytes) -> bool:
    return _HOST.fullmatch(value) is not None


def check_trailers(trailers: Sequence[Header], limits: Limits) -> None:
    """Raise Refusal if trailers, which are ignored, exceed the limits of headers."""
    size = sum(len(name) + len(value) for name, value in trailers)
    if len(trailers) > limits.headers or size > limits.head_bytes:
        raise too_large_headers(limits)


def too_long_url(limits: Limits) -> Refusal:
    """Return the refusal of a URL over the limit."""
    return Refusal("url-too-long", f"The URL is longer than the limit of {limits.url_bytes} bytes.")


def too_large_headers(limits: Limits) -> Refusal:
    """Return the refusal of headers over one of their limits."""
    return Refusal(
        "headers-too-large",
        f"There are more than {limits.headers} headers, or more than {limits.head_bytes} bytes of them and of the "
        "request line.",
    )


class _Body:
    """The callbacks of a parser that reads a body only."""

    def __init__(
        self, on_body: Callable[[bytes], None], on_message_complete: Callable[[], None]
    ) -> None:
        self.on_body = on_body
        self.on_message_complete = on_message_complete


def body_parser(
    framing: Framing, on_body: Callable[[bytes], None], on_message_complete: Callable[[], None]
) -> httptools.HttpRequestParser:
    """Return a parser for a body: the parser of the connection stops before it if the head requests an upgrade."""
    parser = httptools.HttpRequestParser(_Body(on_body, on_message_complete))
    header = (
        "Transfer-Encoding: chunked" if framing.chunked else f"Content-Length: {framing.length}"
    )
    parser.feed_data(f"POST / HTTP/1.1\r\n{header}\r\n\r\n".encode())
    return parser
