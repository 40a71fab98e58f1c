"""An event loop in which time passes only when there is nothing else to do, and then at once."""

import asyncio
import selectors
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from datetime import timedelta
from math import ceil
from typing import Any, TypeVar, TypeVarTuple, Unpack

from rota.clock import FakeClock, SystemClock

# How long to look for what comes from outside (a socket, a thread) before the clock is moved by as much.
_LOOK_SECONDS = 0.02
_REAL = SystemClock()

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Ready = list[tuple[selectors.SelectorKey, int]]
Look = Callable[[float], Ready]


class FakeTimeLoop(asyncio.SelectorEventLoop):
    """A loop that goes by a fake clock: a handler that sleeps for an hour does so in no time.

    While something real is waited for (a socket, a thread), the clock goes on as fast as the real one.
    """

    def __init__(self, clock: FakeClock) -> None:
        self._fake = clock
        self._outside = 0
        self._until: Callable[[], float] = float
        self._waiter: asyncio.Future[None] | None = None
        super().__init__(_Selector(self._idle))
        # What a sum of many floats may be off by.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._fake.monotonic()

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        future = super().run_in_executor(executor, func, *args)
        self._outside += 1
        future.add_done_callback(self._came_in)
        return future

    async def pass_time(self, until: Callable[[], float]) -> None:
        """Let everything happen that happens now, then pass time until `until()` (seconds from now) is 0."""
        self._until = until
        self._waiter = self.create_future()
        await self._waiter

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Run something as if no loop were running in this thread, as a `def` handler may expect."""
        asyncio._set_running_loop(None)  # noqa: SLF001  # made for those who write loops
        try:
            yield
        finally:
            asyncio._set_running_loop(self)  # noqa: SLF001

    def _came_in(self, _future: asyncio.Future[Any]) -> None:
        self._outside -= 1

    def _idle(self, timeout: float | None, watched: int, look: Look) -> Ready:
        """Do what there is to do at an instant at which nothing is left to do: pass time."""
        if self._waiter is None or self._waiter.done():
            return look(_LOOK_SECONDS)
        limit = self._until()
        if limit <= 0:
            self._waiter.set_result(None)
            return []
        step = limit if timeout is None else min(timeout, limit)
        # One of those watched is the loop's own.
        if self._outside or watched > 1:
            return self._look_outside(step, look)
        self._skip(step)
        return []

    def _look_outside(self, step: float, look: Look) -> Ready:
        began = _REAL.monotonic()
        found = look(min(step, _LOOK_SECONDS))
        self._skip(min(step, _REAL.monotonic() - began))
        return found

    def _skip(self, seconds: float) -> None:
        """Move the clock, in whole milliseconds, never by less."""
        self._fake.advance(timedelta(milliseconds=ceil(seconds * 1000 - 1e-3)))


class _Selector(selectors.DefaultSelector):
    """Asks what to do where the real one would wait."""

    def __init__(self, idle: Callable[[float | None, int, Look], Ready]) -> None:
        super().__init__()
        self._idle = idle

    def select(self, timeout: float | None = None) -> Ready:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        return self._idle(timeout, len(self.get_map()), super().select)
