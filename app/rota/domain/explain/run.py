"""Explanations of runs: what a run waits for, and how it ended."""

from datetime import datetime
from typing import Literal, assert_never

from rota.domain.explain.attempts import attempts_before
from rota.domain.explain.holds import holding, named, until
from rota.domain.explain.model import Explanation, Facts, QueueState, Verdict
from rota.domain.explain.skipped import skipped
from rota.domain.primitives.texts import english
from rota.domain.primitives.times.instants import format_instant
from rota.domain.reasons import (
    CancelReason,
    ExplainedReason,
    FailReason,
    WaitingOn,
    known,
)
from rota.domain.runs.model import Run
from rota.domain.runs.status import RunStatus
from rota.domain.tasks.definition import TaskStatus


def of_run(facts: Facts, at: datetime, run: Run, *, expected: bool) -> Explanation:
    """Return the explanation of a run, for a question about `at` (UTC)."""
    verdict, reason, message = _verdict(facts, run)
    waits = verdict in {Verdict.WAITING, Verdict.BLOCKED, Verdict.PAUSED}
    before = attempts_before(run, facts.attempts, last_too=waits)
    return Explanation(
        at, expected, verdict, reason, " ".join(filter(None, (message, before))), run
    )


def _verdict(facts: Facts, run: Run) -> tuple[Verdict, str | None, str]:
    match run.status:
        case RunStatus.RUNNING:
            outside = None if run.lease_expires_at is None else WaitingOn.COMPLETION
            return Verdict.RUNNING, outside, _running(run)
        case RunStatus.QUEUED:
            return _queued(facts, run)
        case RunStatus.BLOCKED:
            return _blocked(facts, run)
        case RunStatus.SKIPPED:
            return Verdict.SKIPPED, run.reason, skipped(facts, run)
        case RunStatus.SUCCEEDED | RunStatus.FAILED | RunStatus.CANCELLED:
            return _ended(run, run.status)
        case _:
            assert_never(run.status)


def _ended(
    run: Run, status: Literal[RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED]
) -> tuple[Verdict, str | None, str]:
    ended = _at(run.finished_at)
    match status:
        case RunStatus.SUCCEEDED:
            return Verdict.RAN, None, f"It ran: {_started(run)} succeeded at {ended}."
        case RunStatus.FAILED:
            message = (
                f"It ran and failed at {ended}: {_why_failed(run)}{_error(run)}. "
                f"POST /v1/runs/{run.id}/rerun runs it again."
            )
            return Verdict.FAILED, run.reason, message
        case RunStatus.CANCELLED:
            message = f"Its run was cancelled at {ended}: {_why_cancelled(run)}."
            return Verdict.CANCELLED, run.reason, message
        case _:
            assert_never(status)


def _running(run: Run) -> str:
    message = f"Attempt {run.attempt} has been running since {_at(run.started_at)}."
    if run.lease_expires_at is not None:
        message += (
            " It continues outside of Rota, and times out unless it is completed, or a heartbeat extends it, by "
            f"{_at(run.lease_expires_at)}."
        )
    if run.cancel_requested_at is not None:
        message += f" A cancel was requested at {_at(run.cancel_requested_at)}."
    return message


def _why_failed(run: Run) -> str:  # noqa: C901, PLR0911  # a table of cases
    reason = known(FailReason, run.reason)
    match reason:
        case FailReason.ERROR:
            return "its only attempt failed"
        case FailReason.FATAL:
            return "its handler ruled out another attempt"
        case FailReason.TIMEOUT:
            return "its only attempt took longer than the timeout"
        case FailReason.ATTEMPTS_EXHAUSTED:
            return "all attempts that retry.max_attempts allows have failed"
        case FailReason.LOST:
            return "several of its attempts were lost: their processes ended, or did not renew their leases"
        case FailReason.TARGET_GONE:
            return "its target answered 410, gone"
        case FailReason.DEADLINE:
            return "retry.max_elapsed, or a day of waiting for a host that is down, had passed"
        case None:
            return run.reason or ""
        case _:
            assert_never(reason)


def _why_cancelled(run: Run) -> str:
    reason = known(CancelReason, run.reason)
    match reason:
        case CancelReason.REQUESTED:
            return "a cancel was requested"
        case CancelReason.REPLACED:
            return "a later run, or a registration, took its place"
        case CancelReason.TASK_CANCELLED:
            return "its task was cancelled"
        case CancelReason.TASK_DELETED:
            return "its task was deleted"
        case None:
            return run.reason or ""
        case _:
            assert_never(reason)


def _error(run: Run) -> str:
    return "" if run.error is None else f" ({run.error.type}: {run.error.message[:200]})"


def _started(run: Run) -> str:
    """Return when the first attempt started, and of several attempts which one ended."""
    late = "" if run.lateness is None else f", {_late(run)}"
    started = f"started at {_at(run.first_started_at)}{late},"
    if run.attempt <= 1:
        return started
    return f"{started} and attempt {run.attempt}, which started at {_at(run.started_at)},"


def _late(run: Run) -> str:
    late = run.lateness
    seconds = 0.0 if late is None else late.total_seconds()
    return f"{seconds:.3f} s after its fire time"


def _queued(facts: Facts, run: Run) -> tuple[Verdict, str | None, str]:
    if run.not_before is not None and run.not_before > facts.now:
        when = _at(run.not_before)
        if run.waiting_on:
            return _waits_for_host(run, when)
        if run.failures:
            message = f"Attempt {run.attempt} did not succeed{_error(run)}; the next one starts at {when}."
            return Verdict.RETRYING, None, message
        return Verdict.WAITING, ExplainedReason.NOT_BEFORE, f"Its run waits for its time, {when}."
    if (hold := holding(facts, run)) is not None:
        message = f"Its task is held by the {named(hold)}: it waits until {until(hold)}."
        return Verdict.WAITING, WaitingOn.HOLD, message
    reason, message = _held(facts)
    return Verdict.WAITING, reason, message


def _waits_for_host(run: Run, when: str) -> tuple[Verdict, str | None, str]:
    kind, _, host = run.waiting_on[0].partition(":")
    message = (
        f"Its host {host} does not answer: its circuit is open"
        if kind == WaitingOn.CIRCUIT
        else f"Its host {host} takes no more calls at the moment"
    )
    return Verdict.WAITING, kind, f"{message}. It is tried again at {when}; no attempt is used up."


def _held(facts: Facts) -> tuple[str, str]:
    """Return the reason why a run that could start is not claimed yet, and a sentence on it."""
    queue, key = facts.queue, facts.task.definition.concurrency
    if not facts.handler_is_live:
        return WaitingOn.HANDLER, _no_handler(facts)
    if queue is not None and queue.paused:
        return (
            ExplainedReason.QUEUE_PAUSED,
            f"Its queue {queue.name!r} is paused: PUT /v1/queues/{queue.name} lets it continue.",
        )
    if queue is not None and queue.concurrency is not None and queue.running >= queue.concurrency:
        verb = "is" if queue.running == 1 else "are"
        full = f"{queue.running} of {english.plural(queue.concurrency, 'slot')} {verb} taken"
        message = f"Its queue {queue.name!r} is full ({full}); {_ahead(queue)}."
        return ExplainedReason.QUEUE_FULL, message
    if key is not None and facts.with_key >= key.limit:
        return WaitingOn.CONCURRENCY, _no_room(facts)
    if queue is not None and queue.ahead:
        message = f"It waits in the queue {queue.name!r}: {_ahead(queue)}."
        return ExplainedReason.QUEUE, message
    return _starting(facts)


def _starting(facts: Facts) -> tuple[str, str]:
    handler, queue = facts.task.definition.handler, facts.task.definition.queue
    if facts.handler_is_outside:
        message = f"It waits for a worker with code for {handler!r}: POST /v1/queues/{queue}/lease."
        return ExplainedReason.WORKER, message
    message = "It is about to be started. If it stays so, the replicas are busy: all their slots are taken."
    return ExplainedReason.STARTING, message


def _ahead(queue: QueueState) -> str:
    number = queue.ahead
    if not number:
        return "it is the next one"
    if not queue.shows_ahead:
        return "other runs come before it"
    return f"{english.plural(number, 'run')} {'comes' if number == 1 else 'come'} before it"


def _blocked(facts: Facts, run: Run) -> tuple[Verdict, str | None, str]:  # noqa: PLR0911  # a table of cases
    first = next(iter(run.waiting_on), "").partition(":")[0]
    kind = known(WaitingOn, first)
    match kind:
        case WaitingOn.PAUSED:
            return _blocked_by_pause(facts)
        case WaitingOn.HANDLER:
            return Verdict.BLOCKED, kind, _no_handler(facts)
        case WaitingOn.CONCURRENCY:
            return Verdict.BLOCKED, kind, _no_room(facts)
        case WaitingOn.OVERLAP:
            message = f"It waits for the end of an earlier run: {_other(facts)}."
            return Verdict.BLOCKED, kind, message
        case WaitingOn.CONSTRAINT:
            waits = "; ".join(facts.unmet) or "its constraints are about to be checked"
            return Verdict.BLOCKED, kind, f"It waits for its constraints: {waits}."
        case WaitingOn.HOLD:
            return Verdict.BLOCKED, kind, _waits_for_hold(facts, run)
        case WaitingOn.CIRCUIT | WaitingOn.HOST | WaitingOn.COMPLETION | None:
            message = f"It waits for {english.and_list(run.waiting_on or ('?',))}."
            return Verdict.BLOCKED, first or None, message
        case _:
            assert_never(kind)


def _waits_for_hold(facts: Facts, run: Run) -> str:
    hold = holding(facts, run)
    if hold is None:
        return "It has waited for the end of a hold, and is about to continue."
    return f"Its task is held by the {named(hold)}: it waits until {until(hold)}."


def _blocked_by_pause(facts: Facts) -> tuple[Verdict, str | None, str]:
    task = facts.task
    since = f"since {_at(task.status_changed_at)} by {task.status_changed_by}"
    why = f" ({task.status_reason})" if task.status_reason else ""
    verdict = Verdict.PAUSED if task.status is TaskStatus.PAUSED else Verdict.BLOCKED
    message = (
        f"The task is paused {since}{why}; its run waits for POST /v1/tasks/{task.name}/resume."
    )
    return verdict, task.status_reason or WaitingOn.PAUSED, message


def _other(facts: Facts) -> str:
    other = facts.other
    if other is None:
        return "one that is not kept any more"
    since = f" since {_at(other.started_at)}" if other.status is RunStatus.RUNNING else ""
    return f"{other.id}, which is {other.status}{since}"


def _no_handler(facts: Facts) -> str:
    handler = facts.task.definition.handler
    number = english.plural(facts.replicas, "live replica")
    return f"No replica knows the handler {handler!r} ({number}): start one with its code."


def _no_room(facts: Facts) -> str:
    key = facts.task.definition.concurrency
    if key is None:
        return "It waits for other runs with its concurrency key to end."
    of = f"{facts.with_key} of at most {english.plural(key.limit, 'run')}"
    return f"{of} with the concurrency key {key.key!r} are running."


def _at(instant: datetime | None) -> str:
    return "an unknown time" if instant is None else format_instant(instant)
