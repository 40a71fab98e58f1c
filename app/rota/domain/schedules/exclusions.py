"""Exclusions: dates and spans that a schedule leaves out. Fire times in them are recorded as skipped runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from rota.domain.calendars.days import CalendarDays
from rota.domain.calendars.spans import end_of, merged
from rota.domain.fire_time import TICK
from rota.domain.primitives.bounded_cache import bounded_cache
from rota.domain.primitives.texts.names import is_name
from rota.domain.primitives.times.instants import format_instant, is_date, parse_date, parse_instant
from rota.domain.time_zones.zone import zone
from rota.errors import Unplannable

MOST_EXCLUSIONS = 500
#: The size of an exclusion in a cache, in bytes.
WRITTEN = 40

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Dates:
    """Whole days in the schedule's time zone, `first` and `last` included."""

    first: date
    last: date


@dataclass(frozen=True, slots=True)
class Instants:
    """A span of time, `start` included, `end` not."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class InCalendar:
    """The days of a named calendar, in the schedule's time zone.

    `days` is None until the store fills them in (`with_days`): without them nothing can be computed.
    """

    name: str
    days: CalendarDays | None = None


AnyExclusion = Dates | Instants | InCalendar


def parse_exclusion(value: Any) -> AnyExclusion:
    """Read a date, a span or a calendar; raises ValueError (as pydantic's own error) with what would be right."""
    if isinstance(value, AnyExclusion):
        return value
    if isinstance(value, str):
        day = parse_date(value)
        return Dates(day, day)
    if isinstance(value, Mapping) and set(value) == {"calendar"}:
        return InCalendar(_name_of_calendar(value["calendar"]))
    if not isinstance(value, Mapping) or set(value) != {"from", "to"}:
        raise _wrong(
            'give a date (\'2026-12-25\'), a span: {"from": …, "to": …}, or a calendar: {"calendar": name}'
        )
    return _parse_span(value["from"], value["to"])


def show_exclusion(exclusion: AnyExclusion) -> str | dict[str, str]:
    """Return the exclusion as JSON, in the form that `parse_exclusion` reads; a span of one day as its date."""
    if isinstance(exclusion, InCalendar):
        return {"calendar": exclusion.name}
    if isinstance(exclusion, Instants):
        return {"from": format_instant(exclusion.start), "to": format_instant(exclusion.end)}
    first, last = exclusion.first.isoformat(), exclusion.last.isoformat()
    return first if first == last else {"from": first, "to": last}


def normalised(exclusions: tuple[AnyExclusion, ...]) -> tuple[AnyExclusion, ...] | None:
    """Return the exclusions in order, each once, so that equal ones are written alike; None if there are none."""
    days = sorted(
        {each for each in exclusions if isinstance(each, Dates)},
        key=lambda each: (each.first, each.last),
    )
    spans = sorted(
        {each for each in exclusions if isinstance(each, Instants)},
        key=lambda each: (each.start, each.end),
    )
    calendars = sorted(
        {each for each in exclusions if isinstance(each, InCalendar)}, key=lambda each: each.name
    )
    return (*days, *spans, *calendars) or None


def _name_of_calendar(name: Any) -> str:
    if not isinstance(name, str) or not is_name(name):
        raise _wrong("'calendar' is the name of one: GET /v1/calendars lists them")
    return name


def _parse_span(start: Any, end: Any) -> Dates | Instants:
    if not isinstance(start, str) or not isinstance(end, str):
        raise _wrong("'from' and 'to' are dates ('2026-12-24'), or times with an offset")
    dates = [is_date(each) for each in (start, end)]
    if dates[0] != dates[1]:
        raise _wrong("'from' and 'to' are both dates, or both times with an offset")
    if dates[0]:
        span: Dates | Instants = Dates(parse_date(start), parse_date(end))
        empty = parse_date(end) < parse_date(start)
    else:
        span = Instants(parse_instant(start), parse_instant(end))
        empty = span.end <= span.start
    if empty:
        raise _wrong("'to' comes before 'from'" if dates[0] else "'to' does not come after 'from'")
    return span


def _wrong(message: str) -> PydanticCustomError:
    return PydanticCustomError("exclude", "{reason}", {"reason": message})


Exclusion = Annotated[
    AnyExclusion,
    PlainValidator(parse_exclusion),
    PlainSerializer(show_exclusion, return_type=str | dict[str, str]),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "format": "date"},
                {
                    "type": "object",
                    "properties": {"from": {"type": "string"}, "to": {"type": "string"}},
                    "required": ["from", "to"],
                    "additionalProperties": False,
                },
                {
                    "type": "object",
                    "properties": {"calendar": {"type": "string"}},
                    "required": ["calendar"],
                    "additionalProperties": False,
                },
            ],
            "description": "A date; a span of dates, both included; "
            "a span of times with an offset, `to` not included; or the days of a named calendar.",
            "examples": [
                "2026-12-25",
                {"from": "2026-12-24", "to": "2027-01-02"},
                {"calendar": "holidays-berlin"},
            ],
        }
    ),
]
Exclusions = Annotated[tuple[Exclusion, ...], Field(max_length=MOST_EXCLUSIONS)]


class Excluded:
    """The exclusions of a schedule, prepared for look-ups by instant."""

    def __init__(self, exclusions: Sequence[AnyExclusion], place: ZoneInfo) -> None:
        self._zone = place
        self._days = merged(
            (each.first, each.last + _DAY) for each in exclusions if isinstance(each, Dates)
        )
        self._spans = merged(
            (each.start, each.end) for each in exclusions if isinstance(each, Instants)
        )
        self._calendars = [_known(each) for each in exclusions if isinstance(each, InCalendar)]
        self._by_days = bool(self._days or self._calendars)

    def __contains__(self, at: datetime) -> bool:
        return end_of(self._spans, at) is not None or (
            self._by_days and self._end_of_days(self._local_date(at)) is not None
        )

    def until(self, at: datetime) -> datetime:
        """Return the first instant from `at` on that is not excluded (UTC)."""
        while True:
            day = self._end_of_days(self._local_date(at)) if self._by_days else None
            end = end_of(self._spans, at) if day is None else self._midnight(day)
            if end is None:
                return at
            at = max(end, at + TICK)

    def _end_of_days(self, day: date) -> date | None:
        """Return a day up to which all from `day` on are excluded; None if `day` is not."""
        end = end_of(self._days, day)
        for calendar in self._calendars:
            if end is not None:
                return end
            end = calendar.rule.end(day)
        return end

    def _local_date(self, at: datetime) -> date:
        return at.astimezone(self._zone).date()

    def _midnight(self, day: date) -> datetime:
        return datetime(day.year, day.month, day.day, tzinfo=self._zone).astimezone(UTC)


def _known(of: InCalendar) -> CalendarDays:
    if of.days is None:
        raise Unplannable(f"there is no calendar {of.name!r}")
    return of.days


def excluded(exclusions: tuple[AnyExclusion, ...], timezone: str) -> Excluded:
    """Return the prepared exclusions; raises Unplannable for an unknown zone, or a calendar that is not there."""
    return _excluded(exclusions, zone(timezone))


def _size(exclusions: tuple[AnyExclusion, ...], place: ZoneInfo) -> int:  # noqa: ARG001
    return WRITTEN * len(exclusions)


@bounded_cache(_size)
def _excluded(exclusions: tuple[AnyExclusion, ...], place: ZoneInfo) -> Excluded:
    return Excluded(exclusions, place)
