"""Settlement: the state of a run after the end of an attempt. Pure; the time is an argument."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import assert_never

from rota.domain.policies import RetryPolicy, conflict_interval, retry_interval
from rota.domain.primitives.value_class import value_class
from rota.domain.reasons import CancelReason, FailReason, WaitingOn
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
    Postponed,
    Released,
    RetryRequested,
    Succeeded,
    TimedOut,
)
from rota.domain.runs.run_facts import RunFacts
from rota.domain.runs.status import RunStatus

# A run whose process ends this often is failed; all losses but the first count only in a process of its own. Otherwise
# a poison handler would kill processes without end, and the runs beside it.
MOST_LOST = 3
# The shortest wait that a handler can request, unless its retry policy has a shorter one.
SHORTEST_WAIT = timedelta(seconds=1)
# After so many conflicts in a row the next one counts as a failure.
MOST_CONFLICTS = 20
#: How long a run waits for a host that is down, from its first start, unless `retry.max_elapsed` says otherwise.
LONGEST_HOST_WAIT = timedelta(days=1)
_LOST = "the process that ran this attempt ended, or was silent until its lease was over"


@value_class(kw_only=True)
class Settlement:
    """The state of a run after the end of an attempt, and how the attempt is recorded."""

    status: RunStatus
    outcome: AttemptOutcome
    reason: str | None = None
    counted: bool = True
    error: RunError | None = None
    result: str | None = None
    #: Of a call over HTTP that succeeded: the seconds of its phases; an error has its own.
    timings: Mapping[str, float] | None = None
    not_before: datetime | None = None
    #: What it waits for until `not_before`, apart from the time.
    waiting_on: str | None = None
    failures: int
    lost_count: int
    conflict_count: int


def settle(run: RunFacts, outcome: Outcome, retry: RetryPolicy, now: datetime) -> Settlement:
    """Return the state of a run after an attempt that ended with `outcome` at `now` (UTC).

    If the handler finished before a cancel took effect, its outcome counts.
    """
    match outcome:
        case Succeeded():
            return _settled(
                run,
                RunStatus.SUCCEEDED,
                AttemptOutcome.SUCCEEDED,
                result=outcome.result,
                timings=outcome.timings,
            )
        case Fatal():
            return _failed(run, AttemptOutcome.FAILED, outcome.reason, outcome.error)
        case Cancelled():
            reason = run.cancel_reason or CancelReason.REQUESTED
            return _settled(run, RunStatus.CANCELLED, AttemptOutcome.CANCELLED, reason)
        case Failed() | TimedOut() | RetryRequested():
            return _after_failure(run, outcome, retry, now)
        case Lost() | Released() | Conflicted():
            return _after_release(run, outcome, retry, now)
        case Postponed():
            return _after_postponement(run, outcome, retry, now)
        case _:
            assert_never(outcome)


def _after_postponement(
    run: RunFacts, outcome: Postponed, retry: RetryPolicy, now: datetime
) -> Settlement:
    """Return the state of a run that may not call its host yet: it is tried a last time when its time is up."""
    last = _last_try(run, outcome, retry)
    status, error = RunStatus.QUEUED, None
    reason: CancelReason | FailReason | None = None
    if run.cancel_reason is not None:
        status, reason = RunStatus.CANCELLED, run.cancel_reason
    elif last is not None and now >= last:
        status, reason, error = RunStatus.FAILED, FailReason.DEADLINE, outcome.error
    waits = status is RunStatus.QUEUED
    return _settled(
        run,
        status,
        outcome.recorded_as,
        reason,
        counted=False,
        error=error,
        not_before=min(outcome.until, last or outcome.until) if waits else None,
        waiting_on=outcome.waiting_on if waits else None,
    )


def _last_try(run: RunFacts, outcome: Postponed, retry: RetryPolicy) -> datetime | None:
    """Return when a run is tried for the last time; None for one whose host is only busy, without `max_elapsed`."""
    longest = retry.max_elapsed
    if longest is None and outcome.waiting_on.startswith(f"{WaitingOn.CIRCUIT}:"):
        longest = LONGEST_HOST_WAIT
    return None if longest is None else run.first_started_at + longest


def _after_failure(
    run: RunFacts, outcome: Failed | TimedOut | RetryRequested, retry: RetryPolicy, now: datetime
) -> Settlement:
    recorded, error = outcome.recorded_as, outcome.error
    failures = run.failures + 1
    if run.cancel_reason is not None:
        return _settled(
            run, RunStatus.CANCELLED, recorded, run.cancel_reason, error=error, failures=failures
        )
    if failures >= retry.max_attempts:
        return _failed(run, recorded, _last_reason(outcome, retry), error)
    wait = _wait(outcome, retry_interval(retry, failures, run.id))
    not_before = now + wait
    if retry.max_elapsed is not None and not_before > run.first_started_at + retry.max_elapsed:
        return _failed(run, recorded, FailReason.DEADLINE, error)
    return _settled(
        run,
        RunStatus.QUEUED,
        recorded,
        error=error,
        not_before=not_before if wait else None,
        failures=failures,
    )


def _wait(outcome: Failed | TimedOut | RetryRequested, usual: timedelta) -> timedelta:
    """Return how long to wait for the next attempt; `usual` is the interval of the retry policy."""
    if not isinstance(outcome, RetryRequested) or outcome.after is None:
        return usual
    if outcome.lengthens:
        return max(outcome.after, usual)
    # A handler that requests no wait must not be called in a loop, unless the policy allows that.
    return max(outcome.after, min(usual, SHORTEST_WAIT))


def _after_release(
    run: RunFacts, outcome: Lost | Released | Conflicted, retry: RetryPolicy, now: datetime
) -> Settlement:
    """Return the state of a run whose attempt does not count."""
    error = _release_error(outcome)
    lost_count = _lost_count(run, outcome)
    status = RunStatus.QUEUED
    reason: CancelReason | FailReason | None = None
    if run.cancel_reason is not None:
        status, reason = RunStatus.CANCELLED, run.cancel_reason
    elif lost_count > run.lost_count and lost_count >= MOST_LOST:
        status, reason = RunStatus.FAILED, FailReason.LOST
    elif isinstance(outcome, Conflicted):
        return _after_conflict(run, outcome, retry, now)
    return _settled(
        run,
        status,
        outcome.recorded_as,
        reason,
        counted=False,
        error=error,
        lost_count=lost_count,
    )


def _after_conflict(
    run: RunFacts, outcome: Conflicted, retry: RetryPolicy, now: datetime
) -> Settlement:
    error, count = _conflict(outcome), run.conflict_count + 1
    if count > MOST_CONFLICTS:
        return _after_failure(run, Failed(error), retry, now)
    return _settled(
        run,
        RunStatus.QUEUED,
        outcome.recorded_as,
        counted=False,
        error=error,
        not_before=now + conflict_interval(count, run.id),
        conflict_count=count,
    )


def _lost_count(run: RunFacts, outcome: Lost | Released | Conflicted) -> int:
    """Return how many losses count against a run: the first one, and those in a process of its own."""
    match outcome:
        case Lost(blame=Blame.ALONE):
            return run.lost_count + 1
        case Lost(blame=Blame.SHARED):
            return max(run.lost_count, 1)
        case Lost() | Released() | Conflicted():
            return run.lost_count
        case _:
            assert_never(outcome)


def _release_error(outcome: Lost | Released | Conflicted) -> RunError | None:
    match outcome:
        case Lost():
            return RunError("lost", _LOST if outcome.how is None else outcome.how)
        case Conflicted():
            return _conflict(outcome)
        case Released():
            return None
        case _:
            assert_never(outcome)


def _conflict(outcome: Conflicted) -> RunError:
    of = "" if outcome.task is None else f" of task {outcome.task!r}"
    return RunError(
        "kv.conflict", f"the key {outcome.key!r}{of} was changed by another writer meanwhile"
    )


def _last_reason(outcome: Failed | TimedOut | RetryRequested, retry: RetryPolicy) -> FailReason:
    if retry.max_attempts > 1:
        return FailReason.ATTEMPTS_EXHAUSTED
    return FailReason.TIMEOUT if isinstance(outcome, TimedOut) else FailReason.ERROR


def _failed(
    run: RunFacts, recorded: AttemptOutcome, reason: FailReason, error: RunError
) -> Settlement:
    failures = run.failures + 1
    return _settled(run, RunStatus.FAILED, recorded, reason, error=error, failures=failures)


def _settled(
    run: RunFacts,
    status: RunStatus,
    outcome: AttemptOutcome,
    reason: CancelReason | FailReason | None = None,
    *,
    counted: bool = True,
    error: RunError | None = None,
    result: str | None = None,
    timings: Mapping[str, float] | None = None,
    not_before: datetime | None = None,
    waiting_on: str | None = None,
    failures: int | None = None,
    lost_count: int | None = None,
    conflict_count: int | None = None,
) -> Settlement:
    """Return a settlement with the counters of the run, except for those that are given."""
    return Settlement(
        status=status,
        outcome=outcome,
        reason=reason,
        counted=counted,
        error=error,
        result=result,
        timings=timings,
        not_before=not_before,
        waiting_on=waiting_on,
        failures=run.failures if failures is None else failures,
        lost_count=run.lost_count if lost_count is None else lost_count,
        conflict_count=run.conflict_count if conflict_count is None else conflict_count,
    )
