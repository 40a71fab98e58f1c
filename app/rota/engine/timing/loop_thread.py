"""An event loop in a thread of its own, with daemon threads for calls that block."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from rota.daemon_threads import DaemonThreads
from rota.errors import Unavailable
from rota.handlers.calls.event_loop import EventLoop

T = TypeVar("T")


class LoopThread:
    """A loop that runs from `start` to `stop`; `threads` is the number of threads of its default executor."""

    def __init__(self, name: str, threads: int) -> None:
        self.loop = EventLoop()
        self._executor = DaemonThreads(f"{name}-calls", threads)
        self.loop.set_default_executor(self._executor)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Cancel the tasks of the loop, wait until they have ended, and close it; not waiting for blocked threads."""
        self.call_soon(self.loop.stop)
        self._thread.join()

    def call_soon(self, call: Callable[..., object], *args: Any) -> None:
        """Call on the loop; safe from any thread. Nothing happens if the loop is closed."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(call, *args)

    def run(self, work: Coroutine[Any, Any, T], timeout: float) -> T:
        """Run a coroutine on the loop and return its result; for other threads.

        Raises what it raises, and Unavailable if it has not ended within `timeout` seconds.
        """
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return future.result(timeout)
        except TimeoutError:
            future.cancel()
            raise Unavailable("The engine did not answer in time.") from None

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        self._executor.shutdown()
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        self.loop.run_until_complete(asyncio.wait(tasks) if tasks else asyncio.sleep(0))
        self.loop.close()
