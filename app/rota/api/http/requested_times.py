"""Times in queries: an instant, or, where the task is known, a date or a time on its clock."""

from datetime import datetime
from typing import Annotated

from fastapi import Query
from fastapi.exceptions import RequestValidationError

from rota.api.http.services import Services
from rota.domain.schedules.requested_times import RequestedTime, parse_requested_time, zone_of
from rota.domain.tasks.definition import Task
from rota.errors import NotFound, Unplannable
from rota.store.task_rows import find_task

_HOW = (
    "RFC 3339 with an offset (a `+` in it is written `%2B` in a URL); or, on the clock of the task's time zone, "
    "a local time or a date"
)
_LONGEST = 64

#: A time, of which a route says what it is for.
GivenTime = Annotated[
    str | None,
    Query(
        description=f"{_HOW}.",
        examples=["2026-11-25T08:00:00Z"],
        max_length=_LONGEST,
    ),
]


def time_of(name: str, given: str | None, of: Task | None) -> RequestedTime | None:
    """Return the time that a parameter gives; raises what FastAPI raises for a parameter.

    `of` is the task that it is asked of; None: there is no clock but that of an offset.
    """
    if given is None:
        return None
    try:
        return parse_requested_time(given, None if of is None else zone_of(of.definition.schedule))
    except ValueError as error:
        raise wrong_time(name, given, str(error)) from None
    except Unplannable as error:
        raise wrong_time(name, given, f"{error.detail} Give a time with an offset") from None


def span_of(
    first: str | None, last: str | None, of: Task | None
) -> tuple[datetime | None, datetime | None]:
    """Return the first and the last time of `scheduled_from` and `scheduled_to`; a date is all of its day."""
    begin, end = time_of("scheduled_from", first, of), time_of("scheduled_to", last, of)
    return None if begin is None else begin.start, None if end is None else end.last


def wrong_time(name: str, given: str, detail: str) -> RequestValidationError:
    """Return the error for a parameter that is no time."""
    return RequestValidationError(
        [{"type": "instant", "loc": ("query", name), "msg": detail, "input": given}]
    )


def task_of(services: Services, names: tuple[str, ...]) -> Task | None:
    """Return the task whose clock a list goes by: the only one that it is asked for, if there is such a one."""
    if len(names) != 1:
        return None
    try:
        with services.database.read() as connection:
            return find_task(connection, names[0])
    except NotFound:
        return None
