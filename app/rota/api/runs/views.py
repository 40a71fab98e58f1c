"""Runs as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rota.api.http.formats import show_instant, show_seconds
from rota.api.http.responses import reply
from rota.domain.primitives.instants import format_instant
from rota.domain.primitives.sealed import is_sealed
from rota.domain.primitives.stored_json import put_stored
from rota.domain.runs.errors import RunError
from rota.domain.runs.model import Attempt, LogLine, Progress, Run
from rota.store.idempotency import Reply


def run_accepted(run: Run, attempts: Sequence[Attempt] = ()) -> Reply:
    """Render a run of which something was asked; a new one has no attempts yet."""
    return reply(202, show_run(run, attempts), {"location": f"/v1/runs/{run.id}"})


def show_run(run: Run, attempts: Sequence[Attempt] | None = None) -> dict[str, Any]:
    """Return a run as API.md shows it; lists leave out the attempts, and what is large."""
    shown: dict[str, Any] = {
        "id": run.id,
        "task": run.task,
        "task_generation": run.task_generation,
        "trigger": run.trigger,
        "rerun_of": run.rerun_of,
        "backfill_id": run.backfill_id,
        "scheduled_for": format_instant(run.scheduled_for),
        "scheduled_until": show_instant(run.scheduled_until),
        "count": run.count,
        "status": run.status,
        "reason": run.reason,
        "waiting_on": list(run.waiting_on),
        "queue": run.queue,
        "priority": run.priority,
        "not_before": show_instant(run.not_before),
        "input": None,
        "result": None,
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
    }
    if is_sealed(run.input):
        shown["secret_input"] = True
    elif "input" not in run.left_out:
        put_stored(shown, "input", run.input)
    if "result" not in run.left_out:
        put_stored(shown, "result", run.result)
    if run.left_out:
        shown["truncated"] = True
    if attempts is not None:
        shown["attempts"] = [_attempt(each) for each in attempts]
    return shown


def show_log_line(attempt: int, line: LogLine) -> dict[str, Any]:
    """Return a line that a handler printed or logged."""
    return {
        "attempt": attempt,
        "line": line.line,
        "at": format_instant(line.at),
        "level": line.level,
        "message": line.message,
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "attempt": attempt.attempt,
        "outcome": attempt.outcome,
        "counted": attempt.counted,
        "started_at": format_instant(attempt.started_at),
        "finished_at": show_instant(attempt.finished_at),
        "error": _error(attempt.error),
    }


def _error(error: RunError | None) -> dict[str, Any] | None:
    if error is None:
        return None
    return asdict(error)


def _progress(progress: Progress | None) -> dict[str, Any] | None:
    if progress is None:
        return None
    return {"fraction": progress.fraction, "message": progress.message}
