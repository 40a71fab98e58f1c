"""Response models of calendars, and their views."""

from datetime import date
from itertools import islice
from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from rota.api.http.formats import InstantText
from rota.domain.calendars.source import NamedCalendar, SourceKind
from rota.domain.primitives.times.instants import format_instant
from rota.errors import Unplannable

#: How many of the days ahead are shown.
SHOWN = 10


class HolidaysOut(TypedDict):
    """The country, or the part of it, whose holidays these are."""

    country: Annotated[str, Field(examples=["DE"])]
    subdivision: Annotated[str | None, Field(examples=["BE"])]


class CalendarSummary(TypedDict):
    """A calendar without what it was declared as."""

    name: Annotated[str, Field(examples=["holidays-berlin"])]
    source: Annotated[
        SourceKind, Field(description="How its days are given.", examples=["holidays"])
    ]
    description: Annotated[str | None, Field(examples=["The office is closed"])]
    next: Annotated[
        list[str],
        Field(
            description=f"Its next days, up to {SHOWN}, from today (UTC) on.",
            examples=[["2026-12-25", "2026-12-26"]],
        ),
    ]
    version: Annotated[int, Field(description="Rises with every change.", examples=[3])]
    created_at: InstantText
    updated_at: InstantText
    updated_by: Annotated[str, Field(examples=["key:1"])]


class CalendarOut(CalendarSummary):
    """A calendar, as it was declared."""

    dates: Annotated[list[str] | None, Field(examples=[["2026-12-24", "2026-12-31"]])]
    icalendar: Annotated[str | None, Field(examples=[None])]
    holidays: HolidaysOut | None
    tasks: Annotated[
        int,
        Field(
            description="How many tasks use it, of those that the client may see.", examples=[12]
        ),
    ]


class CalendarsOut(TypedDict):
    """A page of calendars, by name."""

    items: list[CalendarSummary]
    next_cursor: str | None


def show_summary(calendar: NamedCalendar, today: date) -> CalendarSummary:
    """Return a calendar for a list."""
    return {
        "name": calendar.name,
        "source": calendar.source.kind,
        "description": calendar.description,
        "next": _next(calendar, today),
        "version": calendar.version,
        "created_at": format_instant(calendar.created_at),
        "updated_at": format_instant(calendar.updated_at),
        "updated_by": calendar.updated_by,
    }


def show_calendar(calendar: NamedCalendar, tasks: int, today: date) -> CalendarOut:
    """Return a calendar with what it was declared as; `tasks`: how many use it."""
    source = calendar.source
    region = source.region if source.kind is SourceKind.HOLIDAYS else None
    return {
        **show_summary(calendar, today),
        "dates": [each.isoformat() for each in source.dates] or None,
        "icalendar": source.icalendar or None,
        "holidays": None
        if region is None
        else {"country": region.country, "subdivision": region.subdivision},
        "tasks": tasks,
    }


def _next(calendar: NamedCalendar, today: date) -> list[str]:
    try:
        return [each.isoformat() for each in islice(calendar.source.rule.after(today), SHOWN)]
    except Unplannable:  # the library is not installed any more: it can be shown anyway
        return []
