"""The completer: commits the ends of attempts, and retries while the database does not take them."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial

import structlog

from rota.clock import Clock
from rota.db.writer import Writer
from rota.domain.json_schema.checks import NotCheckedError
from rota.domain.kv.entries import KvLimits
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import CallEnd, Failed, HandedOff, Outcome
from rota.domain.runs.settlement import Settlement
from rota.engine.attempts.attempt import Attempt
from rota.engine.attempts.end_log import names
from rota.errors import LeaseLost, Unavailable
from rota.store.completion.finish import Finish
from rota.store.completion.handoff import HandOff

log = structlog.get_logger(__name__)

_Ending = Finish | HandOff

_RETRY_AFTER = 1.0
# After so many refusals by the database an end is written without what the handler has made; after twice as many the
# attempt is given up.
_MOST_REFUSED = 5
# Values that are checked ahead of the end may change before it, and are checked again, so often.
_MOST_CHECKS = 200
# The shortest interval (seconds) between two log lines about ends that an absent database did not take.
_LOG_EVERY = 10.0


class Completer:
    """Belongs to the engine's loop. `completed` gets each attempt that has ended, with its settlement.

    The settlement is None if nothing was committed: the lease was lost, or the attempt was given up.
    """

    def __init__(
        self,
        writer: Writer,
        clock: Clock,
        limits: KvLimits,
        *,
        is_held: Callable[[Attempt], bool],
        completed: Callable[[Attempt, Settlement | None], None],
    ) -> None:
        """`is_held`: whether the runner still knows the attempt; if not, its lease is lost."""
        self._loop = asyncio.get_running_loop()
        self._writer = writer
        self._clock = clock
        self._limits = limits
        self._is_held = is_held
        self._completed = completed
        # Ends of abandoned attempts that the database did not take, and that are not logged yet.
        self._unlogged = 0
        self._logged_at: float | None = None

    def complete(self, attempt: Attempt, outcome: CallEnd) -> None:
        """Commit the end of an attempt, or its continuation outside of Rota, with all that its handler has reported."""
        if isinstance(outcome, HandedOff):
            self._submit(attempt, _hand_off(attempt))
        else:
            self._submit(attempt, self._finish(attempt, outcome))

    def _finish(self, attempt: Attempt, outcome: Outcome) -> Finish:
        lines, progress = attempt.take_report()
        return Finish(
            run=attempt.run,
            holder=attempt.holder,
            outcome=outcome,
            lines=lines,
            progress=progress,
            limits=self._limits,
        )

    def _submit(self, attempt: Attempt, finish: _Ending) -> None:
        try:
            self._writer.post(finish, partial(self._on_reply, attempt, finish))
        except Unavailable as error:
            self._retry(attempt, finish, error)

    def _on_reply(
        self,
        attempt: Attempt,
        finish: _Ending,
        settlement: Settlement | datetime,
        error: BaseException | None,
    ) -> None:
        match error:
            case None:
                ended = settlement if isinstance(settlement, Settlement) else None
                self._completed(attempt, ended)
            case LeaseLost():
                # A target may complete an attempt before its own response has arrived.
                write = log.info if attempt.run.token else log.warning
                write("attempt.fenced", **names(attempt.run))
                self._completed(attempt, None)
            case Unavailable():
                self._retry(attempt, finish, error)
            case NotCheckedError() if attempt.checks < _MOST_CHECKS:
                self._check_ahead(attempt, finish, error)
            case _:
                self._on_refusal(attempt, finish, error)

    def _check_ahead(self, attempt: Attempt, finish: _Ending, error: NotCheckedError) -> None:
        """Check the large values that an attempt writes in a thread, then submit its end again."""
        attempt.checks += 1
        checking = self._loop.run_in_executor(None, error.make)
        checking.add_done_callback(lambda _: self._submit(attempt, finish))

    def _retry(self, attempt: Attempt, finish: _Ending, error: Unavailable) -> None:
        """Retry as long as the attempt may still hold its run; the guard of the write detects when it does not."""
        if self._is_held(attempt):
            self._loop.call_later(_RETRY_AFTER, self._submit, attempt, finish)
        else:
            self._log_abandoned(error)

    def _log_abandoned(self, error: Unavailable) -> None:
        """One line for many: a lease that is lost because the database is away is lost for all attempts."""
        self._unlogged += 1
        now = self._clock.monotonic()
        if self._logged_at is None or now - self._logged_at >= _LOG_EVERY:
            log.warning("attempt.not_finished", error=error.detail, attempts=self._unlogged)
            self._unlogged, self._logged_at = 0, now

    def _on_refusal(self, attempt: Attempt, finish: _Ending, error: BaseException) -> None:
        """Retry: if the attempt were given up at once, the run would stay `running` as long as this process lives."""
        attempt.refused += 1
        given_up = attempt.refused >= 2 * _MOST_REFUSED
        log.error(
            "attempt.not_finished",
            error=str(error),
            given_up=given_up,
            **names(attempt.run),
            exc_info=error,
        )
        if given_up or not self._is_held(attempt):
            self._completed(attempt, None)
            return
        if attempt.refused >= _MOST_REFUSED:
            failed = Failed(RunError("finish", f"its end could not be written: {error}"[:500]))
            finish = replace(self._finish(attempt, failed), lines=(), progress=None)
        self._loop.call_later(_RETRY_AFTER, self._submit, attempt, finish)


def _hand_off(attempt: Attempt) -> HandOff:
    lines, progress = attempt.take_report()
    return HandOff(
        run_id=attempt.run.id,
        attempt=attempt.run.attempt,
        holder=attempt.holder,
        lines=lines,
        progress=progress,
    )
