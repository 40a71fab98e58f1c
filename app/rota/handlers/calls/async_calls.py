"""`async` handlers: on a loop that is theirs alone, so that one that blocks stalls only these, and not for long."""

import asyncio
import contextvars
import os
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from threading import Lock
from typing import TypeVar

from rota.clock import Clock
from rota.domain.primitives.ids import Id
from rota.domain.runs.outcomes import Cancelled, Outcome, Released
from rota.handlers.calls.call import CallBook, OpenCall
from rota.handlers.calls.capture import CURRENT
from rota.handlers.calls.event_loop import BEAT_SECONDS, HandlerLoop
from rota.handlers.daemon_threads import DaemonThreads
from rota.handlers.kv_migration import upgrade
from rota.handlers.outcomes import arguments, raised, returned
from rota.sdk.attempt_draft import AttemptDraft
from rota.sdk.contexts import Context
from rota.sdk.kv import Aside, Kv
from rota.sdk.stop import Hooks, StopReason, await_hooks

T = TypeVar("T")

#: A loop that has done nothing for so long is left to whoever blocks it.
STUCK_SECONDS = 3.0
# Each costs a thread until its handler gives way; one after another must not take all there are.
_MOST_LEFT = 16
_STOP_SECONDS = 2.0
# For what handlers hand to `asyncio.to_thread`.
_MOST_HELPING_THREADS = 64


class Coroutines:
    """Carries out `async` handlers, each as a task of one loop in the thread "rota-handlers"."""

    def __init__(
        self,
        book: CallBook,
        threads: DaemonThreads,
        clock: Clock,
        *,
        max_result_bytes: int,
        max_value_bytes: int,
        context: contextvars.Context,
    ) -> None:
        self._book = book
        self._threads = threads
        self._clock = clock
        self._max_result_bytes = max_result_bytes
        self._max_value_bytes = max_value_bytes
        #: What every handler's context starts from.
        self._context = context
        self._helping = DaemonThreads("rota-to-thread", _MOST_HELPING_THREADS)
        # uvloop looks names up in as many threads, 4 by default: a few slow lookups stop them all.
        os.environ.setdefault("UV_THREADPOOL_SIZE", "32")
        self._loop = HandlerLoop(clock, self._helping)
        self._left: list[HandlerLoop] = []
        # Between choosing a loop for a call and posting it there, the loop must not be left.
        self._choosing = Lock()

    def start(self) -> None:
        self._loop.start()

    def begin(self, batch: Sequence[OpenCall]) -> None:
        """Start the calls soon; safe from any thread."""
        with self._choosing:
            for opened in batch:
                opened.loop = self._loop
            self._loop.post(self._launch, batch, context=self._context)

    def cancel(self, opened: OpenCall) -> None:
        """Call the stop hooks of a call, then cancel its task; safe from any thread."""
        if opened.loop is not None:
            opened.loop.post(interrupt, opened)

    def lag(self) -> float:
        """Return for how many seconds the loop has done nothing of what it should."""
        return self._loop.lag()

    def excuse(self) -> None:
        """Forget how far the loop is behind: the whole process stood still."""
        self._loop.excuse()

    def blocking(self) -> Id | None:
        """Return the run whose code has kept the loop from its other work, if it can be told."""
        opened = self._blocking() if self.lag() >= BEAT_SECONDS else None
        return None if opened is None else opened.call.run_id

    def relieve(self) -> bool:
        """Leave a loop that is stuck to the handler that blocks it, and go on with another.

        The other calls on it are given back, to be tried again at once. Returns whether that was done.
        """
        self._left = [loop for loop in self._left if loop.alive]
        with self._choosing:
            stuck, blocker = self._loop, self._blocking()
            if stuck.lag() < STUCK_SECONDS or len(self._left) >= _MOST_LEFT:
                return False
            another = HandlerLoop(self._clock, self._helping)
            try:
                another.start()
            except RuntimeError:  # the system refuses another thread: what is stuck may come free
                return False
            self._loop = another
        stuck.retire()
        self._left.append(stuck)
        if blocker is not None:  # given back unknowingly, it would block the next loop as well
            self._give_back(
                [one for one in self._book.all() if one.loop is stuck and one is not blocker]
            )
        return True

    def stop(self) -> None:
        """Cancel what runs and end the loops; what does not end is left to their daemon threads."""
        for loop in self._left:
            loop.stop(0)
        self._loop.stop(_STOP_SECONDS)
        self._helping.shutdown()

    def _blocking(self) -> OpenCall | None:
        task = self._loop.current_task()
        if task is None:
            return None
        return next((opened for opened in self._book.all() if opened.task is task), None)

    def _give_back(self, calls: Sequence[OpenCall]) -> None:
        for opened in calls:
            opened.stop.ask(StopReason.LOOP_BLOCKED)
            self._book.close(opened, Released())
            self.cancel(opened)

    def _launch(self, batch: Sequence[OpenCall]) -> None:
        loop = asyncio.get_running_loop()
        for opened in batch:
            if not opened.closed:
                opened.task = loop.create_task(self._carry_out(opened))

    async def _carry_out(self, opened: OpenCall) -> None:
        limits = (self._max_result_bytes, self._max_value_bytes)
        self._book.close(opened, await carry_out(opened, self._aside, *limits))

    def _aside(self, work: Callable[[], T]) -> Awaitable[T]:
        return asyncio.get_running_loop().run_in_executor(self._threads, work)


async def carry_out(
    opened: OpenCall, aside: Aside, max_result_bytes: int, max_value_bytes: int
) -> Outcome:
    """Call the handler, and return what becomes of the attempt; `aside` makes its calls to the database."""
    opened.started = True
    call = opened.call
    if opened.stop.asked:
        return Cancelled()
    CURRENT.set(call.journal)
    draft = AttemptDraft(max_value_bytes, call.kv_revision)
    try:
        kv = Kv(draft, call, call.task, aside)
        context = Context(call.info(), call.journal, opened.stop, draft, kv)
        await upgrade(call.handler, kv, draft)
        value = await call.handler.function(context, *arguments(call.handler, call.input))
        return returned(value, draft, max_result_bytes)
    except BaseException as error:  # noqa: BLE001  # whatever a handler raises is an outcome
        return raised(error, draft, cancelled=opened.stop.asked)


def interrupt(opened: OpenCall) -> None:
    """Call the stop hooks of a call, then cancel its task; on its loop."""
    # A task that is cancelled before its first step would end without having reported.
    if opened.task is None or not opened.started or opened.task.done():
        return
    hooks = opened.stop.take()
    if hooks:
        opened.stopping = asyncio.get_running_loop().create_task(_stop(opened, hooks))
    elif not opened.stop.pending:
        opened.task.cancel()


async def _stop(opened: OpenCall, hooks: Hooks) -> None:
    await await_hooks(opened.stop, hooks, partial(opened.call.journal.line, "error"))
    if opened.task is not None:
        opened.task.cancel()
