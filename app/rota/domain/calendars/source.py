"""What a calendar is declared as, and a calendar as it is stored."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from rota.domain.calendars.days import CalendarDays, DayRule, DaySpans, HolidayDays, ListedDays
from rota.domain.calendars.holiday_rules import NOWHERE, Region
from rota.domain.primitives.ids import Id

#: Calendars, and the dates of one.
MOST_CALENDARS, MOST_DATES = 1_000, 5_000


class SourceKind(StrEnum):
    """How the days of a calendar are given."""

    DATES = "dates"
    ICALENDAR = "icalendar"
    HOLIDAYS = "holidays"


@dataclass(frozen=True, slots=True)
class Source:
    """What a client declared: dates, a text, or a region; one of them, by `kind`."""

    kind: SourceKind
    dates: tuple[date, ...] = ()
    icalendar: str = ""
    region: Region = NOWHERE
    #: The days of dates, and of a text as they were found when it was declared.
    spans: DaySpans = ()

    @property
    def rule(self) -> DayRule:
        """The days of it."""
        return (
            HolidayDays(self.region) if self.kind is SourceKind.HOLIDAYS else ListedDays(self.spans)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedCalendar:
    """A calendar as it is stored."""

    id: Id
    name: str
    source: Source
    description: str | None
    version: int
    revision: Id
    created_at: datetime
    updated_at: datetime
    updated_by: str

    @property
    def days(self) -> CalendarDays:
        return CalendarDays(self.revision, self.source.rule)
