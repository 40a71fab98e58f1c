"""The connections of a server: how many there are, and which have exceeded a deadline."""

import asyncio
from typing import Protocol

from rota.api.edge.limits import Limits
from rota.api.edge.refusals import RefusalLog


class Connection(Protocol):
    """A connection with deadlines."""

    def look(self, now: float) -> None:
        """End the connection, or its request, if a deadline has passed."""


class Connections:
    """All open connections, with one timer for the deadlines of all: one per request would cost every request."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.log = RefusalLog()
        self._open: set[Connection] = set()
        self._timer: asyncio.TimerHandle | None = None

    def admit(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> bool:
        """Add a connection; return False if there are as many as allowed."""
        if self._timer is None:
            self._timer = loop.call_later(self.limits.look_every, self._look, loop)
        if len(self._open) >= self.limits.connections:
            return False
        self._open.add(connection)
        return True

    def leave(self, connection: Connection) -> None:
        """Remove a connection."""
        self._open.discard(connection)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        try:
            for connection in tuple(self._open):
                connection.look(now)
            self.log.flush(now)
        finally:  # an error of one connection does not end the deadlines of the others
            is_needed = self._open or self.log.has_more
            self._timer = (
                loop.call_later(self.limits.look_every, self._look, loop) if is_needed else None
            )
