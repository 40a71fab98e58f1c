"""Named calendars: declare, read, list, remove.

They are shared by all tasks: every key that reads tasks reads them, and a key that is limited to some tasks does not
change them.
"""

from datetime import datetime

from fastapi import APIRouter, Request, Response

from rota.api.calendars.request_models import CalendarIn
from rota.api.calendars.response_models import (
    CalendarOut,
    CalendarsOut,
    show_calendar,
    show_summary,
)
from rota.api.http.access import ReadsTasks, SetsCalendars
from rota.api.http.audit_entries import of_row
from rota.api.http.etags import IfMatch, IfNoneMatch, etag, precondition
from rota.api.http.pagination import Cursor, Limit, decode_cursor, paginate
from rota.api.http.request_model import check_name
from rota.api.http.responses import reply, send
from rota.api.http.routing import router
from rota.api.http.services import Served, Services
from rota.api.problems.problem import describe
from rota.domain.access.principal import Principal
from rota.domain.audit.actions import Action, Kind
from rota.domain.calendars.days import listed
from rota.domain.calendars.holiday_rules import check_region
from rota.domain.calendars.icalendar_text import days_of_text
from rota.domain.calendars.source import NamedCalendar, Source, SourceKind
from rota.domain.primitives.texts.names import Name
from rota.store.calendars.changes import PutCalendar, RemoveCalendar
from rota.store.calendars.reading import find_calendar, list_calendars
from rota.store.calendars.usage import users_of

routes: APIRouter = router("/v1/calendars", "calendars")


@routes.get("", response_model=CalendarsOut, responses=describe())
def list_all(
    services: Served, _caller: ReadsTasks, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """List calendars by name, with their next days."""
    position = decode_cursor(cursor, 1)
    with services.database.read() as connection:
        found = list_calendars(connection, position[0] if position else "", limit + 1)
    page, following = paginate(found, limit, lambda calendar: [calendar.name])
    today = services.clock.now().date()
    items = [show_summary(each, today) for each in page]
    return send(reply(200, CalendarsOut(items=items, next_cursor=following)))


@routes.get("/{name}", response_model=CalendarOut, responses=describe(404))
def read(services: Served, caller: ReadsTasks, name: Name) -> Response:
    """Read a calendar, as it was declared."""
    with services.database.read() as connection:
        found = find_calendar(connection, name)
    return _sent(services, caller, found)


@routes.put(
    "/{name}",
    response_model=CalendarOut,
    responses=describe(
        "extra-missing",
        "conflict",
        "precondition-failed",
        also={201: {"model": CalendarOut, "description": "It is new."}},
    ),
)
async def declare(
    request: Request,
    services: Served,
    caller: SetsCalendars,
    name: Name,
    body: CalendarIn,
    _match: IfMatch = None,
    _none_match: IfNoneMatch = None,
) -> Response:
    """Declare a calendar. Tasks that use it follow its days from now on; what has passed is not changed."""
    check_name(body.name, name, "calendar")
    source = await services.computing.run(_source, body, services.clock.now())
    command = PutCalendar(
        name=name,
        source=source,
        description=body.description,
        by=caller.label,
        expected=precondition(request),
    )
    logged = of_row(Action.CALENDAR_DECLARED, Kind.CALENDAR, name, command)
    calendar, created = await services.writer.run(logged)
    return await services.computing.run(_sent, services, caller, calendar, 201 if created else 200)


@routes.delete(
    "/{name}",
    status_code=204,
    response_class=Response,
    responses=describe("not-found", "calendar-in-use", "conflict", "precondition-failed"),
)
async def delete(
    request: Request, services: Served, _caller: SetsCalendars, name: Name, _match: IfMatch = None
) -> Response:
    """Remove a calendar that no task uses."""
    command = RemoveCalendar(name=name, expected=precondition(request))
    await services.writer.run(of_row(Action.CALENDAR_REMOVED, Kind.CALENDAR, name, command))
    return Response(status_code=204)


def _source(body: CalendarIn, now: datetime) -> Source:
    """Return what a body declares. Raises Invalid, and Conflict if a library is not installed."""
    if body.dates is not None:
        dates = tuple(sorted(set(body.dates)))
        return Source(SourceKind.DATES, dates=dates, spans=listed(dates))
    if body.icalendar is not None:
        spans = days_of_text(body.icalendar, now)
        return Source(SourceKind.ICALENDAR, icalendar=body.icalendar, spans=spans)
    assert body.holidays is not None  # the model has one of the three
    check_region(body.holidays.region)
    return Source(SourceKind.HOLIDAYS, region=body.holidays.region)


def _sent(
    services: Services, caller: Principal, calendar: NamedCalendar, status: int = 200
) -> Response:
    with services.database.read() as connection:
        usage = users_of(connection, calendar.id, caller.tasks)
    shown = show_calendar(calendar, usage.count, services.clock.now().date())
    return send(reply(status, shown, {"etag": etag(calendar.id, calendar.version)}))
