"""Bodies that a server has compressed although it was asked not to: read within the limit, or not at all."""

import zlib

# gzip, or zlib (which HTTP calls `deflate`): told apart by their first bytes.
_EITHER = 32 + zlib.MAX_WBITS
_READABLE = frozenset({"gzip", "x-gzip", "deflate"})


def is_compressed(encoding: str) -> bool:
    """Tell whether a `Content-Encoding` says that a body is not there as it is."""
    return encoding.strip().lower() not in {"", "identity"}


def decompress(data: bytes, encoding: str, limit: int) -> tuple[bytes, bool] | None:
    """Return at most `limit` bytes of what `data` holds, and whether there is more; None if it cannot be read.

    A kilobyte of gzip can be a megabyte of text: no more than the limit is ever made of it. `data` that ends too soon
    gives what it has, as there being more.
    """
    if encoding.strip().lower() not in _READABLE:
        return None
    decoder = zlib.decompressobj(_EITHER)
    try:
        body = decoder.decompress(data, limit + 1)
    except zlib.error:
        return None
    return body[:limit], len(body) > limit or not decoder.eof
