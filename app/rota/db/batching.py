"""Requests that wait in a queue for a thread, taken together and answered together."""

import asyncio
import queue
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

log = structlog.get_logger(__name__)

T = TypeVar("T")

Settle = Callable[[Any, BaseException | None], None]


@dataclass(slots=True)
class Waiting:
    """Somebody who waits, and how to tell them what comes of it: on a loop, or (None) in the answering thread."""

    settle: Settle
    loop: asyncio.AbstractEventLoop | None
    answer: Any = None
    error: BaseException | None = None


def next_batch(
    waiting: queue.SimpleQueue[T | None], most: int, timeout: float | None = None
) -> list[T] | None:
    """Wait for something; return it and what else waits by now, up to `most`. None, once None (the end) comes first.

    With a time-out: nothing, if nothing has come until then.
    """
    try:
        first = waiting.get(timeout=timeout)
    except queue.Empty:
        return []
    if first is None:
        return None
    batch = [first]
    while len(batch) < most:
        try:
            following = waiting.get_nowait()
        except queue.Empty:
            break
        if following is None:
            waiting.put(None)
            break
        batch.append(following)
    return batch


def answer(batch: Iterable[Waiting]) -> None:
    """Reply every caller; one call per loop, since waking a loop costs a system call."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Waiting]] = {}
    for waiting in batch:
        if waiting.loop is None:
            waiting.settle(waiting.answer, waiting.error)
        else:
            by_loop.setdefault(waiting.loop, []).append(waiting)
    for loop, group in by_loop.items():
        try:
            loop.call_soon_threadsafe(_deliver, group)
        except RuntimeError:  # the loop is closed: nobody waits any more
            log.warning("answers.unwanted", number=len(group))


def _deliver(group: Sequence[Waiting]) -> None:
    for waiting in group:
        try:
            waiting.settle(waiting.answer, waiting.error)
        except Exception:  # the others are told all the same
            log.exception("answers.failed")


def settle_future(future: asyncio.Future[Any], answer: Any, error: BaseException | None) -> None:
    """Give a future its answer or its error."""
    if future.done():  # cancelled meanwhile; a write stands
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(answer)
