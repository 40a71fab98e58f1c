"""The runner: executes attempts, from the claim to the commit of their outcome.

It lives on the engine's loop, which runs no handler code: handlers run elsewhere and report back, so a timeout fires
even while a handler blocks its own loop or thread.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

import structlog

from rota.domain.effects import OutsideAttemptEnded
from rota.domain.kv.entries import KvLimits
from rota.domain.primitives.ids import Id
from rota.domain.runs.errors import RunError
from rota.domain.runs.model import ClaimedRun
from rota.domain.runs.outcomes import CallEnd, Cancelled, Outcome, Released, TimedOut
from rota.domain.runs.settlement import Settlement
from rota.engine.attempts.attempt import Attempt
from rota.engine.attempts.completer import Completer
from rota.engine.attempts.end_log import EndLog, Named, names
from rota.engine.attempts.outcome_inbox import OutcomeInbox
from rota.engine.leases import Lease
from rota.engine.resources import Resources
from rota.errors import Locked
from rota.handlers.calls.call import Call
from rota.handlers.calls.journal import AttemptJournal
from rota.sdk.stop import StopReason
from rota.store.completion.attempt_kv import AttemptKv, KvAccess
from rota.store.runs.logs import SaveOutput

log = structlog.get_logger(__name__)

# How many seconds a handler that is requested to end may take before its run is ended without it.
CANCEL_GRACE = 5.0
# How many seconds after its timeout a call of `http` is ended by force: until then it ends itself, and its own end says
# in which phase it was, and what that shows about the host.
_OWN_END = 0.5
# How many seconds writing the ends of a drain may take; other replicas release what is left.
_LAST_ENDS = 5.0


class Runner:
    """Begins claimed attempts and ends those whose outcome is known. Every method belongs to the engine's loop."""

    def __init__(
        self,
        resources: Resources,
        lease: Lease,
        *,
        free_slot: Callable[[ClaimedRun], None],
        ended: Callable[[str], None],
    ) -> None:
        """`free_slot` gets the run of an attempt whose handler has ended, `ended` its queue at the commit."""
        limits = KvLimits.of(resources.settings)
        self._resources = resources
        self._clock = resources.clock
        self._kv_access = KvAccess(
            resources.database.read, resources.writer.call, self._clock, limits
        )
        self._lease = lease
        self._free = free_slot
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._log = EndLog(self._loop, self._clock)
        self._attempts: dict[Id, Attempt] = {}
        resources.metrics.running.set_function(lambda: len(self._attempts))
        self._idle = asyncio.Event()
        self._idle.set()
        self._inbox = OutcomeInbox(self._loop, lambda: len(self._attempts), self._settle)
        self._completer = Completer(
            resources.writer, self._clock, limits, is_held=self._is_held, completed=self._completed
        )

    def begin(self, claimed: Sequence[ClaimedRun]) -> None:
        """Execute the attempts of claimed runs."""
        calls = [self._call(run) for run in claimed]
        self._inbox.expect(self._attempts[run.id] for run in claimed)
        self._resources.executor.begin(calls, self._report)

    def cancel(self, run_id: Id) -> None:
        """Request a run to end; after a grace period it is ended without its handler."""
        attempt = self._attempts.get(run_id)
        if attempt is None or attempt.settled:
            return
        self._stop(attempt, StopReason.CANCELLED, force=False)
        by_force = (attempt, Cancelled(), StopReason.CANCELLED)
        attempt.timers.append(self._loop.call_later(CANCEL_GRACE, self._end_by_force, *by_force))

    def abandon(self) -> None:
        """Stop all attempts and write nothing: other replicas have released their runs."""
        for attempt in list(self._attempts.values()):
            self._stop(attempt, StopReason.LEASE_LOST)
            self._forget(attempt)

    async def drain(self, grace: float) -> None:
        """Wait for the attempts in progress, for at most `grace` seconds, then release the rest."""
        try:
            await self._drain(grace)
        finally:
            self._log.flush()

    async def _drain(self, grace: float) -> None:
        if await self._becomes_idle(grace):
            return
        log.warning("drain.releasing", runs=len(self._attempts))
        for attempt in list(self._attempts.values()):
            self._end_by_force(attempt, Released(), StopReason.SHUTDOWN)
        if not await self._becomes_idle(_LAST_ENDS):
            log.warning("drain.left", runs=len(self._attempts))

    async def _becomes_idle(self, within: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._idle.wait()
        return self._idle.is_set()

    def release(self, run: ClaimedRun) -> bool:
        """Release a run that this process holds; False if its attempt is known and in progress."""
        known = self._attempts.get(run.id)
        if known is not None and known.run.attempt == run.attempt:
            return False
        self._settle(self._add(run), Released())
        return True

    def ended_outside(self, ended: OutsideAttemptEnded) -> None:
        """Count and log the end of an attempt that no process of ours executed."""
        self._record(ended, ended.settlement, ended.seconds)

    async def flush(self) -> None:
        """Store what running attempts have reported so far, so that it can be read and survives a crash."""
        running = [attempt for attempt in self._attempts.values() if not attempt.settled]
        noted = (self._note(attempt) for attempt in running)
        for error in await asyncio.gather(*noted, return_exceptions=True):
            if isinstance(error, Locked):  # of one run; it is stored with the next note
                log.info("note.locked", error=error.detail)
            elif isinstance(error, BaseException):
                raise error

    async def _note(self, attempt: Attempt) -> None:
        lines, progress = attempt.take_report()
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
            stored = await self._resources.writer.run(note)
        except Exception:
            attempt.unstored = (lines, progress)
            raise
        finally:
            attempt.noting = False
            if attempt.outcome is not None:
                self._complete(attempt, attempt.outcome)
        if not stored and not attempt.settled:
            log.warning("attempt.lost", **names(attempt.run))
            self._stop(attempt, StopReason.LEASE_LOST)

    def _add(self, run: ClaimedRun) -> Attempt:
        older = self._attempts.get(run.id)
        if older is not None:
            self._supersede(older)
        self._idle.clear()
        journal = AttemptJournal(self._resources.settings.max_log_bytes, self._clock)
        attempt = Attempt(run, self._lease.holder, journal, self._clock.monotonic())
        self._attempts[run.id] = attempt
        return attempt

    def _supersede(self, attempt: Attempt) -> None:
        """Stop an attempt whose run has another one: its target has completed it before its own response arrived."""
        log.info("attempt.fenced", **names(attempt.run))
        self._stop(attempt, StopReason.LEASE_LOST)
        self._forget(attempt)

    def _call(self, run: ClaimedRun) -> Call:
        attempt = self._add(run)
        timeout = run.definition.timeout.total_seconds()
        ends_itself = run.definition.target is not None
        by_force = timeout + _OWN_END if ends_itself else timeout
        attempt.timers.append(self._loop.call_later(by_force, self._expire, attempt))
        late = run.lateness
        if late is not None:
            self._resources.metrics.attempt_began(late.total_seconds())
        kv = AttemptKv(self._kv_access, run, attempt.holder)
        handler = self._resources.registry.lookup(run.handler)
        return Call(run, handler, attempt.journal, kv, attempt.began + timeout)

    def _report(self, call: Call, outcome: CallEnd) -> None:
        """Take the outcome of a call, in any thread."""
        attempt = self._attempts.get(call.run_id)
        if attempt is None or attempt.run.attempt != call.attempt:
            log.info("attempt.late", run=call.run_id, attempt=call.attempt)
            return
        try:
            self._inbox.add(attempt, outcome)
        except RuntimeError:  # the loop is closed; the replica that takes over runs it again
            log.info("attempt.late", run=call.run_id, attempt=call.attempt)

    def _expire(self, attempt: Attempt) -> None:
        seconds = attempt.run.definition.timeout.total_seconds()
        error = RunError("timeout", f"the attempt took longer than {seconds:g} s")
        self._end_by_force(attempt, TimedOut(error), StopReason.TIMEOUT)

    def _end_by_force(self, attempt: Attempt, outcome: Outcome, reason: StopReason) -> None:
        """End the attempt now. A thread cannot be stopped, but what it does from now on has no effect."""
        if not attempt.settled:
            self._stop(attempt, reason)
            self._settle(attempt, outcome)

    def _stop(self, attempt: Attempt, reason: StopReason, *, force: bool = True) -> None:
        run = attempt.run
        self._resources.executor.cancel(run.id, run.attempt, force=force, reason=reason)

    def _settle(self, attempt: Attempt, outcome: CallEnd) -> None:
        """Complete an attempt with its first outcome; later ones are ignored."""
        if attempt.settled:
            return
        self._end(attempt)
        # A note that is committed with the end, or after it, would be refused: the attempt does not hold the run then.
        if attempt.noting:
            attempt.outcome = outcome
        else:
            self._complete(attempt, outcome)

    def _complete(self, attempt: Attempt, outcome: CallEnd) -> None:
        self._completer.complete(attempt, outcome)
        # The next claim is enqueued behind the end, and is committed with it or later.
        self._free_slot(attempt)

    def _completed(self, attempt: Attempt, settlement: Settlement | None) -> None:
        if settlement is not None:
            took = self._clock.monotonic() - attempt.began
            self._record(attempt.run, settlement, took)
        self._forget(attempt)

    def _record(self, run: Named, settlement: Settlement, seconds: float) -> None:
        self._resources.metrics.attempt_ended(settlement.outcome, seconds)
        self._log.ended(run, settlement, seconds)

    def _is_held(self, attempt: Attempt) -> bool:
        return self._attempts.get(attempt.run.id) is attempt

    def _end(self, attempt: Attempt) -> None:
        attempt.settled = True
        self._inbox.dismiss(attempt)
        for timer in attempt.timers:
            timer.cancel()

    def _free_slot(self, attempt: Attempt) -> None:
        if attempt.slot:
            attempt.slot = False
            self._free(attempt.run)

    def _forget(self, attempt: Attempt) -> None:
        self._end(attempt)
        if self._is_held(attempt):
            del self._attempts[attempt.run.id]
            self._free_slot(attempt)
            self._ended(attempt.run.queue)
        if not self._attempts:
            self._idle.set()
