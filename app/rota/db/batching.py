"""Requests that queue up for a thread: taken together, answered together."""

import asyncio
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import structlog

from rota.errors import Unavailable

log = structlog.get_logger(__name__)

R = TypeVar("R")
T = TypeVar("T")

#: Gets the result of a request, or (not None) the exception that it raised.
OnDone = Callable[[Any, BaseException | None], None]


@dataclass(slots=True)
class Request(Generic[R]):
    """A request, with its answer once there is one.

    `on_done` is called on the loop, or (loop None) in the thread that answers. For a thread that waits, an object of
    `asyncio.Future`, with its lock, would cost more than the request.
    """

    on_done: OnDone
    loop: asyncio.AbstractEventLoop | None
    value: Any = None
    error: BaseException | None = None

    def exception(self) -> BaseException | None:
        return self.error

    def result(self) -> R:
        """Return the result; raises what the request raised, or Unavailable."""
        if self.error is not None:
            raise self.error
        value: R = self.value
        return value


class RequestQueue(Generic[T]):
    """Requests for threads. Once closed it takes no more; each thread gets None when the queue is empty then."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[T | None] = queue.SimpleQueue()
        self._closed = False
        # It must not be closed between the check and the put: the request would never be answered.
        self._gate = threading.Lock()

    def __len__(self) -> int:
        return self._queue.qsize()

    def put(self, request: T) -> None:
        """Enqueue a request; raises Unavailable if the queue is closed."""
        with self._gate:
            if self._closed:
                raise Unavailable("The service is stopping.")
            self._queue.put(request)

    def close(self, threads: int = 1) -> None:
        """Take no more requests; `threads` is the number of threads that take from the queue."""
        with self._gate:
            self._closed = True
            for _ in range(threads):
                self._queue.put(None)

    def next_batch(self, most: int, timeout: float | None = None) -> list[T] | None:
        """Wait for a request; return it and those behind it, up to `most`; None when the queue is closed and empty.

        With a timeout (seconds), [] if no request has arrived within it.
        """
        try:
            first = self._queue.get(timeout=timeout)
        except queue.Empty:
            return []
        if first is None:
            return None
        batch = [first]
        while len(batch) < most:
            try:
                following = self._queue.get_nowait()
            except queue.Empty:
                break
            if following is None:
                self._queue.put(None)
                break
            batch.append(following)
        return batch


def answer(batch: Iterable[Request[Any]]) -> None:
    """Answer requests, with one call for each loop, since waking a loop costs a system call."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Request[Any]]] = {}
    for request in batch:
        if request.loop is None:
            request.on_done(request.value, request.error)
        else:
            by_loop.setdefault(request.loop, []).append(request)
    for loop, group in by_loop.items():
        try:
            loop.call_soon_threadsafe(_deliver, group)
        except RuntimeError:  # the loop is closed: nothing waits for the answers
            log.warning("answers.unwanted", number=len(group))


def _deliver(group: Sequence[Request[Any]]) -> None:
    for request in group:
        try:
            request.on_done(request.value, request.error)
        except Exception:  # the others are answered anyway
            log.exception("answers.failed")


def set_future(future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    """Set the result or the exception of a future, unless it was cancelled meanwhile (a write is committed then)."""
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(value)


class Countdown:
    """Lets a thread wait until another thread has answered a number of requests."""

    def __init__(self, number: int) -> None:
        self._left = number
        self._all_done = threading.Event()

    def on_done(self, _value: Any, _error: BaseException | None) -> None:
        self._left -= 1
        if not self._left:
            self._all_done.set()

    def wait(self) -> None:
        self._all_done.wait()
