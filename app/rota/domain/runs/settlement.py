"""Settling: what the end of an attempt makes of its run. Pure; the time is an argument."""

from datetime import datetime, timedelta
from typing import assert_never

from rota.domain.policies import RetryPolicy, conflict_interval, retry_interval
from rota.domain.primitives.ids import Id
from rota.domain.primitives.value_class import value_class
from rota.domain.reasons import CancelReason, FailReason
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import (
    AttemptOutcome,
    Blame,
    Cancelled,
    Conflicted,
    Failed,
    Fatal,
    Lost,
    Outcome,
    Released,
    RetryAsked,
    Succeeded,
    TimedOut,
)
from rota.domain.runs.status import RunStatus

# A run that is lost so often, all but the first time in a process that it had to itself, is failed: a poison handler
# must not kill the service for ever, nor take the runs beside it with it.
MOST_LOST = 3
# A handler that says when to try again is not tried sooner, unless its policy is faster by itself.
SHORTEST_WAIT = timedelta(seconds=1)
# A run whose kv writes met somebody else's this often in a row counts the next conflict as a failure.
MOST_CONFLICTS = 20


@value_class(kw_only=True)
class RunFacts:
    """What the end of an attempt has to know of its run."""

    id: Id
    failures: int
    lost_count: int
    conflict_count: int
    first_started_at: datetime
    cancel_reason: CancelReason | None = None


@value_class(kw_only=True)
class Settlement:
    """What the end of an attempt makes of its run."""

    status: RunStatus
    outcome: AttemptOutcome
    reason: str | None = None
    counted: bool = True
    error: RunError | None = None
    result: str | None = None
    not_before: datetime | None = None
    failures: int
    lost_count: int
    conflict_count: int


def settle(run: RunFacts, outcome: Outcome, retry: RetryPolicy, now: datetime) -> Settlement:
    """Decide what `outcome`, at `now`, makes of the run. If the handler finished before a cancel, the finish wins."""
    match outcome:
        case Succeeded():
            return _final(
                run,
                RunStatus.SUCCEEDED,
                AttemptOutcome.SUCCEEDED,
                None,
                result=outcome.result,
            )
        case Fatal():
            return _failed(run, AttemptOutcome.FAILED, outcome.reason, outcome.error)
        case Cancelled():
            reason = run.cancel_reason or CancelReason.REQUESTED
            return _final(run, RunStatus.CANCELLED, AttemptOutcome.CANCELLED, reason)
        case Failed() | TimedOut() | RetryAsked():
            return _after_failure(run, outcome, retry, now)
        case Lost() | Released() | Conflicted():
            return _given_back(run, outcome, retry, now)
        case _:
            assert_never(outcome)


def _after_failure(
    run: RunFacts, outcome: Failed | TimedOut | RetryAsked, retry: RetryPolicy, now: datetime
) -> Settlement:
    ended = _ended_as(outcome)
    failures = run.failures + 1
    if run.cancel_reason is not None:
        return _final(
            run,
            RunStatus.CANCELLED,
            ended,
            run.cancel_reason,
            failures=failures,
            error=outcome.error,
        )
    if failures >= retry.max_attempts:
        return _failed(run, ended, _last_reason(outcome, retry), outcome.error)
    wait = _wait(outcome, retry_interval(retry, failures, run.id))
    not_before = now + wait
    if retry.max_elapsed is not None and not_before > run.first_started_at + retry.max_elapsed:
        return _failed(run, ended, FailReason.DEADLINE, outcome.error)
    return _again(
        run,
        ended,
        counted=True,
        failures=failures,
        error=outcome.error,
        not_before=not_before if wait else None,
    )


def _wait(outcome: Failed | TimedOut | RetryAsked, usual: timedelta) -> timedelta:
    """Return how long to wait for the next attempt; `usual` is what the policy says."""
    asked = outcome.after if isinstance(outcome, RetryAsked) else None
    if asked is None:
        return usual
    if isinstance(outcome, RetryAsked) and outcome.lengthens:
        return max(asked, usual)
    # A handler that asks for no time at all must not be called in a circle, unless the policy wants it so.
    return max(asked, min(usual, SHORTEST_WAIT))


def _given_back(
    run: RunFacts, outcome: Lost | Released | Conflicted, retry: RetryPolicy, now: datetime
) -> Settlement:
    ended = _ended_as(outcome)
    lost_count = _lost_count(run, outcome)
    conflict_count = (
        run.conflict_count + 1 if isinstance(outcome, Conflicted) else run.conflict_count
    )
    error = _given_back_error(outcome)
    if run.cancel_reason is not None:
        return _final(
            run,
            RunStatus.CANCELLED,
            ended,
            run.cancel_reason,
            lost_count=lost_count,
            counted=False,
            error=error,
        )
    if lost_count > run.lost_count and lost_count >= MOST_LOST:
        return _final(
            run,
            RunStatus.FAILED,
            ended,
            FailReason.LOST,
            lost_count=lost_count,
            counted=False,
            error=error,
        )
    if conflict_count > MOST_CONFLICTS and error is not None:
        return _after_failure(run, Failed(error), retry, now)
    delayed = isinstance(outcome, Conflicted)
    return _again(
        run,
        ended,
        counted=False,
        error=error,
        lost_count=lost_count,
        conflict_count=conflict_count,
        not_before=now + conflict_interval(conflict_count, run.id) if delayed else None,
    )


def _lost_count(run: RunFacts, outcome: Lost | Released | Conflicted) -> int:
    """The first loss makes a run a suspect, whoever is to blame; only those that it has alone are held against it."""
    match outcome:
        case Lost(blame=Blame.ALONE):
            return run.lost_count + 1
        case Lost(blame=Blame.SHARED):
            return max(run.lost_count, 1)
        case _:
            return run.lost_count


def _given_back_error(outcome: Lost | Released | Conflicted) -> RunError | None:
    match outcome:
        case Lost(how=str(how)):
            return RunError("lost", how)
        case Lost():
            return RunError(
                "lost",
                "the process that ran this attempt ended, or was silent until its lease was over",
            )
        case Conflicted():
            of = "" if outcome.task is None else f" of task {outcome.task!r}"
            return RunError(
                "kv.conflict", f"the key {outcome.key!r}{of} was changed by somebody else meanwhile"
            )
        case Released():
            return None


def _ended_as(
    outcome: Failed | TimedOut | RetryAsked | Lost | Released | Conflicted,
) -> AttemptOutcome:
    return {
        Failed: AttemptOutcome.FAILED,
        TimedOut: AttemptOutcome.TIMED_OUT,
        RetryAsked: AttemptOutcome.RETRY,
        Lost: AttemptOutcome.LOST,
        Released: AttemptOutcome.RELEASED,
        Conflicted: AttemptOutcome.CONFLICT,
    }[type(outcome)]


def _last_reason(outcome: Failed | TimedOut | RetryAsked, retry: RetryPolicy) -> FailReason:
    if retry.max_attempts > 1:
        return FailReason.ATTEMPTS_EXHAUSTED
    return FailReason.TIMEOUT if isinstance(outcome, TimedOut) else FailReason.ERROR


def _failed(
    run: RunFacts, ended: AttemptOutcome, reason: FailReason, error: RunError
) -> Settlement:
    return _final(run, RunStatus.FAILED, ended, reason, failures=run.failures + 1, error=error)


def _final(
    run: RunFacts,
    status: RunStatus,
    outcome: AttemptOutcome,
    reason: str | None,
    *,
    failures: int | None = None,
    lost_count: int | None = None,
    counted: bool = True,
    error: RunError | None = None,
    result: str | None = None,
) -> Settlement:
    return Settlement(
        status=status,
        outcome=outcome,
        reason=reason,
        counted=counted,
        error=error,
        result=result,
        failures=run.failures if failures is None else failures,
        lost_count=run.lost_count if lost_count is None else lost_count,
        conflict_count=run.conflict_count,
    )


def _again(
    run: RunFacts,
    outcome: AttemptOutcome,
    *,
    counted: bool,
    error: RunError | None,
    failures: int | None = None,
    lost_count: int | None = None,
    conflict_count: int | None = None,
    not_before: datetime | None = None,
) -> Settlement:
    return Settlement(
        status=RunStatus.QUEUED,
        outcome=outcome,
        counted=counted,
        error=error,
        not_before=not_before,
        failures=run.failures if failures is None else failures,
        lost_count=run.lost_count if lost_count is None else lost_count,
        conflict_count=run.conflict_count if conflict_count is None else conflict_count,
    )
