"""Daemon threads for code that may block or never return."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import count
from logging import getLogger
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import Any, ParamSpec, TypeVar

_IDLE_SECONDS = 60.0
# Threads that are there at once; more come when these make no progress. A hundred threads that are ready to run take
# the interpreter lock from each other, and from the database's writer, hundreds of times for each call.
_EAGER = 4
_PATIENCE = 0.003
# When to ask again for a thread that the system has refused (pids.max, TasksMax, RLIMIT_NPROC).
_AFTER_A_REFUSAL = 0.5

#: What is made of more bytes than this is made in a thread, and not on a loop that others share.
QUICK_BYTES = 65_536

_log = getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


async def aside(size: int, work: Callable[[], T], threads: Executor | None = None) -> T:
    """Do work on so many bytes: if they are many in a thread (the loop's, unless others are given).

    Who waits for it can be cancelled; the work itself ends on its own.
    """
    if size <= QUICK_BYTES:
        return work()
    return await asyncio.get_running_loop().run_in_executor(threads, work)


class DaemonThreads(ThreadPoolExecutor):
    """Threads that grow when their work stands still, and are used again.

    Unlike the standard pool, a stuck thread holds up neither the others nor the end of the process
    (the standard library joins its pools' threads at exit).
    """

    def __init__(self, name: str, most: int) -> None:
        # Not super(): it would register the threads to be joined. A subclass only because event
        # loops take no other executor.
        self._name = name
        self._most = most
        self._guard = Lock()
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._numbers = count()
        self._count = 0
        # Those that wait for work, or were started to: work that waits for one of these needs no other thread.
        self._free: set[int] = set()
        self._taken = 0
        self._growing = False
        self._refused = False
        self._closed = False
        self._pressed = Event()
        self._ended = Event()

    def start(self) -> None:
        """Start the threads that are there at once, so that a limit that is reached later finds some."""
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
        """Have a thread call `work`, which must not raise; waits only if `most` are busy, or there can be no more.

        Raises RuntimeError if there is no thread at all, and none can be started.
        """
        with self._guard:
            if self._closed:
                raise RuntimeError("the threads have been shut down")
            added = self._count < _EAGER and self._add(1)
            if not self._count:
                raise RuntimeError("can't start new thread")
            self._work.put(work)
        if not added:
            self._pressed.set()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002  # as in the base class
        """Let free threads end; those at work are not waited for."""
        with self._guard:
            self._closed = True
            for _ in range(self._count):
                self._work.put(None)
        self._ended.set()
        self._pressed.set()

    def _add(self, number: int) -> bool:
        """Start threads, as far as there may be more; False if the system refuses one."""
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
                _log.warning("%s: %s; %d go on", self._name, error, self._count)
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
        """Add a thread for each piece of work that waits, while none is taken, and has no free thread to wait for."""
        while not self._closed:
            self._pressed.wait()
            self._pressed.clear()
            taken = self._taken
            self._ended.wait(_PATIENCE)
            with self._guard:
                waiting = self._work.qsize()
                # Threads that were started a moment ago may still wait for the interpreter.
                short = waiting - len(self._free) if taken == self._taken else 0
                refused = short > 0 and not self._add(short)
            if waiting:
                self._pressed.set()
            if refused:
                self._ended.wait(_AFTER_A_REFUSAL)

    def _serve(self, number: int) -> None:
        while (work := self._next(number)) is not None:
            self._taken += 1
            work()
            del work  # or an idle thread would keep the last attempt's objects

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
                    # What is put from here on presses for a thread, if the others stand still.
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
