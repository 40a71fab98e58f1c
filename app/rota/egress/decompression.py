"""Decompression of response bodies, within a limit: some servers compress although the request declines it."""

import zlib
from dataclasses import replace
from functools import partial
from typing import Final

from rota.daemon_threads import in_thread_if_large
from rota.egress.requests import Response

# gzip, or zlib (which HTTP calls `deflate`): zlib distinguishes them by their first bytes.
_EITHER = 32 + zlib.MAX_WBITS
# Many servers send this as `deflate`: the bare stream, without the header of zlib.
_BARE = -zlib.MAX_WBITS
_GZIP = frozenset({"gzip", "x-gzip"})
_GZIP_BEGINS = b"\x1f\x8b"
#: Of a stream with more members than this, the rest is not decompressed: an empty member costs as much as a long one.
MOST_MEMBERS: Final = 100


def is_compressed(encoding: str) -> bool:
    """Return whether a `Content-Encoding` names a content coding other than `identity`."""
    return encoding.strip().lower() not in {"", "identity"}


def decompress(data: bytes, encoding: str, limit: int) -> tuple[bytes, bool] | None:
    """Return at most `limit` decompressed bytes, and whether there are more; None if `data` cannot be decompressed.

    A kilobyte of gzip can be a megabyte of text: never more than the limit is decompressed. `data` that is cut off,
    or has more than MOST_MEMBERS members, counts as having more.
    """
    coding = encoding.strip().lower()
    try:
        if coding in _GZIP:
            return _members(data, limit)
        if coding == "deflate":
            return _deflated(data, limit)
    except zlib.error:
        pass
    return None


def _members(data: bytes, limit: int) -> tuple[bytes, bool]:
    """Decompress gzip, which may have several members (RFC 1952, section 2.2), up to MOST_MEMBERS."""
    body = bytearray()
    for _ in range(MOST_MEMBERS):
        decoder = zlib.decompressobj(_EITHER)
        body += decoder.decompress(data, limit + 1 - len(body))
        if len(body) > limit or not decoder.eof:
            return bytes(body[:limit]), True
        data = decoder.unused_data
        # Other bytes after a member are padding, which `gzip` ignores as well.
        if not data.startswith(_GZIP_BEGINS):
            return bytes(body), False
    return bytes(body), True


def _deflated(data: bytes, limit: int) -> tuple[bytes, bool]:
    try:
        return _stream(data, limit, _EITHER)
    except zlib.error:
        return _stream(data, limit, _BARE)


def _stream(data: bytes, limit: int, window: int) -> tuple[bytes, bool]:
    decoder = zlib.decompressobj(window)
    body = decoder.decompress(data, limit + 1)
    return body[:limit], len(body) > limit or not decoder.eof


async def decoded(response: Response, most: int) -> Response:
    """Return the response with its body decompressed, at most so many bytes; in a thread if these are many."""
    encoding = response.headers.get("content-encoding", "")
    if not is_compressed(encoding):
        return response
    return await in_thread_if_large(most, partial(_decompressed, response, encoding, most))


def _decompressed(response: Response, encoding: str, most: int) -> Response:
    """Return the response with its body decompressed, or with its `encoding` if that is not possible."""
    found = decompress(response.body, encoding, most)
    if found is None:
        return replace(response, encoding=encoding)
    body, truncated = found
    return replace(response, body=body, truncated=response.truncated or truncated)
