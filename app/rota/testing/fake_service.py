"""A fake of the service: its store in memory, its planning, and an engine on a fake clock, in one thread."""

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
from rota.handlers.discovery import BUILT_IN_HANDLERS
from rota.handlers.registry import RegisteredHandler
from rota.store.completion.attempt_kv import AttemptKv, KvAccess
from rota.store.completion.finish import Finish
from rota.store.handlers import Announce, ReconcileHandlers, describe_handler
from rota.store.replicas import Enlist
from rota.store.runs.claiming.claim import Claim, ReleaseDelayed
from rota.store.runs.claiming.starting import ClaimShortfall
from rota.store.runs.concurrency_keys import Promote
from rota.store.scheduling import constraint_facts, constraint_release
from rota.store.scheduling.due import due_tasks, earliest_due
from rota.store.scheduling.fire import Fire
from rota.testing.attempts import Attempts, Ended
from rota.testing.database import MemoryDatabase
from rota.testing.fake_loop import FakeTimeLoop

_BATCH = 500
_LEASE = timedelta(days=36_500)


class FakeService:
    """Fires, claims, executes and finishes runs, in the order of the fake clock."""

    def __init__(self, now: datetime) -> None:
        self.clock = FakeClock(now)
        self.database = MemoryDatabase(self.clock, self._committed)
        self._kv_access = KvAccess(self.database.read, self.database.do, self.clock)
        self.handlers: dict[str, RegisteredHandler] = {}
        self._holder = random_id()
        self._loop = FakeTimeLoop(self.clock)
        self._attempts = Attempts(self._loop, self.clock, self._kv, self._finish)
        self._next_due: datetime | None = None
        #: Whether a commit requires a step at this instant.
        self._dirty = True
        self._ready: set[str] = set()
        self._full: set[str] = set()
        self._freed: set[str] = set()
        self._constrained = False
        #: The awaited run, and whether it has ended.
        self._awaited: Id | None = None
        self._awaited_ended = False
        #: The runs that have failed since the clock was last moved, in order.
        self.failed: list[Id] = []
        # Tasks can be registered for them, but nothing is sent.
        self.database.do(Announce(tuple(map(describe_handler, BUILT_IN_HANDLERS))))

    def add_handler(self, handler: RegisteredHandler) -> None:
        """Add a handler; it replaces one of the same name."""
        self.handlers[handler.name] = handler
        self.database.do(Announce((describe_handler(handler),)))
        self.database.do(
            Enlist(id=self._holder, host="", pid=0, handlers=tuple(self.handlers), ttl=_LEASE)
        )
        self.database.do(ReconcileHandlers())

    def run_until(self, until: datetime, awaited: Id | None = None) -> None:
        """Execute what is due up to `until`, each at its time; stop earlier when the `awaited` run has ended."""
        self._awaited, self._awaited_ended = awaited, False
        self.failed.clear()
        with _logging_captured():
            _drive(self._loop, self._run_until(until))

    def close(self) -> None:
        """End the attempts in progress, and close the database."""
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        if tasks and asyncio._get_running_loop() is None:  # noqa: SLF001  # a loop cannot run inside another one
            self._loop.call_soon(self._loop.call_soon, self._loop.stop)
            self._loop.run_forever()
        self._loop.close()
        self.database.close()

    def cancel(self, run_id: Id) -> None:
        """Request the end of an attempt in progress."""
        self._loop.call_soon(self._attempts.cancel, run_id)

    async def _run_until(self, until: datetime) -> None:
        while True:
            if self._dirty or self._is_due():
                self._step()
            await self._loop.pass_time(lambda: self._seconds_to(until))
            if self._awaited_ended:
                return
            if not self._dirty and self.clock.now() >= until and not self._is_due():
                return

    def _is_due(self) -> bool:
        return self._next_due is not None and self._next_due <= self.clock.now()

    def _seconds_to(self, until: datetime) -> float:
        if self._dirty or self._awaited_ended:
            return 0.0
        at = until if self._next_due is None else min(until, self._next_due)
        return max((at - self.clock.now()).total_seconds(), 0.0)

    def _step(self) -> None:
        """Do all that is due at this instant, up to the start of attempts."""
        self._fire()
        self._dirty = False
        if self._freed:
            keys, self._freed = tuple(sorted(self._freed)), set()
            self.database.do(Promote(keys))
        if self._constrained:
            self._constrained = False
            self._release_constrained()
        queues, self._ready = sorted(self._ready), set()
        for queue in queues:
            self._claim(queue)

    def _fire(self) -> None:
        """Fire due tasks, and release runs whose next attempt is due."""
        now = self.clock.now()
        if self._dirty:
            self._update_next_due()
        while self._is_due():
            with self.database.read() as connection:
                due = due_tasks(connection, now, _BATCH)
            for each in due:
                self.database.do(Fire(each, plan(each, now)))
            if not due:
                self.database.do(ReleaseDelayed(_BATCH))
            self._update_next_due()

    def _update_next_due(self) -> None:
        with self.database.read() as connection:
            self._next_due = earliest_due(connection)

    def _release_constrained(self) -> None:
        """Release all runs that wait for constraints: only the service evaluates these."""
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
        shortfall = ClaimShortfall.MORE
        while shortfall is ClaimShortfall.MORE:
            claimed = self.database.do(claim)
            for run in claimed.runs:
                self._attempts.begin(run, self.handlers[run.handler])
            shortfall = ClaimShortfall.MORE if len(claimed.runs) == _BATCH else claimed.shortfall
        if shortfall is not ClaimShortfall.NOTHING:
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
            self._dirty = True

    def _kv(self, run: ClaimedRun) -> AttemptKv:
        return AttemptKv(self._kv_access, run, self._holder)

    def _committed(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            self._dirty = self._on_effect(effect) or self._dirty

    def _on_run_ended(self, ended: RunEnded) -> bool:
        if ended.status == RunStatus.FAILED:
            self.failed.append(ended.run_id)
        if ended.run_id != self._awaited:
            return False
        self._awaited_ended = True
        return True

    def _on_effect(self, effect: Effect) -> bool:
        """Process an effect of a commit; return whether a step is required at this instant."""
        match effect:
            case RunEnded():
                return self._on_run_ended(effect)
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


def _drive(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None]) -> None:
    """Run the loop here, or in another thread if a loop (that of an `async` test) runs here."""
    if asyncio._get_running_loop() is None:  # noqa: SLF001  # raises nothing in the usual case
        loop.run_until_complete(work)
        return
    raised: list[BaseException] = []

    def run() -> None:
        try:
            loop.run_until_complete(work)
        except BaseException as error:  # noqa: BLE001  # raised again in the waiting thread
            raised.append(error)

    thread = threading.Thread(target=run, name="rota-driver")
    thread.start()
    thread.join()
    for error in raised:
        raise error


@contextmanager
def _logging_captured() -> Iterator[None]:
    """Keep what handlers log with their runs; pytest captures what they print."""
    capture = JournalHandler()
    logging.getLogger().addHandler(capture)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(capture)
