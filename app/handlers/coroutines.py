"""The event loop of `async` handlers: theirs alone, so that one that blocks stalls only these."""

import asyncio
import contextlib
import contextvars
import os
from collections.abc import Sequence
from logging import getLogger
from threading import Thread
from uuid import UUID

from app.clock import Clock
from app.domain.kv import KvDraft, KvSnapshot
from app.domain.runs import Cancelled, Outcome
from app.handlers.calls import Call, CallBook, OpenCall
from app.handlers.capture import CURRENT
from app.handlers.outcomes import arguments, raised, returned
from app.handlers.threads import DaemonThreads
from app.sdk import Context, Kv

try:
    from uvloop import Loop as EventLoop
except ImportError:  # not everywhere, and only faster
    from asyncio import SelectorEventLoop as EventLoop  # type: ignore[assignment]

_BEAT_SECONDS = 0.1
_STOP_SECONDS = 2.0
# For what handlers hand to `asyncio.to_thread`.
_MOST_HELPING_THREADS = 64

_log = getLogger(__name__)


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
        self._loop = EventLoop()
        self._thread = Thread(target=self._serve, name="rota-handlers", daemon=True)
        self._beat_at = clock.monotonic()
        self._stopping = False

    def start(self) -> None:
        self._loop.set_default_executor(self._helping)
        self._beat_at = self._clock.monotonic()
        self._loop.call_soon(self._beat)
        self._thread.start()

    def begin(self, batch: Sequence[OpenCall]) -> None:
        """Start the calls soon; safe from any thread."""
        self._loop.call_soon_threadsafe(self._launch, batch, context=self._context)

    def cancel(self, opened: OpenCall) -> None:
        """Ask the call's task to end; safe from any thread."""
        # A closed loop has ended its tasks.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(_interrupt, opened)

    def lag(self) -> float:
        """Return for how many seconds the loop has done nothing of what it should."""
        if not self._thread.is_alive():
            return 0.0
        return max(0.0, self._clock.monotonic() - self._beat_at - _BEAT_SECONDS)

    def blocking(self) -> UUID | None:
        """Return the run whose code has kept the loop from its other work, if it can be told."""
        if self.lag() < _BEAT_SECONDS:
            return None
        task = asyncio.current_task(self._loop)
        for opened in self._book.all():
            if task is not None and opened.task is task:
                return opened.call.run_id
        return None

    def stop(self) -> None:
        """Cancel what runs and end the loop; what does not end is left to the daemon thread."""
        self._stopping = True
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._begin_stop)
            self._thread.join(_STOP_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()
        self._helping.shutdown()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        while not self._stopping:
            # SystemExit in a task that a handler made ends run_forever, and must not end us.
            try:
                self._loop.run_forever()
            except BaseException:  # noqa: BLE001  # see above
                _log.exception("a handler's task stopped the handlers' loop; it goes on")

    def _beat(self) -> None:
        self._beat_at = self._clock.monotonic()
        self._loop.call_later(_BEAT_SECONDS, self._beat)

    def _launch(self, batch: Sequence[OpenCall]) -> None:
        for opened in batch:
            opened.task = self._loop.create_task(self._carry_out(opened))

    def _begin_stop(self) -> None:
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        # Two turns: one delivers the cancellation, one lets the tasks end.
        self._loop.call_later(0.05, self._loop.stop)

    async def _carry_out(self, opened: OpenCall) -> None:
        opened.started = True
        self._book.close(opened, await self._outcome(opened))

    async def _outcome(self, opened: OpenCall) -> Outcome:
        call = opened.call
        if opened.cancelled.is_set():
            return Cancelled()
        CURRENT.set(call.journal)
        draft = KvDraft(self._max_value_bytes)
        try:
            context = Context(
                call.info(), call.journal, opened.cancelled, Kv(draft, lambda: self._load(call))
            )
            value = await call.handler.function(context, *arguments(call.handler, call.input))
            return returned(value, draft, call.kv_revision, self._max_result_bytes)
        except BaseException as error:  # noqa: BLE001  # whatever a handler raises is an outcome
            return raised(error, cancelled=opened.cancelled.is_set())

    async def _load(self, call: Call) -> KvSnapshot:
        return await self._loop.run_in_executor(self._threads, call.load_kv)


def _interrupt(opened: OpenCall) -> None:
    # A task that is cancelled before its first step would end without having reported.
    if opened.task is not None and opened.started:
        opened.task.cancel()
