"""An event loop in a thread of its own, which measures its lag and can be retired."""

import asyncio
import contextlib
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from logging import getLogger
from threading import Thread
from typing import Any

from rota.clock import Clock

try:
    from uvloop import Loop as EventLoop
except ImportError:  # not on every platform, and only faster
    from asyncio import SelectorEventLoop as EventLoop  # type: ignore[assignment]

__all__ = ["BEAT_SECONDS", "EventLoop", "HandlerLoop", "end_tasks"]

BEAT_SECONDS = 0.1
# How long cancelled tasks may take to end.
_END_SECONDS = 0.05

_log = getLogger(__name__)


class HandlerLoop:
    """A loop with a heartbeat. Once retired it ends with its last task."""

    def __init__(self, clock: Clock, executor: ThreadPoolExecutor) -> None:
        self._clock = clock
        self._loop = EventLoop()
        self._loop.set_default_executor(executor)
        self._thread = Thread(target=self._serve, name="rota-handlers", daemon=True)
        self._beat_at = clock.monotonic()
        self._stopping = False
        self._retired = False

    def start(self) -> None:
        self._beat_at = self._clock.monotonic()
        self._loop.call_soon(self._beat)
        try:
            self._thread.start()
        except RuntimeError:  # the system refuses another thread
            self._loop.close()
            raise

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def lag(self) -> float:
        """Return for how many seconds the heartbeat is overdue."""
        if not self.alive:
            return 0.0
        return max(0.0, self._clock.monotonic() - self._beat_at - BEAT_SECONDS)

    def reset_lag(self) -> None:
        """Measure the lag from now on; safe from any thread."""
        self._beat_at = self._clock.monotonic()

    def current_task(self) -> asyncio.Task[Any] | None:
        """Return the task that runs now; it may have changed already, since another thread reads it."""
        return asyncio.current_task(self._loop)

    def post(
        self, call: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> None:
        """Call a function on the loop; safe from any thread. A closed loop, whose tasks have ended, ignores it."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *args, context=context)

    def retire(self) -> None:
        """End when the last task has ended; only cancellations may be posted from now on."""
        self._retired = True

    def stop(self, seconds: float) -> None:
        """Cancel the tasks and end; what does not end within `seconds` is left to the daemon thread."""
        self._stopping = True
        if self.alive:
            self.post(self._begin_stop)
            self._thread.join(seconds)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        while not self._stopping:
            # SystemExit in a task that a handler made ends run_forever; it must not end this thread.
            try:
                self._loop.run_forever()
            except BaseException:  # noqa: BLE001  # see above
                _log.exception("a handler's task stopped the handlers' loop; it is started again")
        self._loop.close()

    def _beat(self) -> None:
        self._beat_at = self._clock.monotonic()
        if self._retired and not asyncio.all_tasks(self._loop):
            self._stopping = True
            self._loop.stop()
            return
        self._loop.call_later(BEAT_SECONDS, self._beat)

    def _begin_stop(self) -> None:
        end_tasks(self._loop)


def end_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel the tasks of the running loop; stop it when they have ended, after 50 ms at the latest."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        ended = loop.create_task(asyncio.wait(tasks, timeout=_END_SECONDS))
        ended.add_done_callback(lambda _: loop.stop())
    else:
        loop.stop()
