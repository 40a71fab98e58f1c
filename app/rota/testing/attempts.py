"""Attempts in progress in a driver: handlers are called as in the service, on the fake clock."""

import contextvars
import inspect
from asyncio import TimerHandle
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from rota.clock import Clock
from rota.domain.primitives.ids import Id
from rota.domain.runs.errors import RunError
from rota.domain.runs.model import ClaimedRun, LogLine, Progress
from rota.domain.runs.outcomes import CallEnd, Cancelled, HandedOff, Outcome, TimedOut
from rota.handlers.calls import async_calls, thread_calls
from rota.handlers.calls.call import Call, Limits, OpenCall
from rota.handlers.calls.journal import AttemptJournal
from rota.handlers.registry import RegisteredHandler
from rota.sdk.kv_sources import Source
from rota.sdk.stop import StopReason
from rota.testing.fake_loop import FakeTimeLoop

T = TypeVar("T")

#: The service's defaults (`app/rota/settings.py`), which also limit handlers in tests.
MAX_RESULT_BYTES = 1_048_576
MAX_VALUE_BYTES = 262_144
MAX_KV_BYTES = 16_777_216
MAX_LOG_BYTES = 65_536
#: As in the service: an attempt that has not ended so many seconds after the request is given up.
CANCEL_GRACE = 5.0
_LIMITS = Limits(MAX_RESULT_BYTES, MAX_VALUE_BYTES, MAX_KV_BYTES)


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of an attempt, to be stored."""

    run: ClaimedRun
    outcome: Outcome
    lines: tuple[LogLine, ...]
    progress: Progress | None


class Attempts:
    """Begins claimed runs; `finish` receives the end of each attempt once."""

    def __init__(
        self,
        loop: FakeTimeLoop,
        clock: Clock,
        tables: Callable[[ClaimedRun], Source],
        finish: Callable[[Ended], None],
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._tables = tables
        self._finish = finish
        self._open: dict[Id, _InProgress] = {}

    def begin(self, run: ClaimedRun, handler: RegisteredHandler) -> None:
        """Execute an attempt on the loop: an `async` handler as a task, a `def` handler as a callback."""
        journal = AttemptJournal(MAX_LOG_BYTES, self._clock)
        opened = OpenCall(Call(run, handler, journal, self._tables(run)), self._done)
        this = self._open[run.id] = _InProgress(run, opened)
        variables = contextvars.Context()
        if inspect.iscoroutinefunction(handler.function):
            opened.task = self._loop.create_task(self._await(opened), context=variables)
            seconds = run.definition.timeout.total_seconds()
            this.timers.append(self._loop.call_later(seconds, self._expire, this))
        else:
            self._loop.call_soon(self._call_blocking, opened, context=variables)

    def cancel(self, run_id: Id) -> None:
        """Request the end of a run; after `CANCEL_GRACE` it is ended without its handler."""
        this = self._open.get(run_id)
        if this is not None:
            _stop(this.opened, StopReason.CANCELLED)
            by_force = (this, Cancelled())
            this.timers.append(self._loop.call_later(CANCEL_GRACE, self._end, *by_force))

    async def _await(self, opened: OpenCall) -> None:
        outcome = await async_calls.execute(opened, _in_place, _LIMITS)
        self._done(opened.call, outcome)

    def _call_blocking(self, opened: OpenCall) -> None:
        with self._loop.outside():
            outcome = thread_calls.execute(opened, _LIMITS)
        self._done(opened.call, outcome)

    def _done(self, call: Call, outcome: CallEnd) -> None:
        assert not isinstance(outcome, HandedOff)  # no requests are made
        this = self._open.get(call.run_id)
        # The outcome of an attempt that was given up is ignored.
        if this is not None and this.opened.call is call:
            self._end(this, outcome)

    def _expire(self, this: "_InProgress") -> None:
        _stop(this.opened, StopReason.TIMEOUT)
        seconds = this.run.definition.timeout.total_seconds()
        error = RunError("timeout", f"the attempt took longer than {seconds:g} s")
        self._end(this, TimedOut(error))

    def _end(self, this: "_InProgress", outcome: Outcome) -> None:
        del self._open[this.run.id]
        for timer in this.timers:
            timer.cancel()
        journal = this.opened.call.journal
        journal.flush()
        lines, progress = journal.take()
        self._finish(Ended(this.run, outcome, tuple(lines), progress))


@dataclass(slots=True)
class _InProgress:
    """An attempt that has not ended, with the timers that would end it."""

    run: ClaimedRun
    opened: OpenCall
    timers: list[TimerHandle] = field(default_factory=list)


def _stop(opened: OpenCall, reason: StopReason) -> None:
    opened.stop.request(reason)
    if opened.task is not None:
        async_calls.interrupt(opened)


async def _in_place(work: Callable[[], T]) -> T:
    return work()
