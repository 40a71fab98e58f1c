"""Requests that wait for runs to end: on the HTTP loop, woken by commits in the writer's thread."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence

from rota.domain.effects import Effect, RunEnded
from rota.domain.primitives.ids import Id


class Waiters:
    """The requests that wait, by run."""

    def __init__(self) -> None:
        self._waiting: dict[Id, set[asyncio.Event]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Set the event loop of the requests."""
        self._loop = loop

    @contextlib.contextmanager
    def waiting(self, run_id: Id) -> Iterator[asyncio.Event]:
        """Yield an event that is set when the run ends; enter this before reading the run."""
        event = asyncio.Event()
        self._waiting.setdefault(run_id, set()).add(event)
        try:
            yield event
        finally:
            events = self._waiting[run_id]
            events.discard(event)
            if not events:
                del self._waiting[run_id]

    def committed(self, effects: Sequence[Effect]) -> None:
        """Wake the requests that wait for runs that have ended; called in the writer's thread."""
        if not self._waiting or self._loop is None:
            return
        ended = [effect.run_id for effect in effects if isinstance(effect, RunEnded)]
        if ended:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and with it all requests
                self._loop.call_soon_threadsafe(self._wake, ended)

    def _wake(self, ended: Sequence[Id]) -> None:
        for run_id in ended:
            for event in self._waiting.get(run_id, ()):
                event.set()
