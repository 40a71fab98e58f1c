"""Bodies that a server has compressed although it was asked not to: read within the limit, or not at all."""

import zlib

# gzip, or zlib (which HTTP calls `deflate`): told apart by their first bytes.
_EITHER = 32 + zlib.MAX_WBITS
# What many servers send as `deflate` all the same: the bare stream, without zlib's header.
_BARE = -zlib.MAX_WBITS
_GZIP = frozenset({"gzip", "x-gzip"})
_GZIP_BEGINS = b"\x1f\x8b"


def is_compressed(encoding: str) -> bool:
    """Tell whether a `Content-Encoding` says that a body is not there as it is."""
    return encoding.strip().lower() not in {"", "identity"}


def decompress(data: bytes, encoding: str, limit: int) -> tuple[bytes, bool] | None:
    """Return at most `limit` bytes of what `data` holds, and whether there is more; None if it cannot be read.

    A kilobyte of gzip can be a megabyte of text: no more than the limit is ever made of it. `data` that ends too soon
    gives what it has, as there being more.
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
    """Read gzip, which may be several members one after the other (RFC 1952, section 2.2)."""
    body = bytearray()
    while True:
        decoder = zlib.decompressobj(_EITHER)
        body += decoder.decompress(data, limit + 1 - len(body))
        if len(body) > limit or not decoder.eof:
            return bytes(body[:limit]), True
        data = decoder.unused_data
        # What follows and is no member is filling, which `gzip` ignores as well.
        if not data.startswith(_GZIP_BEGINS):
            return bytes(body), False


def _deflated(data: bytes, limit: int) -> tuple[bytes, bool]:
    try:
        return _stream(data, limit, _EITHER)
    except zlib.error:
        return _stream(data, limit, _BARE)


def _stream(data: bytes, limit: int, window: int) -> tuple[bytes, bool]:
    decoder = zlib.decompressobj(window)
    body = decoder.decompress(data, limit + 1)
    return body[:limit], len(body) > limit or not decoder.eof
