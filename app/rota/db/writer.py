"""The one writer of a process: a thread that commits commands in groups.

While a transaction is being committed, arriving commands queue up and share the next one. Commands are data; a batched
one executes n of its kind with a few statements. A command that fails does not fail the others: the group is rolled
back and executed again one by one, each in a savepoint, still with one commit.

On PostgreSQL a row that a command needs may be locked by another transaction. The wait for such a lock is short, since
the whole group waits: commands that meet one are retried a little later, in groups of their own, until their timeout;
the others are committed without them.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from rota.clock import Clock
from rota.db import failures
from rota.db.batching import Countdown, OnDone, Request, RequestQueue, answer, set_future
from rota.db.command import Command, FollowUp, R, Transaction
from rota.db.failures import Fate
from rota.db.writing.group import OneByOne, apply_together, by_kind, is_transient
from rota.db.writing.lock_retries import LockRetries, WriteRequest
from rota.domain.effects import Effect
from rota.domain.json_schema.checks import NotCheckedError
from rota.errors import Unavailable
from rota.metrics import Metrics

log = structlog.get_logger(__name__)

#: Executes slow work in a thread; it may raise Unavailable if too much is under way.
Aside = Callable[[Callable[[], None]], Awaitable[None]]
MOST_TOGETHER = 512
MOST_PENDING = 20_000
_TRIES = 3
# Values that are checked ahead of a commit may change before it, and are checked again, so often.
_MOST_CHECKS = 200


class Writer:
    """Owns the writing connection.

    `on_commit` gets the effects of each commit, in the writer's thread. `follow_up` is called after each command (after
    all of one kind that are applied together), in its transaction: it writes what follows from the effects.
    `before_commit` is called with each transaction that has effects, to record them. `on_error` gets each error of the
    database, `aside` executes slow checks.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        on_commit: Callable[[Sequence[Effect]], None],
        metrics: Metrics | None = None,
        *,
        follow_up: FollowUp,
        before_commit: Callable[[Transaction], None] | None = None,
        on_error: Callable[[BaseException], None] | None = None,
        aside: Aside = asyncio.to_thread,
    ) -> None:
        self._aside = aside
        self._follow_up = follow_up
        self._engine = engine
        self._clock = clock
        self._on_commit = on_commit
        self._metrics = metrics or Metrics()
        self._before_commit = before_commit
        self._on_error = on_error
        self._queue = RequestQueue[WriteRequest]()
        self._retries = LockRetries()
        self._thread = threading.Thread(target=self._run, name="rota-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        """Commit queued commands, then end; later commands are refused."""
        self._queue.close()
        self._thread.join()

    def post(self, command: Command[Any], on_done: OnDone) -> None:
        """Enqueue a command; `on_done` is called on the running loop with its result, or with what it raised.

        Raises Unavailable if it cannot be enqueued.
        """
        self._enqueue(WriteRequest(on_done, asyncio.get_running_loop(), command=command))

    def submit(self, command: Command[R]) -> asyncio.Future[R]:
        """Enqueue a command; the future gets its result, what it raised, or Unavailable."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self.post(command, partial(set_future, future))
        return future

    async def run(self, command: Command[R]) -> R:
        """Commit a command and return its result; raises what it raises, or Unavailable.

        Large values are checked in a thread, while no other command waits for its commit.
        """
        for _ in range(_MOST_CHECKS):
            try:
                return await self.submit(command)
            except NotCheckedError as error:
                await self._aside(error.make)
        raise _never_checked()

    def call(self, command: Command[R]) -> R:
        """The same from a thread, which blocks."""
        for _ in range(_MOST_CHECKS):
            try:
                return self.call_all([command])[0].result()
            except NotCheckedError as error:
                error.make()
        raise _never_checked()

    def call_all(self, commands: Sequence[Command[R]]) -> list[Request[R]]:
        """Commit commands from a thread, which blocks until all are answered; they share commits.

        Returns the answered requests. Raises Unavailable if one cannot be enqueued.
        """
        countdown = Countdown(len(commands))
        requests: list[Request[R]] = []
        for command in commands:
            request = WriteRequest(countdown.on_done, None, command=command)
            self._enqueue(request)
            requests.append(request)
        if requests:
            countdown.wait()
        return requests

    def _enqueue(self, request: WriteRequest) -> None:
        if len(self._queue) > MOST_PENDING:
            raise Unavailable("Too many writes are waiting.")
        self._queue.put(request)

    def _run(self) -> None:
        while True:
            batch = self._queue.next_batch(MOST_TOGETHER, self._retries.next_in())
            if batch is None:
                break
            self._execute(batch)
            self._execute(self._retries.take_due(MOST_TOGETHER))
        self._execute(self._retries.take_all())

    def _execute(self, batch: list[WriteRequest]) -> None:
        if not batch:
            return
        effects = self._commit(batch)
        self._metrics.commits.inc()
        if effects:
            try:
                self._on_commit(effects)
            except Exception:
                log.exception("effects.failed")
        done = [
            request for request in batch if request.met is None or not self._retries_later(request)
        ]
        self._metrics.writes.inc(len(done))
        answer(done)

    def _retries_later(self, request: WriteRequest) -> bool:
        """Enqueue a command that met a lock for a retry; False if its timeout has passed, which is its error then."""
        met, request.met = request.met, None
        if request.command.patient and self._retries.add(request):
            return True
        log.info("writer.locked", command=type(request.command).__name__, error=str(met)[:300])
        request.error = self._refusal(met, Fate.NOT_STORED)
        return False

    def _commit(self, batch: list[WriteRequest]) -> list[Effect]:
        """Commit a batch, with repeats; return the effects. Each command has its result or error then."""
        together = True
        problem: Exception | None = None
        for tries_left in reversed(range(_TRIES)):
            try:
                return self._attempt(batch, together=together, last=tries_left == 0)
            except _CommitFailedError as error:
                self._fail(batch, error.__cause__, Fate.IN_DOUBT)
                return []
            except Exception as error:  # noqa: BLE001  # no error of a command may end the writer
                problem = error
                if failures.is_damage(error) and len(batch) > 1:
                    # SQLite does not commit a transaction that has read a damaged page; those that need none can be.
                    return [effect for each in batch for effect in self._commit([each])]
                if not (failures.concerns_one(error) or is_transient(error)):
                    break
                if len(batch) == 1 and self._is_final(batch[0], error):
                    return []
                log.info("writer.one_by_one", commands=len(batch), error=repr(error)[:300])
                together = False
        self._fail(batch, problem, Fate.NOT_STORED)
        return []

    def _is_final(self, request: WriteRequest, error: Exception) -> bool:
        """Record the error of a lone command; False if it must be repeated at once."""
        if failures.met_lock(error):
            request.met = error
        elif is_transient(error):
            return False
        else:
            request.error = self._to_raise(error)
        return True

    def _attempt(self, batch: list[WriteRequest], *, together: bool, last: bool) -> list[Effect]:
        with self._engine.connect() as connection, connection.begin() as transaction:
            tx = Transaction(connection, self._clock.now())
            one_by_one = OneByOne(tx, self._to_raise, self._follow_up, last=last)
            # While a lock is known to be held, no group waits for it again.
            if not together or self._retries or batch[0].until is not None:
                one_by_one.shorten_lock_timeout()
            for group in by_kind(batch):
                # A lone command needs no savepoint: if it fails, only its own writes are rolled back.
                if len(batch) == 1 or (together and group[0].command.batched):
                    apply_together(tx, group, self._follow_up)
                else:
                    for request in group:
                        one_by_one.apply(request)
            if self._before_commit is not None and tx.effects:
                self._before_commit(tx)
            try:
                transaction.commit()
            except SQLAlchemyError as error:
                # The connection may still be in its transaction, which SQLAlchemy would not roll back.
                connection.invalidate()
                raise _CommitFailedError from error
        return tx.effects

    def _to_raise(self, error: Exception) -> Exception:
        """Return what the caller of a failed command gets: an outage of the database is not an error of the command."""
        if not failures.is_outage(error):
            return error
        log.error("writer.refused", error=str(error)[:500])
        return self._refusal(error, Fate.NOT_STORED)

    def _refusal(self, error: BaseException | None, fate: Fate) -> Unavailable:
        if self._on_error is not None and error is not None:
            self._on_error(error)
        refusal = failures.not_written(error, self._engine.url, fate)
        refusal.__cause__ = error
        return refusal

    def _fail(self, batch: list[WriteRequest], error: BaseException | None, fate: Fate) -> None:
        log.error("writer.failed", commands=len(batch), fate=fate, error=str(error)[:500])
        for request in batch:
            request.error, request.met = self._refusal(error, fate), None


class _CommitFailedError(Exception):
    """The commit itself failed: whether it took place is unknown."""


def _never_checked() -> Unavailable:
    return Unavailable(
        "The values, or the schema that they must match, changed each time that they were checked; nothing was stored."
    )
