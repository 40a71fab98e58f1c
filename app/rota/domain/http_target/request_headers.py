"""The headers of a target: names that a task cannot set, since Rota or the connection does, and values."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from rota.domain.http_target.refusals import Fault

#: The most characters of the value of a header, also when it is filled in, and of what `auth` sends: as many as a named
#: secret may have.
MOST_VALUE: Final = 16_384
#: The most characters of all headers of a target together, names and values.
MOST_IN_ALL: Final = 65_536
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

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
# What receivers trust to come from Rota, its signature and its run, and what is between two connections.
_PREFIXES: Final = ("proxy-", "webhook-", "x-rota-")


def is_reserved(name: str) -> bool:
    """Return whether the header is set by Rota itself, in any case of letters."""
    lower = name.lower()
    return lower in _OF_THE_CONNECTION or lower.startswith(_PREFIXES)


def can_be_sent(value: str) -> bool:
    """Return whether a text can be the value of a header."""
    return _VALUE.fullmatch(value) is not None


def is_too_much(headers: Mapping[str, str]) -> bool:
    """Return whether headers are too large together."""
    return sum(len(name) + len(value) for name, value in headers.items()) > MOST_IN_ALL


def faults_in_headers(headers: Mapping[str, str]) -> Iterator[Fault]:
    """Yield what is wrong with headers, by their names."""
    if is_too_much(headers):
        yield (), f"the headers have more than {MOST_IN_ALL:,} characters, which is the limit"
    seen: set[str] = set()
    for name, value in headers.items():
        if is_reserved(name):
            yield (name,), f"'{name}' is set by Rota itself; leave it out"
        elif name.lower() in seen:
            yield (name,), f"'{name}' is given twice: names of headers are compared without case"
        elif len(value) > MOST_VALUE:
            message = (
                f"the value of '{name}' has {len(value):,} characters; give at most {MOST_VALUE:,}"
            )
            yield (name,), message
        elif not can_be_sent(value):
            yield (
                (name,),
                f"the value of '{name}' cannot be sent: give characters of ISO 8859-1, without line ends",
            )
        seen.add(name.lower())
