"""The connections of a server: how many there are, and which have been silent for too long."""

import asyncio
from typing import Protocol

from rota.api.edge.limits import Limits
from rota.api.edge.refusals import RefusalLog


class Connection(Protocol):
    """What is looked at again and again."""

    def look(self, now: float) -> None:
        """End what has taken too long."""


class Connections:
    """One timer looks at all of them: a timer for each request would cost every request."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.log = RefusalLog()
        self._open: set[Connection] = set()
        self._timer: asyncio.TimerHandle | None = None

    def admit(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> bool:
        """Count a connection in, unless there are as many as there may be."""
        if self._timer is None:
            self._timer = loop.call_later(self.limits.look_every, self._look, loop)
        if len(self._open) >= self.limits.connections:
            return False
        self._open.add(connection)
        return True

    def leave(self, connection: Connection) -> None:
        """Count a connection out."""
        self._open.discard(connection)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        try:
            for connection in tuple(self._open):
                connection.look(now)
            self.log.tell(now)
        finally:  # whatever goes wrong with one connection, the others keep their deadlines
            goes_on = self._open or self.log.has_more
            self._timer = (
                loop.call_later(self.limits.look_every, self._look, loop) if goes_on else None
            )
