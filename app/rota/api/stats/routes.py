"""Statistics: of a task, and of all tasks that a key may see."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from rota.api.http.access import ReadsRuns
from rota.api.http.pagination import split
from rota.api.http.requested_times import task_of
from rota.api.http.responses import reply, send
from rota.api.http.routing import router
from rota.api.http.services import Served, Services
from rota.api.problems.problem import describe
from rota.api.stats.response_models import StatsOut, TaskStatsOut
from rota.api.stats.views import show_stats, show_task_stats
from rota.api.stats.windows import AskedFor, AskedWindow
from rota.domain.access.names import NameLimit
from rota.domain.primitives.texts.names import Name
from rota.store.idempotency import Reply
from rota.store.stats.chosen import ChosenTasks
from rota.store.stats.reading import last_failure, read_report
from rota.store.task_rows import find_task

routes: APIRouter = router("/v1/stats", "runs")
of_task: APIRouter = router("/v1/tasks", "runs")

#: Seconds: statistics that take longer are kept for so many times as long as they took.
QUICK, AS_LONG = 0.5, 10

Filter = Annotated[list[str] | None, Query()]


@of_task.get("/{name}/stats", response_model=TaskStatsOut, responses=describe(404))
async def task_stats(services: Served, _caller: ReadsRuns, name: Name, asked: AskedFor) -> Response:
    """Return how the runs of a task went in a window, and the outcome of each fire time in it."""
    return send(reply(200, await services.computing.run(_of_task, services, name, asked)))


@routes.get("", response_model=StatsOut, responses=describe())
async def stats(
    services: Served,
    caller: ReadsRuns,
    asked: AskedFor,
    task: Filter = None,
    tag: Filter = None,
) -> Response:
    """Return how the runs of all tasks went in a window, or of those with one of the names and one of the tags.

    If that takes longer than half a second, it may be ten times as old as it took.
    """
    wanted = (asked, split(task), split(tag))
    found = services.statistics.find((caller.tasks, *wanted), services.clock.monotonic())
    if found is None:
        found = await services.computing.run(_of_tasks, services, caller.tasks, *wanted)
    return send(found)


def _of_task(services: Services, name: str, asked: AskedWindow) -> dict[str, Any]:
    now = services.clock.now()
    with services.database.read() as connection:
        task = find_task(connection, name)
        chosen, window = ChosenTasks(id=task.id), asked.at(now, task)
        report = read_report(connection, chosen, window, now)
        return show_task_stats(report, task, last_failure(connection, task.id))


def _of_tasks(
    services: Services,
    limit: NameLimit,
    asked: AskedWindow,
    names: tuple[str, ...],
    tags: tuple[str, ...],
) -> Reply:
    now, begun = services.clock.now(), services.clock.monotonic()
    clock_of = task_of(services, names, limit) if asked.has_times else None
    window = asked.at(now, clock_of)
    with services.database.read() as connection:
        chosen = ChosenTasks(names=names, tags=tags, limit=limit)
        report = read_report(connection, chosen, window, now)
    found, ended = reply(200, show_stats(report)), services.clock.monotonic()
    if (taken := ended - begun) > QUICK:
        services.statistics.keep((limit, asked, names, tags), found, ended + AS_LONG * taken)
    return found
