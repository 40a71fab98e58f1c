"""The phases of a connection."""

from enum import Enum, auto


class Phase(Enum):
    """The phase of a connection."""

    IDLE = auto()  # between requests
    HEAD = auto()  # a request has begun
    BODY = auto()  # its head is complete
    ANSWERING = auto()  # it is complete: what follows waits for its response
    UNREAD = auto()  # its response is sent, and its body is not read yet
    REFUSED = auto()  # what follows is discarded
