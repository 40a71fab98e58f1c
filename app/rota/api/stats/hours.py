"""What ended in each of the last hours: GET /v1/stats/hours."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field
from typing_extensions import TypedDict

from rota.api.http.access import ReadsRuns
from rota.api.http.formats import InstantText
from rota.api.http.responses import reply, send
from rota.api.http.routing import router
from rota.api.http.services import Served, Services
from rota.api.problems.problem import describe
from rota.domain.access.names import NameLimit
from rota.domain.primitives.times.instants import format_instant
from rota.store.idempotency import Reply
from rota.store.stats.hourly import EndedInHour, ended_by_hour

routes: APIRouter = router("/v1/stats", "runs")

_HOUR = timedelta(hours=1)
#: Seconds that it is kept, and how many times as long as it took, if that is more.
_KEPT, _AS_LONG = 10, 10


class EndedOut(TypedDict):
    """The runs that ended in an hour; skipped ones do not count."""

    at: Annotated[
        InstantText,
        Field(description="When the hour begins.", examples=["2026-11-25T08:00:00.000Z"]),
    ]
    succeeded: Annotated[int, Field(examples=[1284])]
    failed: Annotated[int, Field(examples=[3])]
    cancelled: Annotated[int, Field(examples=[0])]
    lateness: Annotated[
        float | None,
        Field(
            description="From the fire time to the first start, of runs of schedules: the mean, in seconds. Null: "
            "none ended.",
            examples=[0.012],
        ),
    ]
    lateness_max: Annotated[float | None, Field(description="The longest.", examples=[0.8])]


class EndedHoursOut(TypedDict):
    """What ended in each hour."""

    items: Annotated[
        list[EndedOut],
        Field(description="The hours, the present one, which is not over yet, as the last."),
    ]


@routes.get("/hours", response_model=EndedHoursOut, responses=describe())
async def list_hours(
    services: Served,
    caller: ReadsRuns,
    hours: Annotated[int, Query(ge=1, le=48, description="How many hours back.")] = 12,
) -> Response:
    """Count the runs of all tasks that ended in each of the last hours (UTC), and say how late they had started.

    It may be ten seconds old, or ten times as old as it took.
    """
    key = ("ended", caller.tasks, hours)
    found = services.statistics.find(key, services.clock.monotonic())
    if found is None:
        found = await services.computing.run(_counted, services, caller.tasks, hours)
    return send(found)


def _counted(services: Services, limit: NameLimit, hours: int) -> Reply:
    begun = services.clock.monotonic()
    present = services.clock.now().replace(minute=0, second=0, microsecond=0)
    start = present - (hours - 1) * _HOUR
    with services.database.read() as connection:
        ended = ended_by_hour(connection, limit, start)
    times = [start + index * _HOUR for index in range(hours)]
    items = [_show(at, ended.get(at, EndedInHour())) for at in times]
    over = services.clock.monotonic()
    until = over + max(_KEPT, _AS_LONG * (over - begun))
    return services.statistics.keep(
        ("ended", limit, hours), reply(200, EndedHoursOut(items=items)), until
    )


def _show(at: datetime, ended: EndedInHour) -> EndedOut:
    mean = ended.lateness_mean
    return {
        "at": format_instant(at),
        "succeeded": ended.by_status.get("succeeded", 0),
        "failed": ended.by_status.get("failed", 0),
        "cancelled": ended.by_status.get("cancelled", 0),
        "lateness": None if mean is None else round(mean, 3),
        "lateness_max": ended.lateness_max,
    }
