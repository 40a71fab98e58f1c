"""Badges of tasks: a picture for pages of others, without a key if the task makes it public."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from rota.api.http.access import ReadsRunsOrIsAnonymous
from rota.api.http.routing import router
from rota.api.http.services import Served, Services
from rota.api.problems.problem import describe, problem_response
from rota.api.stats.svg import draw
from rota.domain.access.scopes import Scope
from rota.domain.primitives.texts.names import Name
from rota.domain.stats.badge import COMPLETENESS_OF, BadgeMetric
from rota.domain.tasks.definition import BadgeAudience
from rota.errors import NotFound
from rota.store.stats.badges import read_badge
from rota.store.task_rows import find_task, missing_task

routes: APIRouter = router("/v1/tasks", "runs")

SVG = "image/svg+xml"
#: Seconds for which browsers and proxies may keep one, and for which it is kept here.
KEPT, DRAWN_FOR = 60, 30

_Metric = Annotated[
    BadgeMetric,
    Query(
        description="`state`: passing, failing, late, held, paused, cancelled or no runs. `completeness`: how many of "
        f"the fire times of the last {COMPLETENESS_OF.days} days ran."
    ),
]


@routes.get(
    "/{name}/badge.svg",
    response_class=Response,
    responses=describe(
        404,
        also={200: {"content": {SVG: {"schema": {"type": "string"}}}, "description": "The badge."}},
    ),
)
async def badge(
    services: Served,
    caller: ReadsRunsOrIsAnonymous,
    name: Name,
    metric: _Metric = BadgeMetric.STATE,
) -> Response:
    """Return the badge of a task as SVG. Without a key only if the task has `"badge": "public"`, else 401.

    It may be half a minute old, and be kept for a minute by whoever asks.
    """
    anonymous = not caller.may(Scope.RUNS_READ)
    try:
        audience, drawn = await services.computing.run(
            _drawn, services, name, metric, anonymous=anonymous
        )
    except NotFound:
        if anonymous:
            return _unknown()
        raise
    kept = "private" if audience is BadgeAudience.PRIVATE else "public"
    headers = {"cache-control": f"{kept}, max-age={KEPT}"}
    return Response(drawn, 200, headers, f"{SVG}; charset=utf-8")


def _unknown() -> Response:
    """Return the same for a task that is private and for one that is not there."""
    return problem_response(
        401,
        "unauthorized",
        "A key is needed",
        "Send the header Authorization: Bearer <key>; without one only public badges are shown.",
        headers={"www-authenticate": "Bearer"},
    )


def _drawn(
    services: Services, name: str, metric: BadgeMetric, *, anonymous: bool
) -> tuple[BadgeAudience, str]:
    """Return a badge, with who may see it; raises NotFound."""
    now = services.clock.now()
    with services.database.read() as connection:
        task = find_task(connection, name)
        if anonymous and task.definition.badge is not BadgeAudience.PUBLIC:
            raise missing_task(name)
        key, at = (task.id, metric), services.clock.monotonic()
        drawn = services.badges.find(key, at)
        if drawn is None:
            made = draw(read_badge(connection, task, metric, now))
            drawn = services.badges.keep(key, made, at + DRAWN_FOR)
        return task.definition.badge, drawn
