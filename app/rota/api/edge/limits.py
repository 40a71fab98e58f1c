"""What a connection may cost, and how many there may be."""

import resource
from dataclasses import dataclass

from rota.settings import Settings

# Files that the service needs for itself besides one for each run: the database, sockets to listen on, temporary files.
_OWN_FILES = 64
_LEAST_RESERVE = 128


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, durations in seconds, rates in bytes per second."""

    connections: int = 10_000
    #: The request line and the headers together; as much again may frame a chunked body between two pieces of it.
    head_bytes: int = 65_536
    headers: int = 100
    url_bytes: int = 8_192
    #: How long a new connection may say nothing.
    first_byte: float = 10
    #: How long the head may take from its first byte.
    head: float = 10
    #: A body keeps up with the rate, or falls behind it by so many seconds at most.
    body_rate: float = 1_000
    body_grace: float = 10
    #: The same for a client that takes an answer.
    answer_rate: float = 1_000
    answer_grace: float = 30
    #: How long a body is thrown away that nobody reads, because the answer is given already.
    unread_body: float = 10
    #: How long a refused client may take to read why, before the connection is closed.
    farewell: float = 2
    #: How often the deadlines are looked at.
    look_every: float = 1


def limits(settings: Settings) -> Limits:
    """Return the limits of this process."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    reserve = max(_LEAST_RESERVE, _OWN_FILES + settings.concurrency)
    if files == resource.RLIM_INFINITY:
        return Limits(settings.max_connections)
    return Limits(most_connections(settings.max_connections, files, reserve))


def most_connections(wanted: int, files: int, reserve: int) -> int:
    """Return how many connections there may be where so many files can be open, and the service needs some itself."""
    return min(wanted, max(files - reserve, files // 4, 1))
