"""`async` handlers: on an event loop of their own, so that a blocking one stalls only these, and only for seconds."""

import asyncio
import contextvars
import os
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from threading import Lock
from typing import TypeVar

from rota.clock import Clock
from rota.daemon_threads import DaemonThreads
from rota.domain.primitives.ids import Id
from rota.domain.runs.outcomes import CallEnd, Cancelled, HandedOff, Released
from rota.handlers.calls.call import Limits, OpenCall, OpenCalls
from rota.handlers.calls.capture import CURRENT
from rota.handlers.calls.event_loop import BEAT_SECONDS, HandlerLoop
from rota.handlers.kv_migration import migrate_kv
from rota.handlers.outcomes import GoesOnOutside, arguments, raised, returned
from rota.sdk.attempt_draft import AttemptDraft
from rota.sdk.contexts import Context
from rota.sdk.kv import InThread, Kv
from rota.sdk.stop import Hooks, StopReason, await_hooks

T = TypeVar("T")

#: A loop that has not run for so long is left to the handler that blocks it.
STUCK_SECONDS = 3.0
# Each stuck loop keeps a thread until its handler returns.
_MOST_STUCK = 16
_STOP_SECONDS = 2.0
# For `asyncio.to_thread` in handlers.
_MOST_TO_THREAD = 64


class AsyncCalls:
    """Executes `async` handlers, each as a task of one loop in the thread "rota-handlers"."""

    def __init__(
        self,
        open_calls: OpenCalls,
        threads: DaemonThreads,
        clock: Clock,
        limits: Limits,
        context: contextvars.Context,
    ) -> None:
        self._open_calls = open_calls
        self._threads = threads
        self._clock = clock
        self._limits = limits
        #: The context variables that every handler starts with.
        self._context = context
        self._to_thread = DaemonThreads("rota-to-thread", _MOST_TO_THREAD)
        # uvloop resolves host names in so many threads, 4 by default: a few slow lookups would stop all others.
        os.environ.setdefault("UV_THREADPOOL_SIZE", "32")
        self._loop = HandlerLoop(clock, self._to_thread)
        self._stuck: list[HandlerLoop] = []
        # The loop must not be replaced between the choice of a loop for a call and the post to it.
        self._choosing = Lock()

    def start(self) -> None:
        self._loop.start()

    def begin(self, batch: Sequence[OpenCall]) -> None:
        """Have the loop start the calls; safe from any thread."""
        with self._choosing:
            for opened in batch:
                opened.loop = self._loop
            self._loop.post(self._launch, batch, context=self._context)

    def cancel(self, opened: OpenCall) -> None:
        """Call the stop hooks of a call, then cancel its task; safe from any thread."""
        if opened.loop is not None:
            opened.loop.post(interrupt, opened)

    def lag(self) -> float:
        """Return for how many seconds the loop has been stuck."""
        return self._loop.lag()

    def reset_lag(self) -> None:
        """Reset the lag of the loop, after the whole process was stopped."""
        self._loop.reset_lag()

    def blocking(self) -> Id | None:
        """Return the run whose code blocks the loop, if it is known."""
        opened = self._blocker() if self.lag() >= BEAT_SECONDS else None
        return None if opened is None else opened.call.run_id

    def replace_stuck_loop(self) -> bool:
        """Leave a stuck loop to the handler that blocks it, and use another one from now on.

        The other calls on it are released, and so are attempted again at once. Returns whether a loop was replaced.
        """
        self._stuck = [loop for loop in self._stuck if loop.alive]
        with self._choosing:
            stuck, blocker = self._loop, self._blocker()
            if stuck.lag() < STUCK_SECONDS or len(self._stuck) >= _MOST_STUCK:
                return False
            another = HandlerLoop(self._clock, self._to_thread)
            try:
                another.start()
            except RuntimeError:  # the system refuses another thread; the stuck loop may recover
                return False
            self._loop = another
        stuck.retire()
        self._stuck.append(stuck)
        if (
            blocker is not None
        ):  # if it is not known and were released, it would block the next loop as well
            self._release(
                [one for one in self._open_calls.all() if one.loop is stuck and one is not blocker]
            )
        return True

    def stop(self) -> None:
        """Cancel the tasks and end the loops; a task that does not end is left to its daemon thread."""
        for loop in self._stuck:
            loop.stop(0)
        self._loop.stop(_STOP_SECONDS)
        self._to_thread.shutdown()

    def _blocker(self) -> OpenCall | None:
        task = self._loop.current_task()
        if task is None:
            return None
        return next((opened for opened in self._open_calls.all() if opened.task is task), None)

    def _release(self, calls: Sequence[OpenCall]) -> None:
        for opened in calls:
            opened.stop.request(StopReason.LOOP_BLOCKED)
            self._open_calls.close(opened, Released())
            self.cancel(opened)

    def _launch(self, batch: Sequence[OpenCall]) -> None:
        loop = asyncio.get_running_loop()
        for opened in batch:
            if not opened.closed:
                opened.task = loop.create_task(self._execute(opened))

    async def _execute(self, opened: OpenCall) -> None:
        self._open_calls.close(opened, await execute(opened, self._in_thread, self._limits))

    def _in_thread(self, work: Callable[[], T]) -> Awaitable[T]:
        return asyncio.get_running_loop().run_in_executor(self._threads, work)


async def execute(opened: OpenCall, in_thread: InThread, limits: Limits) -> CallEnd:
    """Call the handler, and return the outcome of the attempt; `in_thread` runs its database calls."""
    opened.started = True
    call = opened.call
    if opened.stop.requested:
        return Cancelled()
    CURRENT.set(call.journal)
    draft = AttemptDraft(limits.value_bytes, call.run.kv_revision)
    try:
        kv = Kv(draft, call.kv, call.run.task, in_thread)
        context = Context(call.info(), call.journal, opened.stop, draft, kv)
        await migrate_kv(call.handler, kv, draft)
        value = await call.handler.function(context, *arguments(call.handler, call.run.input))
        return returned(value, draft, limits.result_bytes)
    except GoesOnOutside:
        return HandedOff()
    except BaseException as error:  # noqa: BLE001  # whatever a handler raises is an outcome
        return raised(error, draft, cancelled=opened.stop.requested)


def interrupt(opened: OpenCall) -> None:
    """Call the stop hooks of a call, then cancel its task; called on its loop."""
    # A task that is cancelled before its first step ends without an outcome.
    if opened.task is None or not opened.started or opened.task.done():
        return
    hooks = opened.stop.take_hooks()
    if hooks:
        opened.stopping = asyncio.get_running_loop().create_task(_stop(opened, hooks))
    elif not opened.stop.pending:
        opened.task.cancel()


async def _stop(opened: OpenCall, hooks: Hooks) -> None:
    await await_hooks(opened.stop, hooks, partial(opened.call.journal.line, "error"))
    if opened.task is not None:
        opened.task.cancel()
