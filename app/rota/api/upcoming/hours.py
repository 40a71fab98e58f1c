"""How much is due in each hour of the next days: GET /v1/upcoming/hours."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field
from typing_extensions import TypedDict

from rota.api.http.access import ReadsTasks
from rota.api.http.formats import InstantText
from rota.api.http.pagination import split
from rota.api.http.responses import reply, send
from rota.api.http.routing import router
from rota.api.http.services import Served, Services
from rota.api.problems.problem import describe
from rota.domain.primitives.times.instants import format_instant
from rota.domain.runs.load import HOUR, HourlyLoad, hourly_load
from rota.domain.tasks.task import Task
from rota.store.idempotency import Reply
from rota.store.scheduling.coming import TasksMeant
from rota.store.scheduling.sampled import Sample, sample_due

routes: APIRouter = router("/v1", "tasks")

#: So many tasks that are due next are examined each; of those after them, if there are many, some.
FIRST = 300
#: So many fire times are computed in all, of each task at least and at most so many.
_FIRE_TIMES, _FEW, _MANY = 8_000, 8, 1_000
#: For so many seconds the response is kept.
_KEPT = 60


class HourOut(TypedDict):
    """An hour."""

    at: Annotated[
        InstantText, Field(description="When it begins.", examples=["2026-11-25T08:00:00.000Z"])
    ]
    runs: Annotated[int, Field(description="How many fire times run in it.", examples=[412])]
    seconds: Annotated[
        float,
        Field(
            description="How long they run in all, if each takes as long as the last run of its task that has ended.",
            examples=[951.2],
        ),
    ]


class HoursOut(TypedDict):
    """How much is due in each hour."""

    items: Annotated[list[HourOut], Field(description="The hours, the present one first.")]
    tasks: Annotated[
        int, Field(description="How many active tasks are due in this time.", examples=[1284])
    ]
    exact: Annotated[
        bool, Field(description="False: computed for a part of the tasks, or of their fire times.")
    ]


@routes.get("/upcoming/hours", response_model=HoursOut, responses=describe())
async def list_hours(
    services: Served,
    caller: ReadsTasks,
    task: Annotated[list[str] | None, Query(description="Only these tasks.")] = None,
    tag: Annotated[
        list[str] | None, Query(description="Tasks that have one of these tags.")
    ] = None,
    days: Annotated[int, Query(ge=1, le=14, description="How many days ahead.")] = 7,
) -> Response:
    """Count the fire times that run in each hour (UTC) of the next days, of all active tasks.

    Of many tasks, or many fire times, it is an estimate from a part of them. It may be a minute old.
    """
    wanted = TasksMeant(names=split(task), tags=split(tag), limit=caller.tasks)
    found = services.statistics.find(_key(wanted, days), services.clock.monotonic())
    if found is None:
        found = await services.computing.run(_counted, services, wanted, days)
    return send(found)


def _key(wanted: TasksMeant, days: int) -> tuple[object, ...]:
    return ("hours", wanted.limit, tuple(wanted.names), tuple(wanted.tags), days)


def _counted(services: Services, wanted: TasksMeant, days: int) -> Reply:
    now = services.clock.now()
    start = now.replace(minute=0, second=0, microsecond=0)
    hours = days * 24
    with services.database.read() as connection:
        sample = sample_due(connection, wanted, start + hours * HOUR, FIRST)
    load = _load(services, sample, start, now, hours)
    until = services.clock.monotonic() + _KEPT
    return services.statistics.keep(_key(wanted, days), reply(200, _show(load, sample)), until)


def _load(
    services: Services, sample: Sample, start: datetime, now: datetime, hours: int
) -> HourlyLoad:
    holds = services.known_holds.latest.between(now, start + timedelta(hours=hours))

    def is_held(task: Task, at: datetime) -> bool:
        definition = task.definition
        return bool(holds) and any(
            each.covers(at) for each in holds.of(task.name, definition.queue, definition.tags)
        )

    most = min(max(_FIRE_TIMES // max(len(sample.tasks), 1), _FEW), _MANY)
    return hourly_load(sample.tasks, start, now, hours, most, is_held)


def _show(load: HourlyLoad, sample: Sample) -> HoursOut:
    items = [
        HourOut(
            at=format_instant(load.start + index * HOUR),
            runs=round(count),
            seconds=round(seconds, 1),
        )
        for index, (count, seconds) in enumerate(zip(load.counts, load.seconds, strict=True))
    ]
    return {"items": items, "tasks": sample.total, "exact": load.exact}
