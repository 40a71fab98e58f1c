"""Explanations: why a task is not running, or did not run at a time."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from app.api import answers
from app.api.problems import describe
from app.api.replies import reply, send
from app.api.routing import router
from app.api.services import Served
from app.api.views import show_finding, show_run
from app.domain.explaining import UNPLANNABLE, explain_at, explain_now
from app.domain.explanations import Explanation, Verdict
from app.domain.findings import Finding
from app.domain.instants import Instant, format_instant
from app.domain.linting import handler_missing, lint_definition
from app.domain.lookahead import next_runs
from app.domain.names import Name
from app.domain.pairing import to_finding
from app.domain.slots import slot_at
from app.domain.tasks import Task
from app.errors import Unplannable
from app.store.explaining import facts_of, facts_of_now, live_handlers
from app.store.predecessors import missing_predecessors
from app.store.tasks import find_task

routes: APIRouter = router("/v1/tasks", "tasks")


@routes.get("/{name}/explain", response_model=answers.ExplanationOut, responses=describe(404))
def explain(
    services: Served,
    name: Name,
    at: Annotated[
        Instant | None,
        Query(
            description="Why did the task not run then, or will it? Without it: why is it not running now?"
        ),
    ] = None,
) -> Response:
    """Say why a task is not running now, or did not run at a time; also of a paused, completed or cancelled task."""
    now = services.clock.now()
    with services.database.read() as connection:
        task = find_task(connection, name)
        names, _ = live_handlers(connection)
        absent = missing_predecessors(connection, task.id)
        try:
            if at is None:
                explained = explain_now(facts_of_now(connection, task, now))
            else:
                slot = slot_at(task, at)
                explained = explain_at(facts_of(connection, task, now, slot), slot)
        except Unplannable as error:
            explained = _unplannable(at or now, error)
    warnings = [*_warnings(task, now), *map(to_finding, absent)]
    if task.definition.handler not in names:
        warnings.append(handler_missing(task.definition.handler))
    return send(reply(200, _show(explained, warnings)))


def _unplannable(at: datetime, error: Unplannable) -> Explanation:
    said = f"{error.detail} Declare the task anew, then resume it."
    return Explanation(at, False, Verdict.UNPLANNABLE, UNPLANNABLE, said)


def _warnings(task: Task, now: datetime) -> list[Finding]:
    try:
        upcoming = next_runs(task, now, 1)
        return lint_definition(task.definition, task.anchored_at, upcoming, now)
    except Unplannable:
        return []


def _show(explained: Explanation, warnings: list[Finding]) -> dict[str, Any]:
    return {
        "at": format_instant(explained.at),
        "expected": explained.expected,
        "verdict": explained.verdict,
        "reason": explained.reason,
        "message": explained.message,
        "run": None if explained.run is None else show_run(explained.run),
        "warnings": [show_finding(each) for each in warnings],
    }
