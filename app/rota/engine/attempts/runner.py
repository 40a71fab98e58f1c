"""The runner: carries attempts out and ends each in one transaction.

It lives on the engine's loop, which runs nobody else's code: handlers run elsewhere and report back, so a
time-out fires even while a handler blocks its own loop or thread.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Protocol

import structlog

from rota.clock import Clock
from rota.db.engine import Database
from rota.db.writer import Writer
from rota.domain.json_schema.checks import NotCheckedError
from rota.domain.kv.entries import KvLimits
from rota.domain.primitives.ids import Id
from rota.domain.runs.errors import RunError
from rota.domain.runs.model import ClaimedRun, LogLine, Progress
from rota.domain.runs.outcomes import Cancelled, Failed, Outcome, Released, TimedOut
from rota.domain.runs.settlement import Settlement
from rota.domain.runs.status import Trigger
from rota.engine.attempts.end_log import EndLog, names
from rota.engine.attempts.kv import AttemptTables, Tables
from rota.engine.attempts.outcome_inbox import Reports
from rota.errors import LeaseLost, Locked, Unavailable
from rota.handlers.calls.call import Call
from rota.handlers.calls.journal import AttemptJournal
from rota.handlers.executor import Executor
from rota.handlers.registry import Registry
from rota.metrics import Metrics
from rota.sdk.stop import StopReason
from rota.store.completion.finish import Finish
from rota.store.runs.logs import SaveOutput

log = structlog.get_logger(__name__)

# How long a handler that was asked to end may take before its run is ended without it.
CANCEL_GRACE = 5.0
_RETRY_FINISH_AFTER = 1.0
# An end that the database refuses so often is written without what the handler has made, and given up after twice that.
_MOST_REFUSED = 5
# What is checked ahead of the end may be something else by then, and is checked again, so often.
_MOST_CHECKS = 200
# What writing the ends of a drain may take; whoever takes over gives back what is left.
_LAST_ENDS = 5.0
# How often it is told that ends could not be written because the database is away.
_TOLD_EVERY = 10.0


class Holding(Protocol):
    """The lease under which attempts are held."""

    @property
    def holder(self) -> Id: ...


@dataclass(slots=True, eq=False)
class _Attempt:
    """An attempt under way."""

    run: ClaimedRun
    holder: Id
    journal: AttemptJournal
    #: When it began (monotonic): the clock on the wall may be set meanwhile.
    began: float
    timers: list[asyncio.TimerHandle] = field(default_factory=list)
    settled: bool = False
    #: Whether a note is being committed, and the end that waits for it.
    noting: bool = False
    outcome: Outcome | None = None
    #: What a note that failed was to keep.
    unkept: tuple[tuple[LogLine, ...], Progress | None] = ((), None)
    #: How often the database refused its end for another reason than that the run is not ours.
    refused: int = 0
    checks: int = 0
    #: Whether it still takes a slot: until its handler has ended, and not until that is committed.
    slot: bool = True

    def heard(self) -> tuple[tuple[LogLine, ...], Progress | None]:
        """Take what was said since the last look."""
        earlier, old = self.unkept
        lines, progress = self.journal.take()
        self.unkept = ((), None)
        return (*earlier, *lines), progress or old


class Runner:
    """Begins what was claimed and ends what has ended. Every method belongs to the engine's loop."""

    def __init__(
        self,
        database: Database,
        writer: Writer,
        clock: Clock,
        metrics: Metrics,
        registry: Registry,
        executor: Executor,
        *,
        lease: Holding,
        max_log_bytes: int,
        kv_limits: KvLimits,
        release: Callable[[ClaimedRun], None],
        ended: Callable[[str], None],
    ) -> None:
        """`release` gets the run of an attempt whose handler has ended, `ended` its queue at the commit."""
        self._tables = Tables(database, writer, clock, kv_limits)
        self._writer = writer
        self._clock = clock
        self._metrics = metrics
        self._registry = registry
        self._executor = executor
        self._lease = lease
        self._max_log_bytes = max_log_bytes
        self._release = release
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._log = EndLog(self._loop, clock)
        self._attempts: dict[Id, _Attempt] = {}
        metrics.running.set_function(lambda: len(self._attempts))
        self._idle = asyncio.Event()
        self._idle.set()
        # Ends of abandoned attempts that the database did not take, and have not been told of.
        self._untold = 0
        self._told_at: float | None = None
        self._reports = Reports(self._loop, lambda: len(self._attempts), self._settle)

    def begin(self, claimed: Sequence[ClaimedRun]) -> None:
        """Carry out what was claimed."""
        self._idle.clear()
        calls = [self._call(run) for run in claimed]
        self._reports.expect(self._attempts[run.id] for run in claimed)
        self._executor.begin(calls, self._report)

    def cancel(self, run_id: Id) -> None:
        """Ask a run to end; after a grace it is ended without its handler."""
        attempt = self._attempts.get(run_id)
        if attempt is None or attempt.settled:
            return
        self._executor.cancel(run_id, attempt.run.attempt, force=False, reason=StopReason.CANCELLED)
        by_force = (attempt, Cancelled(), StopReason.CANCELLED)
        attempt.timers.append(self._loop.call_later(CANCEL_GRACE, self._end_by_force, *by_force))

    def abandon(self) -> None:
        """Stop all attempts without a word: their runs have been given back by somebody else."""
        for attempt in list(self._attempts.values()):
            self._stop(attempt, StopReason.LEASE_LOST)
            self._forget(attempt)

    async def drain(self, grace: float) -> None:
        """Wait for the attempts under way, for at most `grace` seconds, then give the rest back."""
        try:
            await self._drain(grace)
        finally:
            self._log.flush()

    async def _drain(self, grace: float) -> None:
        if await self._becomes_idle(grace):
            return
        log.warning("drain.giving_back", runs=len(self._attempts))
        for attempt in list(self._attempts.values()):
            self._end_by_force(attempt, Released(), StopReason.SHUTDOWN)
        if not await self._becomes_idle(_LAST_ENDS):
            log.warning("drain.left", runs=len(self._attempts))

    async def _becomes_idle(self, within: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._idle.wait()
        return self._idle.is_set()

    def give_back(self, run: ClaimedRun) -> bool:
        """Give back a run that is held under our name; False if its attempt is known and under way."""
        if run.id in self._attempts:
            return False
        attempt = _Attempt(run, self._lease.holder, self._journal(), self._clock.monotonic())
        self._idle.clear()
        self._attempts[run.id] = attempt
        self._settle(attempt, Released())
        return True

    async def flush(self) -> None:
        """Keep what running attempts have said so far, so that it can be read and survives a crash."""
        speaking = [attempt for attempt in self._attempts.values() if not attempt.settled]
        noted = (self._note(attempt) for attempt in speaking)
        for error in await asyncio.gather(*noted, return_exceptions=True):
            if isinstance(error, Locked):  # of one run; it is said again with the next note
                log.info("note.locked", error=error.detail)
            elif isinstance(error, BaseException):
                raise error

    async def _note(self, attempt: _Attempt) -> None:
        lines, progress = attempt.heard()
        if not (lines or progress):
            return
        note = SaveOutput(
            run_id=attempt.run.id,
            attempt=attempt.run.attempt,
            holder=attempt.holder,
            lines=lines,
            progress=progress,
        )
        attempt.noting = True
        try:
            kept = await self._writer.run(note)
        except Exception:
            attempt.unkept = (lines, progress)
            raise
        finally:
            attempt.noting = False
            if attempt.outcome is not None:
                self._finish(attempt, attempt.outcome)
        if not kept and not attempt.settled:
            log.warning("attempt.lost", **names(attempt.run))
            self._stop(attempt, StopReason.LEASE_LOST)

    def _call(self, run: ClaimedRun) -> Call:
        attempt = _Attempt(run, self._lease.holder, self._journal(), self._clock.monotonic())
        self._attempts[run.id] = attempt
        timeout = run.definition.timeout.total_seconds()
        attempt.timers.append(self._loop.call_later(timeout, self._expire, attempt))
        if run.attempt == 1 and run.trigger == Trigger.SCHEDULE:
            late = (run.started_at - run.scheduled_for).total_seconds()
            self._metrics.attempt_began(max(late, 0.0))  # negative if the clock was set back
        tables = AttemptTables(self._tables, run, attempt.holder)
        return Call.of(run, self._registry.lookup(run.handler), attempt.journal, tables)

    def _journal(self) -> AttemptJournal:
        return AttemptJournal(self._max_log_bytes, self._clock)

    def _report(self, call: Call, outcome: Outcome) -> None:
        """Take the outcome of a call, in any thread."""
        attempt = self._attempts.get(call.run_id)
        if attempt is None or attempt.run.attempt != call.attempt:
            log.info("attempt.late", run=call.run_id, attempt=call.attempt)
            return
        try:
            self._reports.add(attempt, outcome)
        except RuntimeError:  # the loop is closed; whoever takes over will run it again
            log.info("attempt.late", run=call.run_id, attempt=call.attempt)

    def _expire(self, attempt: _Attempt) -> None:
        limit = attempt.run.definition.timeout
        error = RunError("timeout", f"the attempt took longer than {_told(limit)}")
        self._end_by_force(attempt, TimedOut(error), StopReason.TIMEOUT)

    def _end_by_force(self, attempt: _Attempt, outcome: Outcome, reason: StopReason) -> None:
        """End the attempt now. A thread cannot be stopped, but what it does from here on counts for nothing."""
        if not attempt.settled:
            self._stop(attempt, reason)
            self._settle(attempt, outcome)

    def _stop(self, attempt: _Attempt, reason: StopReason) -> None:
        self._executor.cancel(attempt.run.id, attempt.run.attempt, force=True, reason=reason)

    def _settle(self, attempt: _Attempt, outcome: Outcome) -> None:
        """The first outcome of an attempt counts."""
        if attempt.settled:
            return
        attempt.settled = True
        self._reports.dismiss(attempt)
        for timer in attempt.timers:
            timer.cancel()
        # A note that was committed with the end, or after it, would be that of an attempt which is not ours any more.
        if attempt.noting:
            attempt.outcome = outcome
        else:
            self._finish(attempt, outcome)

    def _free_slot(self, attempt: _Attempt) -> None:
        if attempt.slot:
            attempt.slot = False
            self._release(attempt.run)

    def _finish(self, attempt: _Attempt, outcome: Outcome) -> None:
        lines, progress = attempt.heard()
        finish = Finish(
            run=attempt.run,
            holder=attempt.holder,
            outcome=outcome,
            lines=lines,
            progress=progress,
            limits=self._tables.limits,
        )
        self._submit(attempt, finish)
        # The next claim goes to the writer behind it, and is committed with it or later.
        self._free_slot(attempt)

    def _submit(self, attempt: _Attempt, finish: Finish) -> None:
        try:
            self._writer.post(finish, partial(self._finished, attempt, finish))
        except Unavailable as error:
            self._finish_later(attempt, finish, error)

    def _finished(
        self,
        attempt: _Attempt,
        finish: Finish,
        settlement: Settlement,
        error: BaseException | None,
    ) -> None:
        match error:
            case None:
                self._count(attempt, settlement)
                self._forget(attempt)
            case LeaseLost():
                log.warning("attempt.fenced", **names(attempt.run))
                self._forget(attempt)
            case Unavailable():
                self._finish_later(attempt, finish, error)
            case NotCheckedError() if attempt.checks < _MOST_CHECKS:
                self._check_ahead(attempt, finish, error)
            case _:
                self._finish_otherwise(attempt, finish, error)

    def _check_ahead(self, attempt: _Attempt, finish: Finish, error: NotCheckedError) -> None:
        """Have the large values that an attempt writes checked in a thread, then try its end again."""
        attempt.checks += 1
        checking = self._loop.run_in_executor(None, error.make)
        checking.add_done_callback(lambda _: self._submit(attempt, finish))

    def _is_ours(self, attempt: _Attempt) -> bool:
        return self._attempts.get(attempt.run.id) is attempt

    def _finish_later(self, attempt: _Attempt, finish: Finish, error: Unavailable) -> None:
        """The outcome is not given up while the attempt may still be ours; the guard tells when it is not."""
        if self._is_ours(attempt):
            self._loop.call_later(_RETRY_FINISH_AFTER, self._submit, attempt, finish)
        else:
            self._tell_abandoned(error)

    def _tell_abandoned(self, error: Unavailable) -> None:
        """One line for many: where a lease is lost because the database is away, that is so for all attempts."""
        self._untold += 1
        now = self._clock.monotonic()
        if self._told_at is None or now - self._told_at >= _TOLD_EVERY:
            log.warning("attempt.not_finished", error=error.detail, attempts=self._untold)
            self._untold, self._told_at = 0, now

    def _finish_otherwise(self, attempt: _Attempt, finish: Finish, error: BaseException) -> None:
        """Forgotten at once, the run would stay `running` for as long as this process lives."""
        attempt.refused += 1
        given_up = attempt.refused >= 2 * _MOST_REFUSED
        log.error(
            "attempt.not_finished",
            error=str(error),
            given_up=given_up,
            **names(attempt.run),
            exc_info=error,
        )
        if given_up or not self._is_ours(attempt):
            self._forget(attempt)
            return
        if attempt.refused >= _MOST_REFUSED:
            failed = Failed(RunError("finish", f"its end could not be written: {error}"[:500]))
            finish = replace(finish, outcome=failed, lines=(), progress=None)
        self._loop.call_later(_RETRY_FINISH_AFTER, self._submit, attempt, finish)

    def _forget(self, attempt: _Attempt) -> None:
        attempt.settled = True
        self._reports.dismiss(attempt)
        for timer in attempt.timers:
            timer.cancel()
        if self._is_ours(attempt):
            del self._attempts[attempt.run.id]
            self._free_slot(attempt)
            self._ended(attempt.run.queue)
        if not self._attempts:
            self._idle.set()

    def _count(self, attempt: _Attempt, settlement: Settlement) -> None:
        took = self._clock.monotonic() - attempt.began
        self._metrics.attempt_ended(settlement.outcome, took)
        if settlement.status.final:
            self._metrics.run_ended(settlement.status)
        self._log.ended(attempt.run, settlement, attempt.began)


def _told(duration: timedelta) -> str:
    return f"{duration.total_seconds():g} s"
