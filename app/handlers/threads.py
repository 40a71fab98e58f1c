"""Daemon threads for code that may block or never return."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import Any, ParamSpec, TypeVar

_IDLE_SECONDS = 60.0
# Threads that are there at once; more come when these make no progress. A hundred threads that are ready to run take
# the interpreter lock from each other, and from the database's writer, hundreds of times for each call.
_EAGER = 4
_PATIENCE = 0.003

P = ParamSpec("P")
T = TypeVar("T")


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
        self._count = 0
        self._taken = 0
        self._closed = False
        self._pressed = Event()
        self._ended = Event()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()

        def work() -> None:
            if future.set_running_or_notify_cancel():
                _settle(future, fn, *args, **kwargs)

        self.run(work)
        return future

    def run(self, work: Callable[[], None]) -> None:
        """Have a thread call `work`, which must not raise; waits only if `most` are busy."""
        with self._guard:
            if self._closed:
                raise RuntimeError("the threads have been shut down")
            self._work.put(work)
            if self._count < _EAGER:
                self._add(1)
                return
        self._pressed.set()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002  # as in the base class
        """Let free threads end; those at work are not waited for."""
        with self._guard:
            self._closed = True
            for _ in range(self._count):
                self._work.put(None)
        self._ended.set()
        self._pressed.set()

    def _add(self, number: int) -> None:
        if not self._count:
            Thread(target=self._grow, name=f"{self._name}-growth", daemon=True).start()
        for _ in range(min(number, self._most - self._count)):
            Thread(target=self._serve, name=f"{self._name}-{self._count}", daemon=True).start()
            self._count += 1

    def _grow(self) -> None:
        """Add a thread for each piece of work that waits while none is taken."""
        while not self._closed:
            self._pressed.wait()
            self._pressed.clear()
            taken = self._taken
            self._ended.wait(_PATIENCE)
            with self._guard:
                waiting = self._work.qsize()
                if waiting and taken == self._taken and not self._closed:
                    self._add(waiting)
            if waiting:
                self._pressed.set()

    def _serve(self) -> None:
        while (work := self._next()) is not None:
            self._taken += 1
            work()
            del work  # or an idle thread would keep the last attempt's objects

    def _next(self) -> Callable[[], None] | None:
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
