"""The limits of a connection, and of the number of connections."""

import resource
from dataclasses import dataclass

from rota.settings import Settings

# Files that the service needs besides one for each run: the database, listening sockets, temporary files.
_OWN_FILES = 64
_LEAST_RESERVE = 128


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, durations in seconds, rates in bytes per second."""

    connections: int = 10_000
    #: The request line and the headers together; also the framing of a chunked body between two pieces of data.
    head_bytes: int = 65_536
    headers: int = 100
    url_bytes: int = 8_192
    #: How long a new connection may send nothing.
    first_byte: float = 10
    #: How long the head may take from its first byte.
    head: float = 10
    #: The minimum rate of a body, and by how many seconds it may fall behind.
    body_rate: float = 1_000
    body_grace: float = 10
    #: The same for a client that receives a response.
    answer_rate: float = 1_000
    answer_grace: float = 30
    #: How long the rest of a body is discarded after the response has been sent.
    unread_body: float = 10
    #: How long a refused client may take to read the problem before the connection is closed.
    farewell: float = 2
    #: How often the deadlines are checked.
    look_every: float = 1


def limits(settings: Settings) -> Limits:
    """Return the limits of this process."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    reserve = max(_LEAST_RESERVE, _OWN_FILES + settings.concurrency)
    if files == resource.RLIM_INFINITY:
        return Limits(settings.max_connections)
    return Limits(most_connections(settings.max_connections, files, reserve))


def most_connections(wanted: int, files: int, reserve: int) -> int:
    """Return the limit of connections, given how many files can be open and how many of them the service needs."""
    return min(wanted, max(files - reserve, files // 4, 1))
