"""The service in miniature: its store in memory, its planning, and an engine on a fake clock, in one thread."""

import asyncio
import logging
import threading
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from rota.clock import FakeClock
from rota.domain.effects import (
    CancelRequested,
    DueSooner,
    Effect,
    KeysFreed,
    RunEnded,
    RunsConstrained,
    RunsReady,
)
from rota.domain.primitives.ids import Id, random_id
from rota.domain.runs.model import ClaimedRun
from rota.domain.runs.planning import plan
from rota.domain.runs.status import RunStatus
from rota.errors import LeaseLost
from rota.handlers.calls.capture import JournalHandler
from rota.handlers.http.handler import HTTP
from rota.handlers.registry import RegisteredHandler
from rota.store.completion.finish import Finish
from rota.store.handlers import Announce, HandlerInfo, SettleHandlers
from rota.store.replicas import Enlist
from rota.store.runs.claim import Claim, ClaimShortfall, ReleaseDelayed
from rota.store.runs.concurrency_keys import Promote
from rota.store.scheduling import constraint_facts, constraint_release, fire
from rota.store.scheduling.fire import Fire
from rota.testing.attempt_kv import AttemptTables
from rota.testing.attempts import Attempts, Ended
from rota.testing.database import MemoryDatabase
from rota.testing.fake_loop import FakeTimeLoop

_BATCH = 500
_LEASE = timedelta(days=36_500)


class Miniature:
    """Fires, claims, carries out and finishes, in the order of the fake clock."""

    def __init__(self, now: datetime) -> None:
        self.clock = FakeClock(now)
        self.database = MemoryDatabase(self.clock, self._committed)
        self.handlers: dict[str, RegisteredHandler] = {}
        self._holder = random_id()
        self._loop = FakeTimeLoop(self.clock)
        self._attempts = Attempts(self._loop, self.clock, self._tables, self._finish)
        self._next_due: datetime | None = None
        #: Whether a commit has left something to do at once.
        self._stirred = True
        self._ready: set[str] = set()
        self._full: set[str] = set()
        self._freed: set[str] = set()
        self._constrained = False
        #: The run that is waited for, and whether it has ended.
        self._awaited: Id | None = None
        self._over = False
        #: The runs that have failed since the clock was last moved, in their order.
        self.failed: list[Id] = []
        # `http` can be registered for, but nothing here sends anything.
        self.database.do(Announce((_info(HTTP),)))

    def know(self, handler: RegisteredHandler) -> None:
        """Have another handler, in place of one of the same name."""
        self.handlers[handler.name] = handler
        self.database.do(Announce((_info(handler),)))
        self.database.do(
            Enlist(id=self._holder, host="", pid=0, handlers=tuple(self.handlers), ttl=_LEASE)
        )
        self.database.do(SettleHandlers())

    def go_on(self, until: datetime, awaited: Id | None = None) -> None:
        """Carry out all that is due up to `until` at its time, and stop before if the awaited run has ended."""
        self._awaited, self._over = awaited, False
        self.failed.clear()
        with _logging_captured():
            _drive(self._loop, self._go_on(until))

    def close(self) -> None:
        """End what is under way, and let go of the database."""
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        if left and asyncio._get_running_loop() is None:  # noqa: SLF001  # a loop cannot run in another's turn
            self._loop.call_soon(self._loop.call_soon, self._loop.stop)
            self._loop.run_forever()
        self._loop.close()
        self.database.close()

    def cancel(self, run_id: Id) -> None:
        """Ask an attempt that is under way to end."""
        self._loop.call_soon(self._attempts.cancel, run_id)

    async def _go_on(self, until: datetime) -> None:
        while True:
            if self._stirred or self._is_due():
                self._step()
            await self._loop.pass_time(lambda: self._seconds_to(until))
            if self._over:
                return
            if not self._stirred and self.clock.now() >= until and not self._is_due():
                return

    def _is_due(self) -> bool:
        return self._next_due is not None and self._next_due <= self.clock.now()

    def _seconds_to(self, until: datetime) -> float:
        if self._stirred or self._over:
            return 0.0
        at = until if self._next_due is None else min(until, self._next_due)
        return max((at - self.clock.now()).total_seconds(), 0.0)

    def _step(self) -> None:
        """Do all that is to be done at this instant, up to the beginning of attempts."""
        self._fire()
        self._stirred = False
        if self._freed:
            keys, self._freed = tuple(sorted(self._freed)), set()
            self.database.do(Promote(keys))
        if self._constrained:
            self._constrained = False
            self._let_constrained_go()
        queues, self._ready = sorted(self._ready), set()
        for queue in queues:
            self._claim(queue)

    def _fire(self) -> None:
        """Fire what is due, and let runs go whose time to be tried again has come."""
        now = self.clock.now()
        if self._stirred:
            self._look_ahead()
        while self._is_due():
            with self.database.read() as connection:
                due = fire.due_tasks(connection, now, _BATCH)
            for each in due:
                self.database.do(Fire(each, plan(each, now)))
            if not due:
                self.database.do(ReleaseDelayed(_BATCH))
            self._look_ahead()

    def _look_ahead(self) -> None:
        with self.database.read() as connection:
            self._next_due = fire.earliest_due(connection)

    def _let_constrained_go(self) -> None:
        """What a constraint waits for is the service's to find out: here it is there."""
        released = 1
        while released:
            with self.database.read() as connection:
                waiting = constraint_facts.waiting_tasks(connection, limit=_BATCH)
            released = sum(
                self.database.do(constraint_release.Release(each.id, each.generation, _BATCH))
                for each in waiting
            )

    def _claim(self, queue: str) -> None:
        claim = Claim(holder=self._holder, queue=queue, handlers=tuple(self.handlers), limit=_BATCH)
        left = ClaimShortfall.MORE
        while left is ClaimShortfall.MORE:
            claimed = self.database.do(claim)
            for run in claimed.runs:
                self._attempts.begin(run, self.handlers[run.handler])
            left = ClaimShortfall.MORE if len(claimed.runs) == _BATCH else claimed.shortfall
        if left is not ClaimShortfall.NOTHING:
            self._full.add(queue)

    def _finish(self, ended: Ended) -> None:
        finish = Finish(
            run=ended.run,
            holder=self._holder,
            outcome=ended.outcome,
            lines=ended.lines,
            progress=ended.progress,
        )
        try:
            self.database.do(finish)
        except LeaseLost:  # its task was deleted meanwhile
            return
        if self._full:
            self._ready |= self._full
            self._full.clear()
            self._stirred = True

    def _tables(self, run: ClaimedRun) -> AttemptTables:
        return AttemptTables(self.database, self.clock, run, self._holder)

    def _committed(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            self._stirred = self._hear(effect) or self._stirred

    def _hear_of_end(self, ended: RunEnded) -> bool:
        if ended.status == RunStatus.FAILED:
            self.failed.append(ended.run_id)
        if ended.run_id != self._awaited:
            return False
        self._over = True
        return True

    def _hear(self, effect: Effect) -> bool:
        """Take note of what follows from a commit; return whether something is to be done at once."""
        match effect:
            case RunEnded():
                return self._hear_of_end(effect)
            case CancelRequested():
                self.cancel(effect.run_id)
            case RunsReady():
                self._ready.add(effect.queue)
            case KeysFreed():
                self._freed.update(effect.keys)
            case RunsConstrained():
                self._constrained = True
            case DueSooner():
                pass
            case _:
                return False
        return True


def _info(handler: RegisteredHandler) -> HandlerInfo:
    return HandlerInfo(
        name=handler.name,
        description=handler.description,
        input_schema=handler.input_schema,
        timeout=handler.timeout,
        isolation="none",
    )


def _drive(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None]) -> None:
    """Run the loop here, or in a thread of its own if another loop (that of an `async` test) runs here."""
    if asyncio._get_running_loop() is None:  # noqa: SLF001  # without an exception for the usual case
        loop.run_until_complete(work)
        return
    raised: list[BaseException] = []

    def run() -> None:
        try:
            loop.run_until_complete(work)
        except BaseException as error:  # noqa: BLE001  # raised where it is waited for
            raised.append(error)

    thread = threading.Thread(target=run, name="rota-driver")
    thread.start()
    thread.join()
    for error in raised:
        raise error


@contextmanager
def _logging_captured() -> Iterator[None]:
    """Keep what handlers log with their runs; what they print is the test runner's."""
    capture = JournalHandler()
    logging.getLogger().addHandler(capture)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(capture)
