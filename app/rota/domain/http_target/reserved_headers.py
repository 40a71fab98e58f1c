"""Headers that a task cannot set, since Rota or the connection does."""

from typing import Final

# Of one connection, and not of the request (RFC 9110, section 7.6.1): a task's own would break its framing.
_OF_THE_CONNECTION: Final = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# What receivers trust to come from Rota: its signature, its run, and the trace of the request that caused it.
_OF_ROTA: Final = frozenset({"traceparent", "tracestate"})
_PREFIXES: Final = ("proxy-", "webhook-", "x-rota-")


def is_reserved(name: str) -> bool:
    """Return whether the header is set by Rota itself, in any case of letters."""
    lower = name.lower()
    return lower in _OF_THE_CONNECTION or lower in _OF_ROTA or lower.startswith(_PREFIXES)
