"""Redaction: what a target says back of the secrets that its request had is taken out before anything is read of it.

Found are the values themselves, as UTF-8, Latin-1 and UTF-16, their base64 (at any offset, of both alphabets) and
their hexadecimal digits; each as it is, and behind up to two layers of escapes: percent-encoding, JSON, HTML. Of a
reply that is cut off, the beginning of one of these at its end is taken out, too.

The time is linear in the size of the reply. A target that knows a secret can always disguise it: this is against
echoes, not against a target that wants to give away what it has been given.
"""

import re
from array import array
from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property, lru_cache
from html import unescape
from typing import TypeAlias
from urllib.parse import quote, quote_plus

from rota.egress.requests import Response

REDACTED = b"[redacted]"
#: What is shorter is not looked for: it is no secret that Rota takes, and would be found everywhere.
SHORTEST = 8
# So many bytes at the end of what is cut off may be the beginning of a secret by chance.
_LEAST_BEGINNING = 4
_LAYERS = 2

# `%2B`, `\/`, `\n`, `\u00e9` (a pair of them for one character), `&amp;`, `&#39;`
_ESCAPE = re.compile(
    rb"%[0-9A-Fa-f]{2}|\\u[dD][89abAB][0-9A-Fa-f]{2}\\u[dD][c-fC-F][0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|\\[\"\\/bfnrt]|&(?:amp|lt|gt|quot|apos|#\d{1,7}|#[xX][0-9A-Fa-f]{1,6});"
)
_BEGUN_ESCAPE = re.compile(rb"(?:%[0-9A-Fa-f]?|\\(?:u[0-9A-Fa-f]{0,3})?|&[#\w]{0,8})\Z")
_SHORT = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}

# The longest one is a pair of `\\u…`.
_LONGEST_ESCAPE = 12

Span = tuple[int, int]
Positions: TypeAlias = "array[int] | range"


class Redactor:
    """Takes secrets out of replies and messages; further ones can be added, such as a token that was fetched."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._needles: dict[bytes, None] = {}
        self.add(*values)

    def __bool__(self) -> bool:
        return bool(self._needles)

    def add(self, *values: str) -> None:
        """Look for these values, too; what is shorter than SHORTEST is ignored."""
        for value in values:
            if len(value) >= SHORTEST:
                self._needles |= dict.fromkeys(_forms(value))

    def response(self, response: Response) -> Response:
        """Return a reply without secrets in its headers and its body."""
        if not self:
            return response
        return replace(
            response,
            headers={name: self.header(value) for name, value in response.headers.items()},
            body=self.body(response.body, cut=response.truncated),
            encoding=self.text(response.encoding),
            url_path=self.text(response.url_path),
        )

    def text(self, text: str) -> str:
        """Return a message without secrets."""
        return self.body(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def header(self, value: str) -> str:
        """Return the value of a header without secrets, whether its characters stand for bytes or for themselves."""
        as_bytes = value.encode("latin-1", "replace")
        by_byte = self.body(as_bytes)
        return self.text(value if by_byte == as_bytes else by_byte.decode("latin-1"))

    def body(self, data: bytes, *, cut: bool = False) -> bytes:
        """Return bytes without secrets; of those that are `cut`, without the beginning of one at their end."""
        if not self or not data:
            return data
        spans: list[Span] = []
        layer: _Layer | None = _Layer(data)
        for _ in range(_LAYERS + 1):
            if layer is not None:
                spans.extend(map(layer.span, self._found(layer.data, cut=cut)))
                layer = layer.above(cut=cut)
        return _without(data, spans)

    def _found(self, data: bytes, *, cut: bool) -> Iterator[Span]:
        for needle in self._needles:
            at = data.find(needle)
            while at >= 0:
                yield at, at + len(needle)
                at = data.find(needle, at + len(needle))
            if cut and (length := _beginning_at_end(data, needle)):
                yield len(data) - length, len(data)


class _Layer:
    """The bytes of a reply behind some layers of escapes.

    Where each of them comes from is found out only for what has a secret in it.
    """

    def __init__(self, data: bytes, below: "_Layer | None" = None, end: int = 0) -> None:
        """`below`: what this is without its escapes, up to its `end`, where it may be cut off within an escape."""
        self.data = data
        self._below = below
        self._end = end

    def above(self, *, cut: bool) -> "_Layer | None":
        """Return the bytes with their escapes resolved, without one that is `cut` off; None if there are none."""
        data, end = self.data, len(self.data)
        if cut and (begun := _BEGUN_ESCAPE.search(data, max(end - _LONGEST_ESCAPE, 0))):
            end = begun.start()
        resolved = _ESCAPE.sub(lambda match: _resolved(match[0]), data[:end])
        return None if resolved == data else _Layer(resolved, self, end)

    def span(self, found: Span) -> Span:
        """Return where in the reply a part of the bytes is: an escape that it touches is part of it."""
        starts, ends = self._positions
        return starts[found[0]], ends[found[1] - 1]

    @cached_property
    def _positions(self) -> tuple[Positions, Positions]:
        """Where in the reply each byte begins and ends."""
        below = self._below
        if below is None:
            return range(len(self.data)), range(1, len(self.data) + 1)
        from_starts, from_ends = below._positions  # noqa: SLF001  # of its kind
        starts, ends = array("Q"), array("Q")
        done = 0
        for match in _ESCAPE.finditer(below.data, 0, self._end):
            first, last = match.span()
            starts.extend(from_starts[done:first])
            ends.extend(from_ends[done:first])
            for _ in _resolved(match[0]):
                starts.append(from_starts[first])
                ends.append(from_ends[last - 1])
            done = last
        starts.extend(from_starts[done : self._end])
        ends.extend(from_ends[done : self._end])
        if self._end < len(below.data) and ends:  # what is cut off goes with what is before it
            ends[-1] = from_ends[-1]
        return starts, ends


@lru_cache(1_024)
def _resolved(escape: bytes) -> bytes:
    match escape[:1]:
        case b"%":
            return bytes.fromhex(escape[1:].decode())
        case b"&":
            return unescape(escape.decode()).encode("utf-8", "replace")
        case _ if escape[1:2] == b"u":
            units = (int(each, 16) for each in escape.decode().split("\\u")[1:])
            wide = b"".join(unit.to_bytes(2, "big") for unit in units)
            return wide.decode("utf-16-be", "replace").encode()
        case _:
            return _SHORT.get(escape[1:2], escape[1:2])


def _without(data: bytes, spans: Iterable[Span]) -> bytes:
    """Return bytes with these parts replaced; those that touch or overlap are one."""
    merged: list[list[int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    kept = [0, *(edge for span in merged for edge in span), len(data)]
    return REDACTED.join(data[start:end] for start, end in zip(kept[::2], kept[1::2], strict=True))


def _beginning_at_end(data: bytes, needle: bytes) -> int:
    """Return how many bytes at the end are the beginning of a needle: 0, or at least `_LEAST_BEGINNING`."""
    last = data[-_LEAST_BEGINNING:]
    # Only where the last bytes are in the needle can its beginning end; the longest beginning first.
    at = needle.rfind(last, 0, len(needle) - 1) if len(last) == _LEAST_BEGINNING else -1
    while at >= 0:
        length = at + _LEAST_BEGINNING
        if data.endswith(needle[:length]):
            return length
        at = needle.rfind(last, 0, length - 1)
    return 0


def _forms(value: str) -> Iterator[bytes]:
    """Yield what a value may look like, without escapes."""
    plain = list(dict.fromkeys(_encoded(value)))
    yield from plain
    yield value.replace(" ", "+").encode()  # as in a form
    # The client of an OAuth 2 login is identified by the base64 of what a form has (RFC 6749, section 2.3.1).
    for each in (*plain[:2], quote_plus(value).encode(), quote(value, safe="").encode()):
        for text in (*_base64(each), each.hex().encode(), each.hex().upper().encode()):
            yield text
            yield from (text.decode().encode(wide) for wide in ("utf-16-le", "utf-16-be"))


def _encoded(value: str) -> Iterator[bytes]:
    yield value.encode("utf-8")
    if all(ord(char) < 256 for char in value):
        yield value.encode("latin-1")
    yield value.encode("utf-16-le")
    yield value.encode("utf-16-be")


def _base64(plain: bytes) -> Iterator[bytes]:
    """Yield the characters of base64 that depend on these bytes alone, for each offset that they may have in others."""
    for before in range(3):
        text = b64encode(bytes(before) + plain + bytes(-(before + len(plain)) % 3))
        first, last = -(-8 * before // 6), 8 * (before + len(plain)) // 6
        sure = text[first:last]
        yield sure
        yield sure.translate(_URL_SAFE)


_URL_SAFE = bytes.maketrans(b"+/", b"-_")
