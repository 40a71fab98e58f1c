"""Times in queries: an instant, or, where the task is known, a date or a local time in its time zone."""

from datetime import datetime
from typing import Annotated

from fastapi import Query
from fastapi.exceptions import RequestValidationError

from rota.api.http.services import Services
from rota.domain.access.names import NameLimit
from rota.domain.schedules.requested_times import RequestedTime, parse_requested_time, zone_of
from rota.domain.tasks.task import Task
from rota.errors import NotFound, Unplannable
from rota.store.task_rows import find_task

_HOW = (
    "RFC 3339 with an offset (a `+` in it is written `%2B` in a URL); or, in the task's time zone, a local time or "
    "a date"
)
_LONGEST = 64

#: A time; the name of the parameter says what it is for.
GivenTime = Annotated[
    str | None,
    Query(
        description=f"{_HOW}.",
        examples=["2026-11-25T08:00:00Z"],
        max_length=_LONGEST,
    ),
]


def time_of(name: str, given: str | None, of: Task | None) -> RequestedTime | None:
    """Return the time that a parameter gives; raises RequestValidationError.

    `of` is the task whose time zone applies; without one, a time needs an offset.
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
    first: str | None, last: str | None, of: Task | None, what: str = "scheduled"
) -> tuple[datetime | None, datetime | None]:
    """Return the bounds that `scheduled_from` and `scheduled_to` give, both inclusive; a date is its whole day.

    `what`: with which word the names of these parameters begin.
    """
    begin, end = time_of(f"{what}_from", first, of), time_of(f"{what}_to", last, of)
    return None if begin is None else begin.start, None if end is None else end.last


def wrong_time(name: str, given: str, detail: str) -> RequestValidationError:
    """Return the error for a parameter that is not a valid time."""
    return RequestValidationError(
        [{"type": "instant", "loc": ("query", name), "msg": detail, "input": given}]
    )


def task_of(services: Services, names: tuple[str, ...], limit: NameLimit) -> Task | None:
    """Return the task whose time zone applies to a list: the only one that its filter names, if it exists.

    One that the client may not see (`limit`) does not exist for it.
    """
    if len(names) != 1 or not limit.covers(names[0]):
        return None
    try:
        with services.database.read() as connection:
            return find_task(connection, names[0])
    except NotFound:
        return None
