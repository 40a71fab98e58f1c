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

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from rota.db.batching import Waiting, answer, next_batch, settle_future
from rota.db.engine import Database
from rota.db.failures import is_damage
from rota.errors import Unavailable

R = TypeVar("R")

_MOST_TOGETHER = 64


@dataclass(slots=True, kw_only=True)
class _Waiting(Waiting):
    what: Callable[[Connection], Any]
    read: bool = False


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
        waiting = _Waiting(
            partial(settle_future, future), loop, what=lambda connection: what(connection, *args)
        )
        with self._gate:
            if self._stopped:
                raise Unavailable("The service is stopping.")
            self._queue.put(waiting)
        return await future

    def _run(self) -> None:
        while (batch := next_batch(self._queue, _MOST_TOGETHER)) is not None:
            self._carry_out(batch)
            answer(batch)

    def _carry_out(self, batch: Sequence[_Waiting]) -> None:
        """Read for all of them. A fault of the database is that of all not read yet, any other that of one."""
        try:
            # It begins when they all wait: each sees what its client has been told of.
            with self._database.read() as connection:
                for waiting in batch:
                    _read(waiting, connection)
        except Exception as error:  # noqa: BLE001  # nothing that a read does may end the thread
            left = [waiting for waiting in batch if not waiting.read]
            if len(batch) > 1 and error.__cause__ is not None and is_damage(error.__cause__):
                # Of a table that one of them looks into; what the others want may be whole.
                for waiting in left:
                    self._carry_out([waiting])
                return
            for waiting in left:
                waiting.error = error


def _read(waiting: _Waiting, connection: Connection) -> None:
    try:
        waiting.answer = waiting.what(connection)
    except SQLAlchemyError:
        raise
    except Exception as error:  # noqa: BLE001  # it is told to whoever asked
        waiting.error = error
    waiting.read = True
