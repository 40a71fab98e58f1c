"""Small reads of many requests, carried out by few threads: as many as wait share a transaction and a wake-up.

A thread each costs more than such a read: all of them compete for the interpreter.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection

from app.db.batches import next_batch
from app.db.engine import Database
from app.errors import AppError, Unavailable

log = structlog.get_logger(__name__)

R = TypeVar("R")

_MOST_TOGETHER = 64


@dataclass(slots=True)
class _Waiting:
    what: Callable[[Connection], Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    answer: Any = None
    error: BaseException | None = None


class Reader:
    """Threads for reads of a row or two; what takes longer keeps the others waiting."""

    def __init__(self, database: Database, threads: int = 1) -> None:
        """`threads`: more than one where a read waits for a network, and not for the interpreter."""
        self._database = database
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._stopped = False
        # Between the look at `_stopped` and the put nothing may stop: nobody would answer.
        self._gate = threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, name=f"rota-reader-{number}", daemon=True)
            for number in range(threads)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Carry out what waits, then end; later reads are refused."""
        with self._gate:
            self._stopped = True
            for _ in self._threads:
                self._queue.put(None)
        for thread in self._threads:
            thread.join()

    async def run(self, what: Callable[..., R], *args: Any) -> R:
        """Return what `what(connection, *args)` does: it sees all that was committed before.

        Raises what it raises, or Unavailable.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        waiting = _Waiting(lambda connection: what(connection, *args), future, loop)
        with self._gate:
            if self._stopped:
                raise Unavailable("The service is stopping.")
            self._queue.put(waiting)
        return await future

    def _run(self) -> None:
        while (batch := next_batch(self._queue, _MOST_TOGETHER)) is not None:
            self._carry_out(batch)
            by_loop: dict[asyncio.AbstractEventLoop, list[_Waiting]] = {}
            for waiting in batch:
                by_loop.setdefault(waiting.loop, []).append(waiting)
            for loop, group in by_loop.items():
                _reply(loop, group)

    def _carry_out(self, batch: Sequence[_Waiting]) -> None:
        """Read for all of them; a fault of the database is everybody's, what a read raises otherwise its own."""
        try:
            # It begins when they all wait: each sees what its client has been told of.
            with self._database.read() as connection:
                for waiting in batch:
                    try:
                        waiting.answer = waiting.what(connection)
                    except AppError as error:
                        waiting.error = error
        except Exception as error:  # noqa: BLE001  # nothing that a read does may end the thread
            for waiting in batch:
                waiting.error = waiting.error or error


def _reply(loop: asyncio.AbstractEventLoop, group: Sequence[_Waiting]) -> None:
    try:
        loop.call_soon_threadsafe(partial(_deliver, group))
    except RuntimeError:  # the loop is closed: nobody waits any more
        log.warning("reader.answer_unwanted", reads=len(group))


def _deliver(group: Sequence[_Waiting]) -> None:
    for waiting in group:
        if waiting.future.done():  # cancelled meanwhile
            continue
        if waiting.error is not None:
            waiting.future.set_exception(waiting.error)
        else:
            waiting.future.set_result(waiting.answer)
