"""Previews: the fire times of a schedule, before a task is registered with it."""

from datetime import datetime
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Response

from rota.api.http.access import ReadsTasks
from rota.api.http.responses import reply, send
from rota.api.http.routing import router
from rota.api.http.services import Served, Services
from rota.api.problems.problem import describe
from rota.api.tasks.request_models import PreviewIn
from rota.api.tasks.response_models import FireTimeOut, PreviewOut
from rota.api.tasks.views import show_finding
from rota.domain.lint.rules import left_out, lint
from rota.domain.primitives.times.instants import format_instant
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.descriptions import describe as in_english
from rota.domain.schedules.first_runs import first_runs
from rota.domain.schedules.past_times import check_not_past
from rota.domain.schedules.requested_times import zone_of
from rota.domain.step_budget import too_costly
from rota.domain.time_zones.zone import zone
from rota.errors import TooCostly
from rota.store.calendars.usage import checked_schedule

routes: APIRouter = router("/v1/schedules", "tasks")


@routes.post("/preview", response_model=PreviewOut, responses=describe())
async def preview(services: Served, _caller: ReadsTasks, body: PreviewIn) -> Response:
    """Return when a schedule would fire, what it says in plain English, and what may be a mistake in it.

    A schedule that a registration would refuse is refused here as well.
    """
    begin = body.begin or services.clock.now()
    try:
        return send(reply(200, await services.computing.run(_preview, services, body, begin)))
    except TooCostly as error:
        raise too_costly(error) from None


def _preview(services: Services, body: PreviewIn, begin: datetime) -> PreviewOut:
    with services.database.read() as connection:
        schedule = checked_schedule(connection, body.schedule)
    check_not_past(schedule, begin)
    anchor = Anchor(begin, body.name or "")
    times = first_runs(schedule, anchor, body.count)
    found = [
        *lint(schedule, begin, times, begin),
        *left_out(schedule, anchor, times),
    ]
    place = zone(zone_of(schedule))
    return {
        "fire_times": [_show_time(at, place) for at in times],
        "description": in_english(schedule),
        "warnings": [show_finding(each) for each in found],
    }


def _show_time(at: datetime, place: ZoneInfo) -> FireTimeOut:
    local = at.astimezone(place).isoformat(timespec="milliseconds")
    return {"at": format_instant(at), "local": local}
