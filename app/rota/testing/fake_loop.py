"""An event loop on a fake clock: when it is idle, the clock moves to its next timer at once."""

import asyncio
import selectors
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from datetime import timedelta
from math import ceil
from typing import Any, TypeVar, TypeVarTuple, Unpack

from rota.clock import FakeClock, SystemClock

# How long, in seconds, to wait for sockets and threads before the clock is moved by as much.
_POLL_SECONDS = 0.02
_REAL = SystemClock()

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Ready = list[tuple[selectors.SelectorKey, int]]
Select = Callable[[float], Ready]


class FakeTimeLoop(asyncio.SelectorEventLoop):
    """A loop on a fake clock: a handler that sleeps for an hour takes no real time.

    While a handler waits for a socket or a thread, the clock runs as fast as the real one.
    """

    def __init__(self, clock: FakeClock) -> None:
        self._fake = clock
        self._in_threads = 0
        self._until: Callable[[], float] = float
        self._waiter: asyncio.Future[None] | None = None
        super().__init__(_Selector(self._idle))
        # The rounding error of a sum of many floats.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._fake.monotonic()

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        future = super().run_in_executor(executor, func, *args)
        self._in_threads += 1
        future.add_done_callback(self._thread_done)
        return future

    async def pass_time(self, until: Callable[[], float]) -> None:
        """Run all callbacks that are due now, then let time pass until `until()` (seconds from now) is 0."""
        self._until = until
        self._waiter = self.create_future()
        await self._waiter

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Run a block as if no loop ran in this thread, as a `def` handler may expect."""
        asyncio._set_running_loop(None)  # noqa: SLF001  # provided for authors of event loops
        try:
            yield
        finally:
            asyncio._set_running_loop(self)  # noqa: SLF001

    def _thread_done(self, _future: asyncio.Future[Any]) -> None:
        self._in_threads -= 1

    def _idle(self, timeout: float | None, watched: int, select: Select) -> Ready:
        """Let time pass, when there is nothing left to do at this instant."""
        if self._waiter is None or self._waiter.done():
            return select(_POLL_SECONDS)
        limit = self._until()
        if limit <= 0:
            self._waiter.set_result(None)
            return []
        step = limit if timeout is None else min(timeout, limit)
        # One of the watched sockets is the loop's own.
        if self._in_threads or watched > 1:
            return self._poll(step, select)
        self._skip(step)
        return []

    def _poll(self, step: float, select: Select) -> Ready:
        began = _REAL.monotonic()
        found = select(min(step, _POLL_SECONDS))
        self._skip(min(step, _REAL.monotonic() - began))
        return found

    def _skip(self, seconds: float) -> None:
        """Move the clock, rounded up to whole milliseconds."""
        self._fake.advance(timedelta(milliseconds=ceil(seconds * 1000 - 1e-3)))


class _Selector(selectors.DefaultSelector):
    """Calls `idle` where the real selector would wait."""

    def __init__(self, idle: Callable[[float | None, int, Select], Ready]) -> None:
        super().__init__()
        self._idle = idle

    def select(self, timeout: float | None = None) -> Ready:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        return self._idle(timeout, len(self.get_map()), super().select)
