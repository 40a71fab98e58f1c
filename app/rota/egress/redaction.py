"""Redaction: the secrets of a request are removed from its reply before anything of that is parsed.

Found are the values themselves, as UTF-8, Latin-1 and UTF-16, their base64 (at any offset, of both alphabets) and
their hexadecimal digits; each as it is, and behind up to two layers of escapes: percent-encoding, JSON, HTML. A reply
that is cut off may end within a secret: its end goes always, whatever it is. To take out only what is the beginning of
a secret would confirm a guess of it.

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
#: What is longer is looked for in pieces of this size.
LONGEST = 16_384
#: How many values are looked for in all their forms; those after them as they are, and in base64.
MOST_IN_ALL_FORMS = 32
# How many bytes of a reply may represent one of a secret: `\\u0061` in percent-encoding, and the like.
_WIDEST = 12
_LAYERS = 2
#: How many bytes are searched at most, for all forms of all values together: what is longer is cut.
MOST_SEARCHED = 1_000_000_000
# What it costs in relation to parsing a byte: to search one for a few forms, and for so many; to make the forms of a
# character. And how long the texts are that are not in the body.
_SEARCHING, _SEARCHED_AT_ONCE = 16, 8
_MAKING = 32
_OF_THE_TEXTS = 512
# About how many forms a value has, and one that is looked for plainly.
_FORMS, _FORMS_PLAINLY = 32, 6

_PERCENT = rb"%[0-9A-Fa-f]{2}"
# `\/`, `\n`, `\u00e9`, and a pair of them for one character.
_JSON = (
    rb"\\u[dD][89abAB][0-9A-Fa-f]{2}\\u[dD][c-fC-F][0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|\\[\"\\/bfnrt]"
)
_HTML = rb"&(?:amp|lt|gt|quot|apos|#\d{1,7}|#[xX][0-9A-Fa-f]{1,6});"
# Each kind by itself, since a secret may have in it what looks like an escape of another kind; and all at once, since
# there may be more kinds than layers.
_ESCAPES = tuple(
    re.compile(kind) for kind in (_PERCENT, _JSON, _HTML, b"|".join((_PERCENT, _JSON, _HTML)))
)
_SHORT = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}

Span = tuple[int, int]
Positions: TypeAlias = "array[int] | range"


class Redactor:
    """Takes secrets out of replies and messages; further ones can be added, such as a token that was fetched.

    Of `values`, the first ones are looked for in all their forms: give those first that others must not learn. Of
    `plainly`, none is.
    """

    def __init__(self, values: Iterable[str] = (), plainly: Iterable[str] = ()) -> None:
        self._in_all_forms: dict[str, None] = {}
        self._plainly: dict[str, None] = {}
        ordered = list(dict.fromkeys(filter(_is_long_enough, values)))
        self.add(*ordered[:MOST_IN_ALL_FORMS])
        for value in (*ordered[MOST_IN_ALL_FORMS:], *filter(_is_long_enough, plainly)):
            self._plainly |= dict.fromkeys(_pieces(value))

    def __bool__(self) -> bool:
        return bool(self._in_all_forms or self._plainly)

    def add(self, *values: str) -> None:
        """Look for these values, too, in all forms; what is shorter than SHORTEST is ignored."""
        for value in filter(_is_long_enough, values):
            self._in_all_forms |= dict.fromkeys(_pieces(value))
        self.__dict__.pop("_needles", None)

    def cost(self, response: Response | None = None) -> int:
        """Return how many bytes could be parsed in about the time that it takes to redact a reply, or a short text."""
        size = _OF_THE_TEXTS
        if response is not None:
            size += len(response.body) + sum(map(len, response.headers.values()))
        forms = len(self._in_all_forms) * _FORMS + len(self._plainly) * _FORMS_PLAINLY
        making = sum(map(len, (*self._in_all_forms, *self._plainly))) * _MAKING
        return size * (_SEARCHING + forms // _SEARCHED_AT_ONCE) + making

    def response(self, response: Response) -> Response:
        """Return a reply without secrets in its headers and its body."""
        if not self:
            return response
        body = response.body[: MOST_SEARCHED // max(len(self._needles), 1)]
        cut = response.truncated or len(body) < len(response.body)
        return replace(
            response,
            headers={name: self.header(value) for name, value in response.headers.items()},
            body=self.body(body, cut=cut),
            truncated=cut,
            encoding=self.text(response.encoding),
            url_path=self.text(response.url_path),
        )

    def text(self, text: str) -> str:
        """Return a message without secrets."""
        data = text.encode("utf-8", "surrogatepass")
        redacted = self.body(data)
        # A secret in Latin-1 can be found within a character.
        return text if redacted == data else redacted.decode("utf-8", "replace")

    def header(self, value: str) -> str:
        """Return the value of a header without secrets, whether its characters represent bytes or themselves."""
        as_bytes = value.encode("latin-1", "replace")
        by_byte = self.body(as_bytes)
        return self.text(value if by_byte == as_bytes else by_byte.decode("latin-1"))

    def body(self, data: bytes, *, cut: bool = False) -> bytes:
        """Return bytes without secrets; of those that are `cut`, without the end, which may be part of one."""
        if not self or not data:
            return data
        spans: list[Span] = [(max(len(data) - self._end, 0), len(data))] if cut else []
        for layer in _layers(data):
            spans.extend(map(layer.span, self._found(layer.data)))
        return _without(data, spans)

    @property
    def _end(self) -> int:
        """How many bytes at the end of what is cut off may be the beginning of a secret."""
        values = (*self._in_all_forms, *self._plainly)
        return _WIDEST * max((len(value.encode()) for value in values), default=0)

    @cached_property
    def _needles(self) -> tuple[bytes, ...]:
        # Made when they are needed, in whatever thread that is: of long values they are large.
        found = (form for value in self._in_all_forms for form in _forms(value))
        plainly = (form for value in self._plainly for form in _plain_forms(value))
        return tuple(dict.fromkeys((*found, *plainly)))

    def _found(self, data: bytes) -> Iterator[Span]:
        for needle in self._needles:
            at = data.find(needle)
            while at >= 0:
                yield at, at + len(needle)
                at = data.find(needle, at + len(needle))


def _is_long_enough(value: str) -> bool:
    return len(value) >= SHORTEST


def _pieces(value: str) -> Iterator[str]:
    """Yield a value in pieces that are not too long, and not too short."""
    while len(value) > LONGEST:
        size = LONGEST if len(value) >= LONGEST + SHORTEST else LONGEST - SHORTEST
        yield value[:size]
        value = value[size:]
    yield value


class _Layer:
    """The bytes of a reply behind some layers of escapes.

    Where each of them comes from is found out only for what has a secret in it.
    """

    def __init__(
        self, data: bytes, below: "_Layer | None" = None, escape: re.Pattern[bytes] = _ESCAPES[0]
    ) -> None:
        """`below`: what this is without its escapes, which `escape` matches."""
        self.data = data
        self._below = below
        self._escape = escape

    def above(self, escape: re.Pattern[bytes]) -> "_Layer":
        """Return the bytes with their escapes of a kind resolved."""
        return _Layer(escape.sub(lambda match: _resolved(match[0]), self.data), self, escape)

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
        for match in self._escape.finditer(below.data):
            first, last = match.span()
            starts.extend(from_starts[done:first])
            ends.extend(from_ends[done:first])
            for _ in _resolved(match[0]):
                starts.append(from_starts[first])
                ends.append(from_ends[last - 1])
            done = last
        starts.extend(from_starts[done:])
        ends.extend(from_ends[done:])
        return starts, ends


def _layers(data: bytes) -> Iterator[_Layer]:
    """Yield the bytes as they are, and behind up to two layers of escapes; each of them once."""
    known = {data}
    lower = [_Layer(data)]
    yield lower[0]
    for _ in range(_LAYERS):
        upper = [layer.above(escape) for layer in lower for escape in _ESCAPES]
        lower = []
        for layer in upper:
            if layer.data not in known:
                known.add(layer.data)
                lower.append(layer)
                yield layer


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


def _forms(value: str) -> Iterator[bytes]:
    """Yield what a value may look like, without escapes."""
    yield from _plain_forms(value)
    yield from _encoded(value)
    yield value.lower().encode()  # as in the name of a host
    plain = list(dict.fromkeys(_encoded(value)))
    for each in (*_base64(plain[0]), *_hexadecimal(plain[0])):
        yield from (each.decode().encode(wide) for wide in ("ascii", "utf-16-le", "utf-16-be"))
    # The client of an OAuth 2 login is identified by the base64 of what a form has (RFC 6749, section 2.3.1).
    for other in (plain[1], quote_plus(value).encode(), quote(value, safe="").encode()):
        yield from (*_base64(other), *_hexadecimal(other))


def _plain_forms(value: str) -> Iterator[bytes]:
    """Yield the forms in which a value comes back from what does not process it, without escapes."""
    yield from _narrow(value)
    yield value.replace(" ", "+").encode()  # as in a form
    yield from _base64(value.encode())


def _encoded(value: str) -> Iterator[bytes]:
    yield from _narrow(value)
    yield value.encode("utf-16-le")
    yield value.encode("utf-16-be")


def _narrow(value: str) -> Iterator[bytes]:
    yield value.encode("utf-8")
    if all(ord(char) < 256 for char in value):
        yield value.encode("latin-1")


def _hexadecimal(plain: bytes) -> tuple[bytes, bytes]:
    return plain.hex().encode(), plain.hex().upper().encode()


def _base64(plain: bytes) -> Iterator[bytes]:
    """Yield the characters of base64 that depend on these bytes alone, for each offset that they may have in others."""
    for before in range(3):
        text = b64encode(bytes(before) + plain + bytes(-(before + len(plain)) % 3))
        first, last = -(-8 * before // 6), 8 * (before + len(plain)) // 6
        sure = text[first:last]
        yield sure
        yield sure.translate(_URL_SAFE)


_URL_SAFE = bytes.maketrans(b"+/", b"-_")
