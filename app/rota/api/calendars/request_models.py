"""Request models of calendars."""

from datetime import date
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, StringConstraints, field_validator, model_validator
from pydantic_core import PydanticCustomError

from rota.api.http.request_model import RequestModel, without
from rota.domain.calendars.holiday_rules import Region
from rota.domain.calendars.icalendar_text import MOST_TEXT
from rota.domain.calendars.source import MOST_DATES
from rota.domain.primitives.texts.names import Name
from rota.domain.primitives.times.instants import parse_date

_SERVICE_FIELDS = frozenset(
    {"source", "next", "tasks", "version", "created_at", "updated_at", "updated_by"}
)
_CHRISTMAS = (
    "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART;VALUE=DATE:20261224\r\nDTEND;VALUE=DATE:20261227\r\n"
    "RRULE:FREQ=YEARLY\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)
_KINDS = ("dates", "icalendar", "holidays")


class HolidaysIn(RequestModel):
    """The holidays of a country, or of a part of it; those of each year, without an end."""

    country: str = Field(
        min_length=2, max_length=3, description="By ISO 3166-1: two letters.", examples=["DE"]
    )
    subdivision: str | None = Field(
        None,
        max_length=64,
        description="A state, province or city, mostly by ISO 3166-2 without the country; null: what holds everywhere.",
        examples=["BE"],
    )

    @property
    def region(self) -> Region:
        return Region(self.country, self.subdivision)


class CalendarIn(RequestModel):
    """The days of a calendar, in exactly one form. A response of `GET` can be sent back: fields of the service are
    ignored.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"dates": ["2026-12-24", "2026-12-31"], "description": "The office is closed"},
                {"holidays": {"country": "DE", "subdivision": "BE"}},
            ]
        }
    )

    name: Name | None = Field(None, description="As in the path; can be left out.")
    dates: tuple[date, ...] | None = Field(
        None,
        min_length=1,
        max_length=MOST_DATES,
        description="Dates, each once, in any order.",
        examples=[["2026-12-24", "2026-12-31"]],
    )
    icalendar: Annotated[str, StringConstraints(max_length=MOST_TEXT)] | None = Field(
        None,
        description="An iCalendar text (RFC 5545): each day that an event touches, repeated ones for 30 years. Needs "
        "the extra `calendars`.",
        examples=[_CHRISTMAS],
    )
    holidays: HolidaysIn | None = Field(
        None, description="Public holidays, computed for each year. Needs the extra `calendars`."
    )
    description: Annotated[str, StringConstraints(max_length=1_000)] | None = Field(
        None, description="What it is for.", examples=["The office is closed"]
    )

    @model_validator(mode="before")
    @classmethod
    def _ignore_fields_of_the_service(cls, body: Any) -> Any:
        return without(body, _SERVICE_FIELDS)

    @field_validator("dates", mode="before")
    @classmethod
    def _are_dates(cls, dates: Any) -> Any:
        if not isinstance(dates, list):
            return dates
        return [parse_date(each) if isinstance(each, str) else each for each in dates]

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        given = [name for name in _KINDS if getattr(self, name) is not None]
        if len(given) != 1:
            raise PydanticCustomError(
                "calendar", "give exactly one of 'dates', 'icalendar' and 'holidays'"
            )
        return self
