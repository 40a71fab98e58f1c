"""Runs as JSON."""

from collections.abc import Sequence
from typing import Any

from rota.api.http.formats import show_instant, show_seconds
from rota.api.http.responses import reply
from rota.api.runs.response_models import (
    AttemptOut,
    ErrorOut,
    LinkedRunOut,
    LogLineOut,
    ProgressOut,
    RunOut,
    RunSummaryOut,
)
from rota.domain.primitives.json.stored_json import put_stored
from rota.domain.primitives.texts.sealed import is_sealed
from rota.domain.primitives.times.instants import format_instant
from rota.domain.reasons import WaitingOn
from rota.domain.runs.errors import RunError
from rota.domain.runs.lineage import LinkedRun, LinkKind, Neighbours
from rota.domain.runs.model import Attempt, LogLine, Progress, Run
from rota.store.idempotency import Reply

_ALONE = Neighbours()


def run_accepted(run: Run, attempts: Sequence[Attempt] = ()) -> Reply:
    """Render the 202 of a request for a run; a new run has no attempts yet."""
    repeated = () if run.rerun_of is None else (LinkedRun(run.rerun_of, run.task, LinkKind.RERUN),)
    shown = show_run_with_attempts(run, attempts, Neighbours(fed_by=repeated))
    return reply(202, shown, {"location": f"/v1/runs/{run.id}"})


def run_recorded(run: Run) -> Reply:
    """Render the 201 of a run that was reported when it had ended."""
    shown = show_run_with_attempts(run, ())
    return reply(201, shown, {"location": f"/v1/runs/{run.id}"})


def show_run_with_attempts(
    run: Run, attempts: Sequence[Attempt], around: Neighbours = _ALONE
) -> RunOut:
    """Return a run as API.md shows it."""
    return {
        **show_run(run),
        "attempts": [show_attempt(each) for each in attempts],
        "fed_by": [_linked(each) for each in around.fed_by],
        "fed": [_linked(each) for each in around.fed],
    }


def _linked(of: LinkedRun) -> LinkedRunOut:
    return {"id": of.id, "task": of.task, "kind": of.kind}


def show_run(run: Run) -> RunSummaryOut:
    """Return a run without its attempts, and without what a list left out as large."""
    stored: dict[str, Any] = {}
    secret = is_sealed(run.input)
    if not secret and "input" not in run.left_out:
        put_stored(stored, "input", run.input)
    if "result" not in run.left_out:
        put_stored(stored, "result", run.result)
    shown: RunSummaryOut = {
        "id": run.id,
        "task": run.task,
        "task_generation": run.task_generation,
        "trigger": run.trigger,
        "rerun_of": run.rerun_of,
        "backfill_id": run.backfill_id,
        "chain_id": run.chain,
        "scheduled_for": format_instant(run.scheduled_for),
        "scheduled_until": show_instant(run.scheduled_until),
        "count": run.count,
        "status": run.status,
        "reason": run.reason,
        "waiting_on": _waiting_on(run),
        "queue": run.queue,
        "priority": run.priority,
        "not_before": show_instant(run.not_before),
        "input": stored.get("input"),
        "result": stored.get("result"),
        "error": _error(run.error),
        "progress": _progress(run.progress),
        "attempt": run.attempt,
        "failures": run.failures,
        "cancel_requested_at": show_instant(run.cancel_requested_at),
        "created_at": format_instant(run.created_at),
        "started_at": show_instant(run.started_at),
        "finished_at": show_instant(run.finished_at),
        "lateness": show_seconds(run.lateness),
        "duration": show_seconds(run.duration),
        "traceparent": run.traceparent,
    }
    if run.lease_expires_at is not None:
        shown["lease_expires_at"] = format_instant(run.lease_expires_at)
    if secret:
        shown["secret_input"] = True
    if "unreadable" in stored:
        shown["unreadable"] = stored["unreadable"]
    if run.left_out:
        shown["truncated"] = True
    return shown


def _waiting_on(run: Run) -> list[str]:
    return list(run.waiting_on) if run.lease_expires_at is None else [WaitingOn.COMPLETION]


def show_log_line(attempt: int, line: LogLine) -> LogLineOut:
    """Return a line that a handler printed or logged."""
    return {
        "attempt": attempt,
        "line": line.line,
        "at": format_instant(line.at),
        "level": line.level,
        "message": line.message,
    }


def show_attempt(attempt: Attempt) -> AttemptOut:
    """Return an attempt of a run."""
    return {
        "attempt": attempt.attempt,
        "outcome": attempt.outcome,
        "counted": attempt.counted,
        "started_at": format_instant(attempt.started_at),
        "finished_at": show_instant(attempt.finished_at),
        "error": _error(attempt.error),
        "timings": attempt.timings or (attempt.error.timings if attempt.error else None),
    }


def _error(error: RunError | None) -> ErrorOut | None:
    if error is None:
        return None
    response = error.response
    return {
        "type": error.type,
        "message": error.message,
        "traceback": error.traceback,
        "response": None
        if response is None
        else {
            "status": response.status,
            "headers": response.headers,
            "body": response.body,
            "truncated": response.truncated,
            "url_path": response.url_path,
        },
        "phase": error.phase,
        "timings": error.timings,
    }


def _progress(progress: Progress | None) -> ProgressOut | None:
    if progress is None:
        return None
    return {"fraction": progress.fraction, "message": progress.message}
