"""The one writer of a process: a thread that commits commands in groups.

While one transaction is being committed the commands that arrive queue up and share the next one. Commands
are data; a batched one carries out n of its kind with a few statements. A command that fails does not fail its
neighbours: the group is rolled back and done again one by one, each in a savepoint, still with one commit.

On PostgreSQL a row that a command needs may be locked by somebody else. Such a lock is waited for only briefly, since
all of a group would wait: the commands that meet it are put back and tried again a little later, in groups of their
own, until their time is up; the others are committed without them.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar

import structlog
from sqlalchemy import Connection, Engine, NestedTransaction, text
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from rota.clock import Clock
from rota.db import failures
from rota.db.batching import Settle, Waiting, answer, next_batch, settle_future
from rota.db.lock_retries import FIRST_PAUSE, PutBack
from rota.db.results import Countdown, Reply
from rota.domain.effects import Effect
from rota.domain.json_schema.checks import NotCheckedError
from rota.errors import Unavailable
from rota.metrics import Metrics

log = structlog.get_logger(__name__)

R = TypeVar("R")

MOST_TOGETHER = 512
MOST_WAITING = 20_000
_TRIES = 3
# What is checked ahead of a commit may be something else by then, and is checked again, so often.
_MOST_CHECKS = 200
# What a command waits for a lock that others hold when the group is done one by one: the group has waited already.
# Where several have met one, the rest only look: what they wait, all behind them wait.
_LOOK_BRIEFLY = text("SET LOCAL lock_timeout = '20ms'")
_LOOK_ONLY = text("SET LOCAL lock_timeout = '1ms'")
_MOST_BRIEF_LOOKS = 5


@dataclass(slots=True)
class Transaction:
    """What a command works with: the connection, one time for all of the group, and the effects to hand on."""

    connection: Connection
    now: datetime
    effects: list[Effect] = field(default_factory=list)
    #: How many of the effects have been followed up (`Writer(follow_up=...)`).
    followed_up: int = 0

    @property
    def is_sqlite(self) -> bool:
        return self.connection.dialect.name == "sqlite"

    @contextmanager
    def savepoint(self) -> Iterator[NestedTransaction]:
        """Keep what is written inside, and its effects, unless it raises or rolls the savepoint back."""
        effects, followed_up = len(self.effects), self.followed_up
        try:
            with self.connection.begin_nested() as savepoint:
                yield savepoint
                kept = savepoint.is_active
            if not kept:
                self._take_back(effects, followed_up)
        except BaseException:
            self._take_back(effects, followed_up)
            raise

    def _take_back(self, effects: int, followed_up: int) -> None:
        del self.effects[effects:]
        self.followed_up = followed_up


FollowUp = Callable[[Transaction], None]


class StaleError(Exception):
    """What a command has read was changed by another replica before it wrote: the same again may well succeed."""


class Command(Generic[R]):
    """A write. Subclasses are frozen data with an `apply`, or, if there will be many, an `apply_all`."""

    batched: ClassVar[bool] = False
    #: Whether it is tried again for a while if what it needs is locked by others; if not, its caller is told at once.
    patient: ClassVar[bool] = True

    def apply(self, tx: Transaction) -> R:
        """Carry out this one command; what it raises is what its caller gets, and nothing of it is kept."""
        made = self.apply_all(tx, [self])[0]
        if isinstance(made, Exception):
            raise made
        return made

    @classmethod
    def apply_all(cls, tx: Transaction, commands: Sequence[Any]) -> Sequence[R | Exception]:
        """Carry out several; raise if any of them is in doubt, and they are done again one by one.

        The answer to one that was left out, and of which nothing was written, may be an exception: its caller gets it.
        """
        return [command.apply(tx) for command in commands]


@dataclass(slots=True, kw_only=True)
class _Waiting(Waiting):
    command: Command[Any]
    #: The lock of somebody else's that it has met in the transaction that is under way.
    met: Exception | None = None
    until: float | None = None
    pause: float = FIRST_PAUSE


class Writer:
    """Owns the writing connection. `on_commit` gets the effects of each commit, in the writer's thread.

    `follow_up` is called after each command (after all of one kind that are applied together), in its transaction: it
    writes what follows from the effects. `before_commit` is called with each transaction that has effects.
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
        note: Callable[[BaseException], None] | None = None,
    ) -> None:
        """`note` hears of each error of the database."""
        self._note = note
        self._follow_up = follow_up
        self._before_commit = before_commit
        self._engine = engine
        self._clock = clock
        self._on_commit = on_commit
        self._metrics = metrics or Metrics()
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._put_back = PutBack[_Waiting]()
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
        """Commit `command` and return its answer; raises what it raised, or Unavailable.

        Large values are checked in a thread, and not while others wait for their commits.
        """
        for _ in range(_MOST_CHECKS):
            try:
                return await self.submit(command)
            except NotCheckedError as error:
                await asyncio.to_thread(error.make)
        raise _never_checked()

    def call(self, command: Command[R]) -> R:
        """The same from a thread, which waits."""
        for _ in range(_MOST_CHECKS):
            try:
                return self.call_all([command])[0].result()
            except NotCheckedError as error:
                error.make()
        raise _never_checked()

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
        while True:
            batch = next_batch(self._queue, MOST_TOGETHER, self._put_back.next_in())
            if batch is None:
                break
            self._carry_out(batch)
            self._carry_out(self._put_back.take_due(MOST_TOGETHER))
        self._carry_out(self._put_back.take_all())

    def _carry_out(self, batch: list[_Waiting]) -> None:
        if not batch:
            return
        effects = self._commit(batch)
        self._metrics.commits.inc()
        self._hand_on(effects)
        done = [waiting for waiting in batch if waiting.met is None or self._is_over(waiting)]
        self._metrics.writes.inc(len(done))
        answer(done)

    def _is_over(self, waiting: _Waiting) -> bool:
        """Put a command back that has met a lock, unless its time is up: then its caller is told of it."""
        met, waiting.met = waiting.met, None
        if waiting.command.patient and self._put_back.take(waiting):
            return False
        log.info("writer.locked", command=type(waiting.command).__name__, error=str(met)[:300])
        waiting.error = self._refusal(met, "was not stored")
        return True

    def _commit(self, batch: list[_Waiting]) -> list[Effect]:
        together = True
        problem: Exception | None = None
        for tries_left in reversed(range(_TRIES)):
            try:
                return self._attempt(batch, together=together, last=tries_left == 0)
            except _CommitFailedError as error:
                self._fail(batch, error.__cause__, "may or may not have been stored")
                return []
            except Exception as error:  # noqa: BLE001  # nothing that a command does may end the writer
                problem = error
                if failures.is_damage(error) and len(batch) > 1:
                    # SQLite does not commit a transaction that has met a broken page. Who needs none of it is served.
                    return [effect for each in batch for effect in self._commit([each])]
                if not (failures.concerns_one(error) or _transient(error)):
                    break
                if len(batch) == 1 and self._settles(batch[0], error):
                    return []
                log.info("writer.one_by_one", commands=len(batch), error=repr(error)[:300])
                together = False
        self._fail(batch, problem, "was not stored")
        return []

    def _settles(self, waiting: _Waiting, error: Exception) -> bool:
        """Note what became of a lone command, unless it is to be done again at once."""
        if failures.met_others(error):
            waiting.met = error
        elif _transient(error):
            return False
        else:
            waiting.error = self._told(error)
        return True

    def _attempt(self, batch: list[_Waiting], *, together: bool, last: bool) -> list[Effect]:
        with self._engine.connect() as connection, connection.begin() as transaction:
            tx = Transaction(connection, self._clock.now())
            one_by_one = _OneByOne(tx, self._told, self._follow_up, last=last)
            # Where somebody holds a lock already, nobody waits for it once more.
            if not together or self._put_back or batch[0].until is not None:
                one_by_one.look_briefly()
            for group in _groups(batch):
                # A lone command needs no savepoint: if it fails, all that is rolled back is its own.
                if len(batch) == 1 or (together and group[0].command.batched):
                    _apply_together(tx, group, self._follow_up)
                else:
                    for waiting in group:
                        one_by_one.apply(waiting)
            if self._before_commit is not None and tx.effects:
                self._before_commit(tx)
            try:
                transaction.commit()
            except SQLAlchemyError as error:
                # It may still be in its transaction, and SQLAlchemy would not roll it back.
                connection.invalidate()
                raise _CommitFailedError from error
        return tx.effects

    def _told(self, error: Exception) -> Exception:
        """Return what the caller of a command gets that failed: a fault of the database is not one in the command."""
        if not failures.is_outage(error):
            return error
        log.error("writer.refused", error=str(error)[:500])
        return self._refusal(error, "was not stored")

    def _refusal(self, error: BaseException | None, fate: str) -> Unavailable:
        if self._note is not None and error is not None:
            self._note(error)
        refusal = failures.not_written(error, self._engine.url, fate)
        refusal.__cause__ = error
        return refusal

    def _fail(self, batch: list[_Waiting], error: BaseException | None, fate: str) -> None:
        log.error("writer.failed", commands=len(batch), fate=fate, error=str(error)[:500])
        for waiting in batch:
            waiting.error, waiting.met = self._refusal(error, fate), None

    def _hand_on(self, effects: Sequence[Effect]) -> None:
        if not effects:
            return
        try:
            self._on_commit(effects)
        except Exception:
            log.exception("effects.failed")


class _CommitFailedError(Exception):
    """The commit itself failed: nobody knows whether it took place."""


def _never_checked() -> Unavailable:
    return Unavailable(
        "The values, or the schema that they are to fit, changed each time that they were checked; nothing was stored."
    )


def _groups(batch: Iterable[_Waiting]) -> Iterable[list[_Waiting]]:
    """Gather commands of one kind. Nobody has been answered yet, so any order between kinds is a right one."""
    groups: dict[type, list[_Waiting]] = {}
    for waiting in batch:
        groups.setdefault(type(waiting.command), []).append(waiting)
    return groups.values()


def _apply_together(tx: Transaction, group: list[_Waiting], follow_up: FollowUp) -> None:
    commands = [waiting.command for waiting in group]
    answers = type(commands[0]).apply_all(tx, commands)
    follow_up(tx)
    for waiting, made in zip(group, answers, strict=True):
        left_out = made if isinstance(made, Exception) else None
        waiting.answer, waiting.error, waiting.met = made, left_out, None


class _OneByOne:
    """Carries commands out each in a savepoint; what one of them meets is no matter of the others."""

    def __init__(
        self,
        tx: Transaction,
        told: Callable[[Exception], Exception],
        follow_up: FollowUp,
        *,
        last: bool,
    ) -> None:
        self._tx = tx
        self._told = told
        self._follow_up = follow_up
        self._last = last
        self._met = 0

    def look_briefly(self) -> None:
        """Wait for locks even less than the group has."""
        if not self._tx.is_sqlite:
            self._tx.connection.execute(_LOOK_BRIEFLY)

    def apply(self, waiting: _Waiting) -> None:
        waiting.answer, waiting.error, waiting.met = None, None, None
        try:
            with self._tx.savepoint():
                answer = waiting.command.apply(self._tx)
                self._follow_up(self._tx)
        except Exception as error:
            if self._ends_transaction(error):
                raise
            self._settle(waiting, error)
        else:
            waiting.answer = answer

    def _ends_transaction(self, error: Exception) -> bool:
        if failures.met_others(error):
            return False
        # What another replica has taken is looked at again, but not for ever at the neighbours' cost.
        if _transient(error):
            return not (self._last and isinstance(error, IntegrityError))
        return not failures.concerns_one(error)

    def _settle(self, waiting: _Waiting, error: Exception) -> None:
        if not failures.met_others(error):
            waiting.error = self._told(error)
            return
        waiting.met = error
        self._met += 1
        if self._met == _MOST_BRIEF_LOOKS:
            self._tx.connection.execute(_LOOK_ONLY)


def _transient(error: Exception) -> bool:
    """Whether the same again may well succeed; safe, since nothing was committed."""
    return isinstance(error, StaleError) or failures.is_transient(error)
