"""Explanations: why a task is not running, or did not run at a time."""

from datetime import datetime

from fastapi import APIRouter, Response

from rota.api.http.access import ReadsTasks
from rota.api.http.requested_times import GivenTime, time_of
from rota.api.http.responses import reply, send
from rota.api.http.routing import router
from rota.api.http.services import Served, Services
from rota.api.problems.problem import describe
from rota.api.runs.views import show_run
from rota.api.tasks.response_models import ExplanationOut
from rota.api.tasks.views import UPCOMING, show_finding
from rota.domain.access.names import NameLimit
from rota.domain.access.scopes import Scope
from rota.domain.chains.fan_in import to_finding
from rota.domain.explain.model import Explanation
from rota.domain.lint.definition import handler_missing, lint_definition, plain_headers
from rota.domain.primitives.finding import Finding
from rota.domain.primitives.texts.names import Name
from rota.domain.primitives.times.instants import format_instant
from rota.domain.runs.upcoming import next_runs
from rota.domain.schedules.running_times import upcoming
from rota.domain.tasks.definition import TaskStatus
from rota.domain.tasks.task import Task
from rota.errors import Unplannable
from rota.store.alerts.naming import warnings_of_notified
from rota.store.chains.predecessors import missing_predecessors
from rota.store.explain.facts import explain_task, live_handlers
from rota.store.task_rows import find_task

routes: APIRouter = router("/v1/tasks", "tasks")


@routes.get("/{name}/explain", response_model=ExplanationOut, responses=describe(404))
async def explain(
    services: Served, caller: ReadsTasks, name: Name, at: GivenTime = None
) -> Response:
    """Explain why a task is not running now; with `at`, why it did not run then, or whether it will.

    Works for paused, completed and cancelled tasks, too. A date represents its first fire time. `run` is null with a
    key that may not read runs.
    """
    shown = await services.computing.run(_explain, services, caller.tasks, name, at)
    if not caller.may(Scope.RUNS_READ):
        shown["run"] = None
    return send(reply(200, shown))


def _explain(services: Services, limit: NameLimit, name: str, at: GivenTime) -> ExplanationOut:
    now = services.clock.now()
    with services.database.read() as connection:
        task = find_task(connection, name)
        names, _ = live_handlers(connection)
        absent = missing_predecessors(connection, task.id)
        not_notified = warnings_of_notified(connection, task.definition, limit)
        explanation = explain_task(connection, task, now, time_of("at", at, task), limit)
    seen = [to_finding(each) for each in absent if limit.covers(each.name)]
    warnings = [*_warnings(task, now), *seen, *not_notified]
    if task.definition.handler not in names:
        warnings.append(handler_missing(task.definition.handler))
    if not services.settings.encryption_keys:
        warnings.extend(plain_headers(task.definition))
    return _show(explanation, warnings)


def _warnings(task: Task, now: datetime) -> list[Finding]:
    try:
        return lint_definition(task.definition, task.anchored_at, _ahead(task, now), now)
    except Unplannable:
        return []


def _ahead(task: Task, now: datetime) -> list[datetime]:
    """Return the next fire times; of a cancelled task, those that its schedule would have."""
    if task.status is not TaskStatus.CANCELLED:
        return next_runs(task, now, UPCOMING)
    return upcoming(task.definition.schedule, task.anchor, now, UPCOMING)


def _show(explanation: Explanation, warnings: list[Finding]) -> ExplanationOut:
    return {
        "at": format_instant(explanation.at),
        "expected": explanation.expected,
        "verdict": explanation.verdict,
        "reason": explanation.reason,
        "message": explanation.message,
        "run": None if explanation.run is None else show_run(explanation.run),
        "warnings": [show_finding(each) for each in warnings],
    }
