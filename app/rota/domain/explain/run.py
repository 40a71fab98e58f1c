"""Explaining runs: what a run waits for, and how it ended."""

from datetime import datetime

from rota.domain.explain.attempts import attempts_before
from rota.domain.explain.model import Explanation, Facts, Verdict
from rota.domain.policies import MOST_BUFFERED, MOST_CAUGHT_UP, SKIP_GRACE, MisfirePolicy
from rota.domain.primitives import english
from rota.domain.primitives.instants import format_instant
from rota.domain.reasons import CancelReason, FailReason, SkipReason, WaitingOn
from rota.domain.runs.model import Run
from rota.domain.runs.status import RunStatus
from rota.domain.tasks.definition import TaskStatus

_FAILED = {
    FailReason.ERROR: "its only attempt failed",
    FailReason.FATAL: "its handler said that trying again is of no use",
    FailReason.TIMEOUT: "its only attempt took longer than the timeout",
    FailReason.ATTEMPTS_EXHAUSTED: "all attempts that retry.max_attempts allows have failed",
    FailReason.LOST: "several of its attempts were lost: their processes ended, or did not renew their leases",
    FailReason.TARGET_GONE: "its target answered 410, gone",
    FailReason.DEADLINE: "retry.max_elapsed had passed",
}
_CANCELLED = {
    CancelReason.REQUESTED: "somebody asked for it",
    CancelReason.REPLACED: "a later run, or a registration, took its place",
    CancelReason.TASK_CANCELLED: "its task was cancelled",
    CancelReason.TASK_DELETED: "its task was deleted",
}
_SKIPPED: dict[str, str] = {
    SkipReason.TOO_LATE: "nobody could fire in time, and {it} {was} longer ago than misfire_grace when somebody could",
    SkipReason.PAUSED: "the task was paused then, and catch_up did not make up for {it} when it was resumed",
    SkipReason.EXCLUDED: "the schedule leaves {it} out (exclude)",
    SkipReason.DST_GAP: "the clock never showed it, and the schedule skips such times (dst.gap: skip)",
    SkipReason.CONSTRAINT_DEADLINE: "its constraints were not met before their deadline",
    SkipReason.PREDECESSOR: "a task that it comes after did not end as it should",
}
_MISFIRE = {
    MisfirePolicy.RUN_ONCE: "misfire_policy run_once runs the last of such fire times only",
    MisfirePolicy.RUN_ALL: "misfire_policy run_all makes up for the last of such fire times only",
    MisfirePolicy.SKIP: "misfire_policy skip runs only what is at most misfire_grace ({grace}) late, "
    f"and of that the last {MOST_CAUGHT_UP}",
}


def of_run(facts: Facts, at: datetime, run: Run, *, expected: bool) -> Explanation:
    """Return what there is to say of a run, for a question about `at`."""
    verdict, reason, said = _verdict(facts, run)
    waits = verdict in {Verdict.WAITING, Verdict.BLOCKED, Verdict.PAUSED}
    before = attempts_before(run, facts.attempts, last_too=waits)
    return Explanation(at, expected, verdict, reason, " ".join(filter(None, (said, before))), run)


def _verdict(facts: Facts, run: Run) -> tuple[Verdict, str | None, str]:
    match run.status:
        case RunStatus.RUNNING:
            return Verdict.RUNNING, None, _running(run)
        case RunStatus.QUEUED:
            return _queued(facts, run)
        case RunStatus.BLOCKED:
            return _blocked(facts, run)
        case RunStatus.SKIPPED:
            return Verdict.SKIPPED, run.reason, _skipped(facts, run)
        case _:
            return _ended(run)


def _running(run: Run) -> str:
    said = f"Attempt {run.attempt} has been running since {_at(run.started_at)}."
    if run.cancel_requested_at is not None:
        said += f" It was asked to end at {_at(run.cancel_requested_at)}."
    return said


def _ended(run: Run) -> tuple[Verdict, str | None, str]:
    ended = _at(run.finished_at)
    if run.status is RunStatus.SUCCEEDED:
        return Verdict.RAN, None, f"It ran: {_started(run)} succeeded at {ended}."
    if run.status is RunStatus.FAILED:
        why = _FAILED.get(FailReason(run.reason), "") if run.reason else ""
        error = "" if run.error is None else f" ({run.error.type}: {run.error.message[:200]})"
        said = f"It ran and failed at {ended}: {why}{error}. POST /v1/runs/{run.id}/rerun runs it again."
        return Verdict.FAILED, run.reason, said
    why = _CANCELLED.get(CancelReason(run.reason), "") if run.reason else ""
    return Verdict.CANCELLED, run.reason, f"Its run was cancelled at {ended}: {why}."


def _started(run: Run) -> str:
    """Return when it started, of several attempts the first one, and which of them it is that ended."""
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
        if run.failures:
            error = "" if run.error is None else f" ({run.error.type}: {run.error.message[:200]})"
            said = f"Attempt {run.attempt} did not succeed{error}; the next one starts at {when}."
            return Verdict.RETRYING, None, said
        return Verdict.WAITING, "not_before", f"Its run waits for its time, {when}."
    reason, said = _held(facts)
    return Verdict.WAITING, reason, said


def _held(facts: Facts) -> tuple[str, str]:
    """Return what keeps a run that could start from being claimed."""
    lane, key = facts.lane, facts.task.definition.concurrency
    if not facts.handler_is_live:
        return WaitingOn.HANDLER, _no_handler(facts)
    if lane is not None and lane.paused:
        return (
            "queue_paused",
            f"Its queue {lane.name!r} is paused: PUT /v1/queues/{lane.name} lets it go on.",
        )
    if lane is not None and lane.concurrency is not None and lane.running >= lane.concurrency:
        full = f"{lane.running} of {english.plural(lane.concurrency, 'slot')} are taken"
        return "queue_full", f"Its queue {lane.name!r} is full ({full}); {_ahead(lane.ahead)}."
    if key is not None and facts.with_key >= key.limit:
        return WaitingOn.CONCURRENCY, _no_room(facts)
    if lane is not None and lane.ahead:
        return "queue", f"It waits in the queue {lane.name!r}: {_ahead(lane.ahead)}."
    said = "It is about to be started. If it stays so, the replicas are busy: all their slots are taken."
    return "starting", said


def _ahead(number: int) -> str:
    if not number:
        return "it is the next one"
    return f"{english.plural(number, 'run')} {'comes' if number == 1 else 'come'} before it"


def _blocked(facts: Facts, run: Run) -> tuple[Verdict, str | None, str]:
    kinds = [each.partition(":")[0] for each in run.waiting_on]
    kind = kinds[0] if kinds else ""
    match kind:
        case WaitingOn.PAUSED:
            return _blocked_by_pause(facts)
        case WaitingOn.HANDLER:
            return Verdict.BLOCKED, kind, _no_handler(facts)
        case WaitingOn.CONCURRENCY:
            return Verdict.BLOCKED, kind, _no_room(facts)
        case "overlap":
            return (
                Verdict.BLOCKED,
                kind,
                f"It waits for the end of an earlier run: {_other(facts)}.",
            )
        case "constraint":
            waits = "; ".join(facts.unmet) or "its constraints are about to be looked at"
            return Verdict.BLOCKED, kind, f"It waits for its constraints: {waits}."
        case _:
            return (
                Verdict.BLOCKED,
                kind or None,
                f"It waits for {english.and_list(run.waiting_on or ('?',))}.",
            )


def _blocked_by_pause(facts: Facts) -> tuple[Verdict, str | None, str]:
    task = facts.task
    since = f"since {_at(task.status_changed_at)} by {task.status_changed_by}"
    why = f" ({task.status_reason})" if task.status_reason else ""
    verdict = Verdict.PAUSED if task.status is TaskStatus.PAUSED else Verdict.BLOCKED
    said = f"The task is paused {since}{why}; its run waits for POST /v1/tasks/{task.name}/resume."
    return verdict, task.status_reason or WaitingOn.PAUSED, said


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


def _skipped(facts: Facts, run: Run) -> str:
    return f"{_span(run)} skipped: {_why_skipped(facts, run)}."


def _span(run: Run) -> str:
    if run.count == 1 or run.scheduled_until is None:
        return f"{_at(run.scheduled_for)} was"
    return (
        f"{run.count:,} fire times from {_at(run.scheduled_for)} to {_at(run.scheduled_until)} were"
    )


def _why_skipped(facts: Facts, run: Run) -> str:
    match run.reason:
        case SkipReason.MISFIRE:
            return (
                f"nobody could fire in time (the service was down or behind), and {_policy(facts)}"
            )
        case SkipReason.OVERLAP:
            return _overlapped(facts)
        case SkipReason.PREDECESSOR if run.error is not None:
            return f"{_SKIPPED[run.reason]}: {run.error.message}"
        case _:
            words = {"it": "it", "was": "was"} if run.count == 1 else {"it": "them", "was": "were"}
            why = _SKIPPED.get(run.reason or "", run.reason or "for no reason that is kept")
            return why.format(**words)


def _policy(facts: Facts) -> str:
    definition = facts.task.definition
    grace = english.duration(definition.misfire_grace or SKIP_GRACE)
    return _MISFIRE[definition.misfire_policy].format(grace=grace)


def _overlapped(facts: Facts) -> str:
    earlier = "an earlier run was" if facts.other is None else f"run {facts.other.id} was"
    policy = facts.task.definition.overlap_policy
    return (
        f"{earlier} unfinished when it came, and overlap_policy is {policy} "
        f"(buffer keeps up to {MOST_BUFFERED} waiting, allow runs them side by side)"
    )


def _at(instant: datetime | None) -> str:
    return "an unknown time" if instant is None else format_instant(instant)
