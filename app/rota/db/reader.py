"""Small reads of many requests, executed by few threads: queued reads share a transaction and a wake-up.

A thread for each read would cost more than the read: all of them compete for the interpreter.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from rota.db.batching import Request, RequestQueue, answer, set_future
from rota.db.engine import Database
from rota.db.failures import is_damage

R = TypeVar("R")

_MOST_TOGETHER = 64


@dataclass(slots=True, kw_only=True)
class _Read(Request[Any]):
    read: Callable[[Connection], Any]
    done: bool = False


class Reader:
    """Threads for reads of a row or two; longer reads would delay the others."""

    def __init__(self, database: Database, threads: int = 1) -> None:
        """`threads`: more than one where a read waits for a network, not for the interpreter."""
        self._database = database
        self._queue = RequestQueue[_Read]()
        self._threads = [
            threading.Thread(target=self._run, name=f"rota-reader-{number}", daemon=True)
            for number in range(threads)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Execute queued reads, then end; later reads are refused."""
        self._queue.close(len(self._threads))
        for thread in self._threads:
            thread.join()

    async def run(self, read: Callable[..., R], *args: Any) -> R:
        """Return the result of `read(connection, *args)`, which sees everything committed before this call.

        Raises what `read` raises, or Unavailable.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._queue.put(
            _Read(
                partial(set_future, future), loop, read=lambda connection: read(connection, *args)
            )
        )
        return await future

    def _run(self) -> None:
        while (batch := self._queue.next_batch(_MOST_TOGETHER)) is not None:
            self._execute(batch)
            answer(batch)

    def _execute(self, batch: Sequence[_Read]) -> None:
        """Execute all reads. An error of the database fails those not done yet, any other error its own read."""
        try:
            # The transaction begins when all of them are queued: each sees what its client knows to be committed.
            with self._database.read() as connection:
                for each in batch:
                    _execute_one(each, connection)
        except Exception as error:  # noqa: BLE001  # no error of a read may end the thread
            left = [each for each in batch if not each.done]
            if len(batch) > 1 and error.__cause__ is not None and is_damage(error.__cause__):
                # One of them read a damaged table; those of the others may be intact.
                for each in left:
                    self._execute([each])
                return
            for each in left:
                each.error = error


def _execute_one(request: _Read, connection: Connection) -> None:
    try:
        request.value = request.read(connection)
    except SQLAlchemyError:
        raise
    except Exception as error:  # noqa: BLE001  # raised to the caller
        request.error = error
    request.done = True
