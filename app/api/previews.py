"""Previews: what a schedule means, before a task is registered with it."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Response

from app.api import answers, schemas
from app.api.problems import describe
from app.api.replies import reply, send
from app.api.routing import router
from app.api.services import Served
from app.api.views import show_finding
from app.domain.asked_times import zone_of
from app.domain.describing import describe as in_english
from app.domain.fire_times import Anchor
from app.domain.instants import format_instant
from app.domain.linting import left_out, lint
from app.domain.lookahead import first_runs
from app.domain.punctuality import check_not_past
from app.domain.step_budget import too_costly
from app.domain.zones import zone
from app.errors import TooCostly

routes: APIRouter = router("/v1/schedules", "tasks")


@routes.post("/preview", response_model=answers.PreviewOut, responses=describe())
async def preview(services: Served, body: schemas.PreviewIn) -> Response:
    """Tell when a schedule would fire, what it says in plain English, and what of it may not be meant.

    What a registration would refuse is refused here as well.
    """
    begin = body.begin or services.clock.now()
    try:
        return send(reply(200, await services.computing.run(_previewed, body, begin)))
    except TooCostly as error:
        raise too_costly(error) from None


def _previewed(body: schemas.PreviewIn, begin: datetime) -> dict[str, Any]:
    check_not_past(body.schedule, begin)
    anchor = Anchor(begin, body.name or "")
    times = first_runs(body.schedule, anchor, body.count)
    found = [
        *lint(body.schedule, begin, times, begin),
        *left_out(body.schedule, anchor, times),
    ]
    place = zone(zone_of(body.schedule))
    return {
        "fire_times": [_show_time(at, place) for at in times],
        "description": in_english(body.schedule),
        "warnings": [show_finding(each) for each in found],
    }


def _show_time(at: datetime, place: ZoneInfo) -> dict[str, Any]:
    local = at.astimezone(place).isoformat(timespec="milliseconds")
    return {"at": format_instant(at), "local": local}
