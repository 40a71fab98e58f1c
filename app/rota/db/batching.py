"""Requests that queue up for a thread: taken together, answered together."""

import asyncio
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import structlog

log = structlog.get_logger(__name__)

R = TypeVar("R")
T = TypeVar("T")

#: Gets the result of a request, or (not None) the exception that it raised.
OnDone = Callable[[Any, BaseException | None], None]


@dataclass(slots=True)
class Pending:
    """A request without an answer. `on_done` is called on the loop, or (None) in the thread that answers."""

    on_done: OnDone
    loop: asyncio.AbstractEventLoop | None
    result: Any = None
    error: BaseException | None = None


def next_batch(
    pending: queue.SimpleQueue[T | None], most: int, timeout: float | None = None
) -> list[T] | None:
    """Wait for a request; return it and those that are queued behind it, up to `most`; None when the queue ends.

    The end of the queue is an item None. With a timeout (seconds), [] if no request has arrived within it.
    """
    try:
        first = pending.get(timeout=timeout)
    except queue.Empty:
        return []
    if first is None:
        return None
    batch = [first]
    while len(batch) < most:
        try:
            following = pending.get_nowait()
        except queue.Empty:
            break
        if following is None:
            pending.put(None)
            break
        batch.append(following)
    return batch


def answer(batch: Iterable[Pending]) -> None:
    """Answer requests, with one call for each loop, since waking a loop costs a system call."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Pending]] = {}
    for request in batch:
        if request.loop is None:
            request.on_done(request.result, request.error)
        else:
            by_loop.setdefault(request.loop, []).append(request)
    for loop, group in by_loop.items():
        try:
            loop.call_soon_threadsafe(_deliver, group)
        except RuntimeError:  # the loop is closed: nothing waits for the answers
            log.warning("answers.unwanted", number=len(group))


def _deliver(group: Sequence[Pending]) -> None:
    for request in group:
        try:
            request.on_done(request.result, request.error)
        except Exception:  # the others are answered all the same
            log.exception("answers.failed")


def set_future(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    """Set the result or the exception of a future, unless it was cancelled meanwhile (a write is committed then)."""
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


class Reply(Generic[R]):
    """The answer to one of several commands. A future for each, with its lock, would cost more than its share."""

    __slots__ = ("_error", "_result")

    def set(self, result: Any, error: BaseException | None) -> None:
        self._result, self._error = result, error

    def exception(self) -> BaseException | None:
        return self._error

    def result(self) -> R:
        """Return the result of the command; raises what the command raised, or Unavailable."""
        if self._error is not None:
            raise self._error
        result: R = self._result
        return result


class Countdown:
    """Lets a thread wait until the writer, which is one thread, has set a number of replies."""

    def __init__(self, number: int) -> None:
        self._left = number
        self._all_set = threading.Event()

    def set(self, reply: Reply[Any], result: Any, error: BaseException | None) -> None:
        reply.set(result, error)
        self._left -= 1
        if not self._left:
            self._all_set.set()

    def wait(self) -> None:
        self._all_set.wait()
