"""Daemon threads for code that may block, or never return."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import count
from logging import getLogger
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import Any, ParamSpec, TypeVar

_IDLE_SECONDS = 60.0
# Threads that are started at once; more are added when these make no progress for so many seconds. A hundred runnable
# threads take the interpreter lock from each other, and from the database's writer, hundreds of times for each call.
_EAGER = 4
_STALL_SECONDS = 0.003
# When to try again to start a thread that the system has refused (pids.max, TasksMax, RLIMIT_NPROC), in seconds.
_AFTER_A_REFUSAL = 0.5

#: Work on more bytes than this is done in a thread, and not on an event loop that others share.
QUICK_BYTES = 65_536

_log = getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread_if_large(
    size: int, work: Callable[[], T], threads: Executor | None = None
) -> T:
    """Call `work` on `size` bytes: in one of `threads` (default: those of the loop) if these are many.

    A cancellation ends the wait, but not the work.
    """
    if size <= QUICK_BYTES:
        return work()
    return await asyncio.get_running_loop().run_in_executor(threads, work)


class DaemonThreads(ThreadPoolExecutor):
    """A pool of threads that grows when its work stalls.

    Unlike in the standard pool, a stuck thread blocks neither the others nor the end of the process (the standard
    library joins its pools' threads at exit).
    """

    def __init__(self, name: str, most: int) -> None:
        # Not super(): it would register the threads to be joined. A subclass only because event loops accept no other
        # executor.
        self._name = name
        self._most = most
        self._guard = Lock()
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._numbers = count()
        self._count = 0
        # Threads that wait for work, or have just been started: queued work that gets one of these needs no other.
        self._free: set[int] = set()
        self._taken = 0
        self._growing = False
        self._refused = False
        self._closed = False
        self._queued = Event()
        self._ended = Event()

    def start(self) -> None:
        """Start the eager threads, so that there are some if the system refuses more later."""
        with self._guard:
            self._add(max(_EAGER - self._count, 0))

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()

        def work() -> None:
            if future.set_running_or_notify_cancel():
                _settle(future, fn, *args, **kwargs)

        self.run(work)
        return future

    def run(self, work: Callable[[], None]) -> None:
        """Have a thread call `work`, which must not raise; it is queued while all `most` threads are busy.

        Raises RuntimeError if there is no thread, and none can be started.
        """
        with self._guard:
            if self._closed:
                raise RuntimeError("the threads have been shut down")
            added = self._count < _EAGER and self._add(1)
            if not self._count:
                raise RuntimeError("can't start new thread")
            self._work.put(work)
        if not added:
            self._queued.set()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002  # as in the base class
        """End the free threads; busy ones are not waited for."""
        with self._guard:
            self._closed = True
            for _ in range(self._count):
                self._work.put(None)
        self._ended.set()
        self._queued.set()

    def _add(self, number: int) -> bool:
        """Start threads, up to the maximum; False if the system refuses one."""
        if self._closed:
            return True
        try:
            if not self._growing:
                Thread(target=self._grow, name=f"{self._name}-growth", daemon=True).start()
                self._growing = True
            for _ in range(min(number, self._most - self._count)):
                self._start()
        except RuntimeError as error:
            if not self._refused:
                _log.warning("%s: %s; %d threads continue", self._name, error, self._count)
            self._refused = True
            return False
        self._refused = False
        return True

    def _start(self) -> None:
        number = next(self._numbers)
        name = f"{self._name}-{number}"
        thread = Thread(target=self._serve, args=(number,), name=name, daemon=True)
        self._free.add(number)
        try:
            thread.start()
        except RuntimeError:
            self._free.discard(number)
            raise
        self._count += 1

    def _grow(self) -> None:
        """Add a thread for each queued piece of work for which there is no free thread, while the work stalls."""
        while not self._closed:
            self._queued.wait()
            self._queued.clear()
            taken = self._taken
            self._ended.wait(_STALL_SECONDS)
            with self._guard:
                waiting = self._work.qsize()
                # Threads that were just started may still wait for the interpreter lock.
                short = waiting - len(self._free) if taken == self._taken else 0
                refused = short > 0 and not self._add(short)
            if waiting:
                self._queued.set()
            if refused:
                self._ended.wait(_AFTER_A_REFUSAL)

    def _serve(self, number: int) -> None:
        while (work := self._next(number)) is not None:
            self._taken += 1
            work()
            del work  # an idle thread must not keep the objects of the last attempt

    def _next(self, number: int) -> Callable[[], None] | None:
        self._free.add(number)
        try:
            return self._wait()
        finally:
            self._free.discard(number)

    def _wait(self) -> Callable[[], None] | None:
        while True:
            try:
                return self._work.get(timeout=_IDLE_SECONDS)
            except Empty:
                with self._guard:
                    # If the other threads stall, work that is queued from here on adds a thread.
                    if self._count > _EAGER:
                        self._count -= 1
                        return None


def _settle(future: Future[Any], fn: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    try:
        result = fn(*args, **kwargs)
    except BaseException as error:  # noqa: BLE001  # the future carries it
        future.set_exception(error)
    else:
        future.set_result(result)
