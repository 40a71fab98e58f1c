"""What runs next of all tasks that a key may see: GET /v1/upcoming, and the same as a calendar."""

from datetime import datetime, timedelta
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Response

from rota.api.http.access import ReadsTasks
from rota.api.http.pagination import split
from rota.api.http.requested_times import GivenTime, time_of
from rota.api.http.responses import reply, send
from rota.api.http.routing import router
from rota.api.http.services import Served, Services
from rota.api.problems.problem import describe
from rota.api.upcoming.icalendar import MEDIA_TYPE, Event, render_calendar
from rota.api.upcoming.response_models import AgendaOut, ComingRunOut
from rota.domain.holds.held import Holds
from rota.domain.primitives.times.instants import format_instant
from rota.domain.runs.agenda import Agenda, ComingRun, plan_agenda
from rota.domain.schedules.descriptions import describe as in_english
from rota.domain.schedules.requested_times import zone_of
from rota.domain.time_zones.zone import zone
from rota.errors import Unplannable
from rota.store.scheduling.coming import TasksMeant, due_next

routes: APIRouter = router("/v1", "tasks")

MOST = 500
#: Of the calendar: all its events, and those of one task, which would fill it otherwise.
MOST_EVENTS, MOST_EVENTS_OF_A_TASK = 1_000, 100
_AHEAD, _FURTHEST = timedelta(days=7), timedelta(days=366)
# Tasks that are read, if those read before are not enough: some fire times do not run.
_GROWTH, _MOST_TASKS = 4, 4_000

TaskNames = Annotated[list[str] | None, Query(description="Only these tasks.")]
Tags = Annotated[list[str] | None, Query(description="Tasks that have one of these tags.")]


@routes.get("/upcoming", response_model=AgendaOut, responses=describe())
async def list_upcoming(
    services: Served,
    caller: ReadsTasks,
    task: TaskNames = None,
    tag: Tags = None,
    until: GivenTime = None,
    limit: Annotated[int, Query(ge=1, le=MOST, description="How many items at most.")] = 50,
) -> Response:
    """List the fire times that run next, of all active tasks, by time: those of the next 7 days, or up to `until`.

    Of a `fixed_delay` only the next one is known, of `after` and `manual` none.
    """
    now = services.clock.now()
    given = time_of("until", until, None)
    last = min(now + _AHEAD if given is None else given.last, now + _FURTHEST)
    wanted = TasksMeant(names=split(task), tags=split(tag), limit=caller.tasks)
    agenda = await services.computing.run(_agenda, services, wanted, now, last, limit)
    holds = _holds(services, now, last)
    shown: AgendaOut = {
        "items": [_show(run, holds) for run in agenda.runs],
        "until": format_instant(last),
        "complete_until": format_instant(agenda.complete_until),
    }
    return send(reply(200, shown))


@routes.get(
    "/upcoming.ics",
    response_class=Response,
    responses=describe(
        also={200: {"content": {"text/calendar": {}}, "description": "A calendar (RFC 5545)."}}
    ),
)
async def read_calendar(
    services: Served,
    caller: ReadsTasks,
    task: TaskNames = None,
    tag: Tags = None,
    days: Annotated[int, Query(ge=1, le=90, description="How many days ahead.")] = 14,
) -> Response:
    """Return the same as a calendar that can be subscribed to (iCalendar): an event for each fire time.

    Calendars cannot send `Authorization: Bearer …`, so here HTTP Basic does as well: any user name, and a key as the
    password. A task has 100 events at most, all together 1,000.
    """
    now = services.clock.now()
    wanted = TasksMeant(names=split(task), tags=split(tag), limit=caller.tasks)
    body = await services.computing.run(
        _calendar, services, wanted, now, now + timedelta(days=days)
    )
    headers = {"content-disposition": 'inline; filename="rota.ics"', "cache-control": "private"}
    return Response(body, headers=headers, media_type=MEDIA_TYPE)


def _agenda(
    services: Services,
    wanted: TasksMeant,
    now: datetime,
    until: datetime,
    limit: int,
    of_each: int | None = None,
) -> Agenda:
    """Return what runs next. Nearly always as many tasks as runs are enough, since each runs at its next fire time."""
    number = limit + 1
    while True:
        with services.database.read() as connection:
            tasks = due_next(connection, wanted, until, number)
        more_from = tasks[-1].next_fire_at if len(tasks) == number else None
        agenda = plan_agenda(tasks, now, until, limit, of_each=of_each, more_from=more_from)
        if len(agenda.runs) == limit or more_from is None or number >= _MOST_TASKS:
            return agenda
        number = min(number * _GROWTH, _MOST_TASKS)


def _holds(services: Services, now: datetime, until: datetime) -> Holds:
    """Return the holds that last within a time, from memory: those of another replica are known within a second."""
    return services.known_holds.latest.between(now, until)


def _is_held(run: ComingRun, holds: Holds) -> bool:
    definition = run.task.definition
    return bool(holds) and any(
        each.covers(run.at) for each in holds.of(run.task.name, definition.queue, definition.tags)
    )


def _show(run: ComingRun, holds: Holds) -> ComingRunOut:
    definition = run.task.definition
    return {
        "at": format_instant(run.at),
        "local": _local(run).isoformat(timespec="milliseconds"),
        "task": run.task.name,
        "handler": definition.handler,
        "queue": definition.queue,
        "tags": list(definition.tags),
        "held": _is_held(run, holds),
    }


def _local(run: ComingRun) -> datetime:
    try:
        return run.at.astimezone(zone(zone_of(run.task.definition.schedule)))
    except Unplannable:
        return run.at


def _calendar(
    services: Services,
    wanted: TasksMeant,
    now: datetime,
    until: datetime,
) -> bytes:
    agenda = _agenda(services, wanted, now, until, MOST_EVENTS, MOST_EVENTS_OF_A_TASK)
    description = (
        f"Fire times up to {format_instant(agenda.complete_until)}; of each task the next {MOST_EVENTS_OF_A_TASK} at "
        "most."
    )
    address = services.settings.public_url
    holds = _holds(services, now, until)
    due = (run for run in agenda.runs if not _is_held(run, holds))
    return render_calendar("Rota", description, (_to_event(run, address) for run in due))


def _to_event(run: ComingRun, address: str | None) -> Event:
    task = run.task
    try:
        rule = in_english(task.definition.schedule)
    except Unplannable:  # a zone that is no longer known
        rule = ""
    return Event(
        uid=f"{task.id}-{run.at:%Y%m%dT%H%M%S}{run.at.microsecond // 1000:03}@rota",
        at=run.at,
        changed_at=task.updated_at,
        summary=task.name,
        description="\n".join(filter(None, (task.definition.description, rule))),
        categories=task.definition.tags,
        url=f"{address.rstrip('/')}/v1/tasks/{quote(task.name)}" if address else None,
    )
