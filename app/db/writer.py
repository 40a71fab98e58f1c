"""The one writer of a process: a thread that commits commands in groups.

While one transaction is being committed the commands that arrive queue up and share the next one. Commands
are data; a batched one carries out n of its kind with a few statements. A command that fails does not fail its
neighbours: the group is rolled back and done again one by one, each in a savepoint, still with one commit.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, SQLAlchemyError

from app.clock import Clock
from app.db.batches import Settle, Waiting, answer, next_batch, settle_future
from app.db.replies import Countdown, Reply
from app.domain.effects import Effect
from app.errors import Unavailable
from app.metrics import Metrics

log = structlog.get_logger(__name__)

R = TypeVar("R")

MOST_TOGETHER = 512
MOST_WAITING = 20_000
_TRIES = 3
# PostgreSQL's codes for a transaction that lost against another and is to be tried again: could not serialise,
# deadlock, and a name or key that another replica has taken since we looked (the second look sees it).
_TRANSIENT = frozenset({"40001", "40P01", "23505"})


@dataclass(slots=True)
class Transaction:
    """What a command works with: the connection, one time for all of the group, and the effects to hand on."""

    connection: Connection
    now: datetime
    effects: list[Effect] = field(default_factory=list)

    @property
    def is_sqlite(self) -> bool:
        return self.connection.dialect.name == "sqlite"


class StaleError(Exception):
    """What a command has read was changed by another replica before it wrote: the same again may well succeed."""


class Command(Generic[R]):
    """A write. Subclasses are frozen data with an `apply`, or, if there will be many, an `apply_all`."""

    batched: ClassVar[bool] = False

    def apply(self, tx: Transaction) -> R:
        """Carry out this one command; what it raises is what its caller gets, and nothing of it is kept."""
        return self.apply_all(tx, [self])[0]

    @classmethod
    def apply_all(cls, tx: Transaction, commands: Sequence[Any]) -> Sequence[R]:
        """Carry out several; raise if any of them is in doubt, and they are done again one by one."""
        return [command.apply(tx) for command in commands]


@dataclass(slots=True, kw_only=True)
class _Waiting(Waiting):
    command: Command[Any]


class Writer:
    """Owns the writing connection. `on_commit` gets the effects of each commit, in the writer's thread.

    `before_commit` is called with each transaction that has effects, to write down what it has done.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        on_commit: Callable[[Sequence[Effect]], None],
        metrics: Metrics | None = None,
        before_commit: Callable[[Transaction], None] | None = None,
    ) -> None:
        self._before_commit = before_commit
        self._engine = engine
        self._clock = clock
        self._on_commit = on_commit
        self._metrics = metrics or Metrics()
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="rota-writer", daemon=True)
        self._stopped = False
        # Between the look at `_stopped` and the put nothing may stop: nobody would answer.
        self._gate = threading.Lock()

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        """Commit what waits, then end; later commands are refused."""
        with self._gate:
            self._stopped = True
            self._queue.put(None)
        self._thread.join()

    def post(self, command: Command[Any], settle: Settle) -> None:
        """Have `command` committed; `settle` is called on the running loop with its answer, or what it raised.

        Raises Unavailable if it cannot even be taken.
        """
        self._enqueue(_Waiting(settle, asyncio.get_running_loop(), command=command))

    def submit(self, command: Command[R]) -> asyncio.Future[R]:
        """Have `command` committed; the future gets its answer, what it raised, or Unavailable."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self.post(command, partial(settle_future, future))
        return future

    async def run(self, command: Command[R]) -> R:
        """Commit `command` and return its answer; raises what it raised, or Unavailable."""
        return await self.submit(command)

    def call(self, command: Command[R]) -> R:
        """Commit `command` from a thread, which waits."""
        return self.call_all([command])[0].result()

    def call_all(self, commands: Sequence[Command[R]]) -> list[Reply[R]]:
        """Commit commands from a thread, which waits for all of them; they share commits."""
        replies = [Reply[R]() for _ in commands]
        if replies:
            countdown = Countdown(len(replies))
            for command, reply in zip(commands, replies, strict=True):
                settle = partial(countdown.settle, reply)
                self._enqueue(_Waiting(settle, None, command=command))
            countdown.wait()
        return replies

    def _enqueue(self, waiting: _Waiting) -> None:
        with self._gate:
            if self._stopped:
                raise Unavailable("The service is stopping.")
            if self._queue.qsize() > MOST_WAITING:
                raise Unavailable("Too many writes are waiting.")
            self._queue.put(waiting)

    def _run(self) -> None:
        while (batch := next_batch(self._queue, MOST_TOGETHER)) is not None:
            if batch:
                effects = self._commit(batch)
                self._metrics.commits.inc()
                self._metrics.writes.inc(len(batch))
                self._hand_on(effects)
                answer(batch)

    def _commit(self, batch: list[_Waiting]) -> list[Effect]:
        together = True
        problem: Exception | None = None
        for tries_left in reversed(range(_TRIES)):
            try:
                return self._attempt(batch, together=together, last=tries_left == 0)
            except _CommitFailedError as error:
                _fail(batch, error.__cause__, "may or may not have been stored")
                return []
            except Exception as error:  # noqa: BLE001  # nothing that a command does may end the writer
                problem = error
                if _ends_transaction(error) and not _transient(error):
                    break
                if len(batch) == 1 and not _transient(error):
                    batch[0].error = error
                    return []
                log.info("writer.one_by_one", commands=len(batch), error=repr(error)[:300])
                together = False
        _fail(batch, problem, "was not stored")
        return []

    def _attempt(self, batch: list[_Waiting], *, together: bool, last: bool) -> list[Effect]:
        with self._engine.connect() as connection, connection.begin() as transaction:
            tx = Transaction(connection, self._clock.now())
            for group in _groups(batch):
                # A lone command needs no savepoint: if it fails, all that is rolled back is its own.
                if len(batch) == 1 or (together and group[0].command.batched):
                    _apply_together(tx, group)
                else:
                    for waiting in group:
                        _apply_alone(tx, waiting, last=last)
            if self._before_commit is not None and tx.effects:
                self._before_commit(tx)
            try:
                transaction.commit()
            except SQLAlchemyError as error:
                # It may still be in its transaction, and SQLAlchemy would not roll it back.
                connection.invalidate()
                raise _CommitFailedError from error
        return tx.effects

    def _hand_on(self, effects: Sequence[Effect]) -> None:
        if not effects:
            return
        try:
            self._on_commit(effects)
        except Exception:
            log.exception("effects.failed")


class _CommitFailedError(Exception):
    """The commit itself failed: nobody knows whether it took place."""


def _groups(batch: Iterable[_Waiting]) -> Iterable[list[_Waiting]]:
    """Gather commands of one kind. Nobody has been answered yet, so any order between kinds is a right one."""
    groups: dict[type, list[_Waiting]] = {}
    for waiting in batch:
        groups.setdefault(type(waiting.command), []).append(waiting)
    return groups.values()


def _apply_together(tx: Transaction, group: list[_Waiting]) -> None:
    commands = [waiting.command for waiting in group]
    answers = type(commands[0]).apply_all(tx, commands)
    for waiting, made in zip(group, answers, strict=True):
        waiting.answer, waiting.error = made, None


def _apply_alone(tx: Transaction, waiting: _Waiting, *, last: bool) -> None:
    effects = len(tx.effects)
    waiting.answer, waiting.error = None, None
    try:
        with tx.connection.begin_nested():
            waiting.answer = waiting.command.apply(tx)
    except Exception as error:
        # What another replica has taken is looked at again, but not for ever at the neighbours' cost.
        if _ends_transaction(error) and not (last and isinstance(error, IntegrityError)):
            raise
        del tx.effects[effects:]
        waiting.error = error


def _ends_transaction(error: Exception) -> bool:
    """Whether the whole transaction is gone, not just what one command did in it."""
    return _transient(error) or isinstance(error, OperationalError)


def _transient(error: Exception) -> bool:
    """Whether the same again may well succeed; safe, since nothing was committed."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, StaleError)
    return error.connection_invalidated or getattr(error.orig, "sqlstate", None) in _TRANSIENT


def _fail(batch: list[_Waiting], error: BaseException | None, fate: str) -> None:
    log.error("writer.failed", commands=len(batch), fate=fate, error=str(error)[:500])
    for waiting in batch:
        waiting.error = Unavailable(f"The database did not take the write; it {fate}.")
        waiting.error.__cause__ = error
