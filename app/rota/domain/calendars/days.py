"""The days of a calendar, as schedules look them up. Two are equal if they are the same version of one calendar."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Protocol

from rota.domain.calendars.holiday_rules import LAST_YEAR, Region, holidays_of
from rota.domain.calendars.spans import end_of, merged
from rota.domain.primitives.ids import Id

#: Days with the day after them: `(first, end)`, merged and in order.
DaySpans = Sequence[tuple[date, date]]

_DAY = timedelta(days=1)


def listed(dates: Iterable[date]) -> DaySpans:
    """Return single days as spans."""
    return merged((each, each + _DAY) for each in dates if each < date.max)


class DayRule(Protocol):
    """A set of days of a calendar."""

    def end(self, day: date) -> date | None:
        """Return a later day that follows `day` and days of the calendar only; None: `day` is none of them."""

    def after(self, day: date) -> Iterator[date]:
        """Yield the days of the calendar from `day` on, in order."""


@dataclass(frozen=True, slots=True)
class ListedDays:
    """Days that were listed, or that an iCalendar text represents."""

    spans: DaySpans

    def end(self, day: date) -> date | None:
        return end_of(self.spans, day)

    def after(self, day: date) -> Iterator[date]:
        for first, end in self.spans:
            each = max(first, day)
            while each < end:
                yield each
                each += _DAY


@dataclass(frozen=True, slots=True)
class HolidayDays:
    """The holidays of a region: computed a year at a time, when that year is asked for."""

    region: Region

    def end(self, day: date) -> date | None:
        return day + _DAY if day in holidays_of(self.region, day.year) else None

    def after(self, day: date) -> Iterator[date]:
        for year in range(day.year, LAST_YEAR + 1):
            yield from (each for each in sorted(holidays_of(self.region, year)) if each >= day)


@dataclass(frozen=True, slots=True)
class CalendarDays:
    """The days of one version of a calendar; every change of it makes another `revision`."""

    revision: Id
    rule: DayRule = field(compare=False, repr=False)
