"""Requests that wait for runs to end or be queued, or for bulk operations; woken by commits, in the writer's thread."""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rota.domain.effects import BulkChanged, Effect, RunEnded, RunsReady
from rota.domain.primitives.ids import Id


@dataclass(frozen=True, slots=True)
class ReadyQueue:
    """A queue, as what a request can wait for: that a run can be taken from it."""

    name: str


class Waiters:
    """The requests that wait, by run, queue or bulk operation."""

    def __init__(self) -> None:
        self._waiting: dict[Id | ReadyQueue, set[asyncio.Event]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Set the event loop of the requests."""
        self._loop = loop

    @contextlib.contextmanager
    def waiting(self, what: Id | ReadyQueue) -> Iterator[asyncio.Event]:
        """Yield an event that is set when the run ends, a run is queued, or the operation comes further.

        Enter this before reading it.
        """
        event = asyncio.Event()
        self._waiting.setdefault(what, set()).add(event)
        try:
            yield event
        finally:
            events = self._waiting[what]
            events.discard(event)
            if not events:
                del self._waiting[what]

    def committed(self, effects: Sequence[Effect]) -> None:
        """Wake the requests that wait for what has happened; called in the writer's thread."""
        if not self._waiting or self._loop is None:
            return
        happened = list(_happened(effects))
        if happened:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and with it all requests
                self._loop.call_soon_threadsafe(self._wake, happened)

    def _wake(self, happened: Sequence[Id | ReadyQueue]) -> None:
        for what in happened:
            for event in self._waiting.get(what, ()):
                event.set()


def _happened(effects: Iterable[Effect]) -> Iterator[Id | ReadyQueue]:
    for effect in effects:
        if isinstance(effect, RunEnded):
            yield effect.run_id
        elif isinstance(effect, RunsReady):
            yield ReadyQueue(effect.queue)
        elif isinstance(effect, BulkChanged):
            yield effect.bulk_id
