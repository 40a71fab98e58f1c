"""Tasks as JSON."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rota.api.http.formats import show_instant, show_seconds
from rota.api.tasks.response_models import LastRunOut, RunMarkOut, WarningOut
from rota.domain.chains.fan_in import to_finding
from rota.domain.holds.held import Holds
from rota.domain.http_target.target import redact
from rota.domain.lint.completion import no_public_url
from rota.domain.lint.definition import handler_missing, lint_definition, plain_headers
from rota.domain.primitives.finding import Finding
from rota.domain.primitives.ids import Id
from rota.domain.primitives.texts.sealed import SealedText, is_sealed
from rota.domain.primitives.times.instants import format_instant
from rota.domain.runs.status import RunStatus
from rota.domain.runs.upcoming import next_run_under, next_runs
from rota.domain.tasks.definition import Registered
from rota.domain.tasks.task import LastRun, Task
from rota.errors import TooCostly, Unplannable
from rota.store.runs.listing.latest import RunMark
from rota.store.tasks.declaration import Registration

UPCOMING = 3
_LEFT_OUT = Finding(
    "too_costly",
    "Its next fire times and the other warnings are left out: they take too long to find within this request. "
    "GET /v1/tasks/{name}/upcoming and GET /v1/tasks/{name}/explain return them.",
)


def show_task(task: Task, holds: Holds) -> dict[str, Any]:
    """Return a task as API.md shows it; `holds` are those that last now."""
    return {
        "id": task.id,
        "name": task.name,
        **show_definition(task),
        "status": task.status,
        "status_reason": task.status_reason,
        "status_changed_at": format_instant(task.status_changed_at),
        "status_changed_by": task.status_changed_by,
        "held_by": _held_by(task, holds),
        "generation": task.generation,
        "next_fire_at": show_instant(next_run_under(task, holds)),
        "last_run": _last_run(task.last_run),
        "last_success_at": show_instant(task.last_success_at),
        "consecutive_failures": task.consecutive_failures,
        "created_at": format_instant(task.created_at),
        "updated_at": format_instant(task.updated_at),
        **_unreadable(task),
    }


def show_latest(
    latest: Mapping[Id, Sequence[RunMark]], task: Id, number: int
) -> dict[str, list[RunMarkOut]]:
    """Return the latest runs of a task as a field of it; nothing if none were asked for."""
    return {"latest_runs": [_mark(each) for each in latest.get(task, ())]} if number else {}


def _mark(of: RunMark) -> RunMarkOut:
    return {
        "id": of.id,
        "status": of.status,
        "scheduled_for": format_instant(of.scheduled_for),
        "duration": show_seconds(of.duration),
    }


def _held_by(task: Task, holds: Holds) -> list[str]:
    if not holds:  # nearly always
        return []
    definition = task.definition
    return sorted(each.name for each in holds.of(task.name, definition.queue, definition.tags))


def _unreadable(task: Task) -> dict[str, Any]:
    """Return `unreadable` if the input is neither JSON nor sealed: the row was changed outside Rota."""
    input = task.definition.input
    is_damaged = isinstance(input, SealedText) and not is_sealed(input)
    return {"unreadable": ["input"]} if is_damaged else {}


@dataclass(frozen=True, slots=True)
class RegistrationContext:
    """What a response about a registration depends on beside the task."""

    now: datetime
    holds: Holds
    handler_is_live: Callable[[str], bool]
    #: Secrets are encrypted at rest.
    has_keys: bool
    #: ROTA_PUBLIC_URL is set.
    has_address: bool


def show_registration(
    made: Registration,
    context: RegistrationContext,
    *,
    timeout_given: bool,
    look_ahead: bool = True,
) -> dict[str, Any]:
    """Return a task with the outcome of its registration; `timeout_given`: the registration sets a timeout.

    Without `look_ahead` the next fire times and most warnings are left out;
    with it, this can raise TooCostly.
    """
    shown = show_task(made.task, context.holds)
    shown["outcome"] = made.outcome
    shown["applied"] = made.applied
    if made.outcome is Registered.KEPT:
        shown["differs"] = made.differs
    upcoming, found = outlook(made, context, timeout_given=timeout_given, look_ahead=look_ahead)
    shown["upcoming"] = [format_instant(at) for at in upcoming]
    shown["warnings"] = [show_finding(each) for each in found]
    return shown


def outlook(
    made: Registration,
    context: RegistrationContext,
    *,
    timeout_given: bool,
    look_ahead: bool = True,
    number: int = UPCOMING,
) -> tuple[list[datetime], list[Finding]]:
    """Return the next `number` fire times of a registered task, and the warnings; see `show_registration`."""
    definition = made.task.definition
    given = timeout_given and made.outcome is not Registered.KEPT
    upcoming, found = (
        _look_ahead(made.task, context.now, number, timeout_given=given)
        if look_ahead
        else ([], [_LEFT_OUT])
    )
    found += [to_finding(each) for each in made.absent]
    found += made.not_notified
    if not context.handler_is_live(definition.handler):
        found.append(handler_missing(definition.handler))
    if not context.has_keys:
        found.extend(plain_headers(definition))
    if not context.has_address and definition.completes_later:
        found.append(no_public_url())
    return upcoming, found


def show_upcoming(task: Task, now: datetime, number: int) -> list[str]:
    """Return the next `number` fire times that run, including one that is due and has not been fired yet."""
    return [format_instant(at) for at in next_runs(task, now, number)]


def show_finding(found: Finding) -> WarningOut:
    """Return a warning."""
    shown: WarningOut = {"code": found.code, "message": found.message}
    if found.at is not None:
        shown["at"] = format_instant(found.at)
    return shown


def show_definition(task: Task) -> dict[str, Any]:
    """Return the definition of a task, without its secrets."""
    definition = task.definition
    shown = definition.model_dump(
        mode="json", warnings=False
    )  # an unreadable schedule does not fit its type
    if definition.secret_input or isinstance(definition.input, SealedText):
        shown["input"] = None
    # Without the fields that other forms of the schedule have, so that it is returned as it was sent.
    shown["schedule"] = definition.schedule.model_dump(mode="json", exclude_none=True)
    if definition.target is None:
        del shown["target"]
    else:
        shown["target"] = redact(definition.target).model_dump(mode="json")
    return shown


def _look_ahead(
    task: Task, now: datetime, number: int, *, timeout_given: bool
) -> tuple[list[datetime], list[Finding]]:
    """Return the next fire times of a task, and the warnings about its definition."""
    declared = task.definition, task.anchored_at
    try:
        upcoming = next_runs(task, now, number)
        return upcoming, lint_definition(*declared, upcoming, now, timeout_given=timeout_given)
    except TooCostly:
        raise
    except Unplannable as error:  # an older definition, which the registration has kept
        return [], [Finding("unplannable", error.detail)]


def _last_run(run: LastRun | None) -> LastRunOut | None:
    if run is None:
        return None
    return {
        "id": run.id,
        "status": RunStatus(run.status),
        "scheduled_for": format_instant(run.scheduled_for),
        "finished_at": show_instant(run.finished_at),
    }
