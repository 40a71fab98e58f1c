"""How things are shown: domain values as JSON."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from app.domain.durations import to_seconds
from app.domain.findings import Finding
from app.domain.instants import format_instant
from app.domain.kv import KvEntry
from app.domain.linting import handler_missing, lint_definition
from app.domain.lookahead import next_run, next_runs
from app.domain.operations import JSON_TYPE
from app.domain.pairing import to_finding
from app.domain.runs import Attempt, LogLine, Progress, Run, RunError
from app.domain.sealed import SealedText, is_sealed
from app.domain.stored_json import put_stored
from app.domain.targets import redact
from app.domain.tasks import LastRun, Registered, Task
from app.errors import TooCostly, Unplannable
from app.store.handlers import HandlerInfo
from app.store.queues import Queue
from app.store.registering import Registration

UPCOMING = 3
_LEFT_OUT = Finding(
    "too_costly",
    "Its next fire times and the other warnings are left out: they take too long to find for an answer at once. "
    "GET /v1/tasks/{name}/upcoming and GET /v1/tasks/{name}/explain tell them.",
)


def show_task(task: Task) -> dict[str, Any]:
    """Return a task as API.md shows it."""
    return {
        "id": task.id,
        "name": task.name,
        **_definition(task),
        "status": task.status,
        "status_reason": task.status_reason,
        "status_changed_at": format_instant(task.status_changed_at),
        "status_changed_by": task.status_changed_by,
        "generation": task.generation,
        "next_fire_at": _at(next_run(task)),
        "last_run": _last_run(task.last_run),
        "last_success_at": _at(task.last_success_at),
        "consecutive_failures": task.consecutive_failures,
        "created_at": format_instant(task.created_at),
        "updated_at": format_instant(task.updated_at),
        **_unreadable(task),
    }


def _unreadable(task: Task) -> dict[str, Any]:
    """Name the input if it is neither JSON nor sealed: the row was changed past Rota."""
    input = task.definition.input
    is_damaged = isinstance(input, SealedText) and not is_sealed(input)
    return {"unreadable": ["input"]} if is_damaged else {}


def show_registration(
    made: Registration,
    now: datetime,
    *,
    handler_is_live: bool = True,
    timeout_given: bool = False,
    look_ahead: bool = True,
) -> dict[str, Any]:
    """Return a task with what its registration did; `timeout_given`: the registration named a timeout.

    Raises TooCostly, unless it is told not to `look_ahead`.
    """
    shown = show_task(made.task)
    shown["outcome"] = made.outcome
    shown["applied"] = made.applied
    if made.outcome is Registered.KEPT:
        shown["differs"] = made.differs
    given = timeout_given and made.outcome is not Registered.KEPT
    upcoming, found = (
        _look_ahead(made.task, now, timeout_given=given) if look_ahead else ([], [_LEFT_OUT])
    )
    found.extend(to_finding(each) for each in made.absent)
    if not handler_is_live:
        found.append(handler_missing(made.task.definition.handler))
    shown["upcoming"] = [format_instant(at) for at in upcoming]
    shown["warnings"] = [show_finding(each) for each in found]
    return shown


def show_upcoming(task: Task, now: datetime, number: int) -> list[str]:
    """Return the next fire times that run: the one that waits to be fired first, if there is one."""
    return [format_instant(at) for at in next_runs(task, now, number)]


def show_finding(found: Finding) -> dict[str, Any]:
    """Return a warning."""
    shown = {"code": found.code, "message": found.message}
    return shown if found.at is None else {**shown, "at": format_instant(found.at)}


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
        "scheduled_until": _at(run.scheduled_until),
        "count": run.count,
        "status": run.status,
        "reason": run.reason,
        "waiting_on": list(run.waiting_on),
        "queue": run.queue,
        "priority": run.priority,
        "not_before": _at(run.not_before),
        "input": None,
        "result": None,
        "error": _error(run.error),
        "progress": _progress(run.progress),
        "attempt": run.attempt,
        "failures": run.failures,
        "cancel_requested_at": _at(run.cancel_requested_at),
        "created_at": format_instant(run.created_at),
        "started_at": _at(run.started_at),
        "finished_at": _at(run.finished_at),
        "lateness": _seconds(run.lateness),
        "duration": _seconds(run.duration),
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


def show_entry(entry: KvEntry, *, with_value: bool = True) -> dict[str, Any]:
    """Return an entry of a task's key-value table; a value that is not JSON as base64."""
    shown: dict[str, Any] = {"key": entry.key}
    if with_value:
        shown |= _value(entry)
    else:
        shown |= {"content_type": entry.content_type, "size": entry.size}
    shown |= {
        "version": entry.version,
        "updated_at": format_instant(entry.updated_at),
        "updated_by": entry.updated_by,
        "expires_at": _at(entry.expires_at),
    }
    return shown if entry.attempt is None else shown | {"attempt": entry.attempt}


def _value(entry: KvEntry) -> dict[str, Any]:
    if entry.sealed:
        return {"value": None, "unreadable": ["value"]}
    if entry.content_type == JSON_TYPE:
        shown: dict[str, Any] = {}
        put_stored(shown, "value", entry.value)
        return shown
    encoded = b64encode(entry.value).decode()
    return {"value": encoded, "encoding": "base64", "content_type": entry.content_type}


def show_queue(queue: Queue) -> dict[str, Any]:
    """Return a queue."""
    return {
        "name": queue.name,
        "concurrency": queue.concurrency,
        "paused": queue.paused,
        "queued": queue.queued,
        "running": queue.running,
        "blocked": queue.blocked,
        "updated_at": _at(queue.updated_at),
        "updated_by": queue.updated_by,
    }


def show_handler(info: HandlerInfo) -> dict[str, Any]:
    """Return a handler."""
    return {
        "name": info.name,
        "description": info.description,
        "input_schema": info.input_schema,
        "timeout": _seconds(info.timeout),
        "isolation": info.isolation,
        "updated_at": _at(info.updated_at),
    }


def show_definition(task: Task) -> dict[str, Any]:
    """Return what the client declared, with secrets taken out."""
    return _definition(task)


def _definition(task: Task) -> dict[str, Any]:
    definition = task.definition
    shown = definition.model_dump(mode="json", warnings=False)  # an unreadable schedule is none
    if definition.secret_input or isinstance(definition.input, SealedText):
        shown["input"] = None
    # Members that other forms of the schedule have are left out: it is echoed as it was sent.
    shown["schedule"] = definition.schedule.model_dump(mode="json", exclude_none=True)
    if definition.target is None:
        del shown["target"]
    else:
        shown["target"] = redact(definition.target).model_dump(mode="json")
    return shown


def _look_ahead(
    task: Task, now: datetime, *, timeout_given: bool
) -> tuple[list[datetime], list[Finding]]:
    """Return the next fire times of a task, and what of its definition may not be meant."""
    declared = task.definition, task.anchored_at
    try:
        upcoming = next_runs(task, now, UPCOMING)
        return upcoming, lint_definition(*declared, upcoming, now, timeout_given=timeout_given)
    except TooCostly:
        raise
    except Unplannable as error:  # one that was kept as it is
        return [], [Finding("unplannable", error.detail)]


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "attempt": attempt.attempt,
        "outcome": attempt.outcome,
        "counted": attempt.counted,
        "started_at": format_instant(attempt.started_at),
        "finished_at": _at(attempt.finished_at),
        "error": _error(attempt.error),
    }


def _last_run(run: LastRun | None) -> dict[str, Any] | None:
    if run is None:
        return None
    return {
        "id": run.id,
        "status": run.status,
        "scheduled_for": format_instant(run.scheduled_for),
        "finished_at": _at(run.finished_at),
    }


def _error(error: RunError | None) -> dict[str, Any] | None:
    if error is None:
        return None
    return asdict(error)


def _progress(progress: Progress | None) -> dict[str, Any] | None:
    if progress is None:
        return None
    return {"fraction": progress.fraction, "message": progress.message}


def _at(instant: datetime | None) -> str | None:
    return None if instant is None else format_instant(instant)


def _seconds(duration: timedelta | None) -> int | float | None:
    return None if duration is None else to_seconds(duration)
