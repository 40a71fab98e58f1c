"""Tasks as JSON."""

from datetime import datetime
from typing import Any

from rota.api.http.formats import show_instant
from rota.domain.chains.fan_in import to_finding
from rota.domain.http_target.target import redact
from rota.domain.lint.rules import handler_missing, lint_definition
from rota.domain.primitives.finding import Finding
from rota.domain.primitives.instants import format_instant
from rota.domain.tasks.definition import LastRun, Registered, Task
from rota.domain.tasks.sealed_input import SealedText, is_sealed
from rota.domain.tasks.upcoming import next_run, next_runs
from rota.errors import TooCostly, Unplannable
from rota.store.tasks.declaration import Registration

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
        "next_fire_at": show_instant(next_run(task)),
        "last_run": _last_run(task.last_run),
        "last_success_at": show_instant(task.last_success_at),
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


def _last_run(run: LastRun | None) -> dict[str, Any] | None:
    if run is None:
        return None
    return {
        "id": run.id,
        "status": run.status,
        "scheduled_for": format_instant(run.scheduled_for),
        "finished_at": show_instant(run.finished_at),
    }
