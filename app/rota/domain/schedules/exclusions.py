"""Exclusions: dates and spans that a schedule leaves out. Fire times in them are recorded as skipped runs."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, TypeVar
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from rota.domain.fire_time import TICK
from rota.domain.primitives.bounded_cache import bounded_cache
from rota.domain.primitives.instants import format_instant, is_date, parse_date, parse_instant
from rota.domain.time_zones.zone import zone

MOST_EXCLUSIONS = 500
#: The size of an exclusion in a cache, in bytes.
WRITTEN = 40

_DAY = timedelta(days=1)
_Edge = TypeVar("_Edge", date, datetime)


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


def parse_exclusion(value: Any) -> Dates | Instants:
    """Read a date or a span; raises ValueError (as pydantic's own error) with what would be right."""
    if isinstance(value, Dates | Instants):
        return value
    if isinstance(value, str):
        day = parse_date(value)
        return Dates(day, day)
    if not isinstance(value, Mapping) or set(value) != {"from", "to"}:
        raise _wrong('give a date (\'2026-12-25\') or a span: {"from": …, "to": …}')
    return _parse_span(value["from"], value["to"])


def show_exclusion(exclusion: Dates | Instants) -> str | dict[str, str]:
    """Return the exclusion as JSON, in the form that `parse_exclusion` reads; a span of one day as its date."""
    if isinstance(exclusion, Instants):
        return {"from": format_instant(exclusion.start), "to": format_instant(exclusion.end)}
    first, last = exclusion.first.isoformat(), exclusion.last.isoformat()
    return first if first == last else {"from": first, "to": last}


def normalised(exclusions: tuple[Dates | Instants, ...]) -> tuple[Dates | Instants, ...] | None:
    """Return the exclusions in order, each once, so that equal ones are written alike; None if there are none."""
    days = sorted(
        {each for each in exclusions if isinstance(each, Dates)},
        key=lambda each: (each.first, each.last),
    )
    spans = sorted(
        {each for each in exclusions if isinstance(each, Instants)},
        key=lambda each: (each.start, each.end),
    )
    return (*days, *spans) or None


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
    Dates | Instants,
    BeforeValidator(parse_exclusion),
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
            ],
            "description": "A date; a span of dates, both included; "
            "or a span of times with an offset, `to` not included.",
            "examples": ["2026-12-25", {"from": "2026-12-24", "to": "2027-01-02"}],
        }
    ),
]
Exclusions = Annotated[tuple[Exclusion, ...], Field(max_length=MOST_EXCLUSIONS)]


class Excluded:
    """The exclusions of a schedule, prepared for look-ups by instant."""

    def __init__(self, exclusions: Sequence[Dates | Instants], place: ZoneInfo) -> None:
        self._zone = place
        self._days = _merged(
            (each.first, each.last + _DAY) for each in exclusions if isinstance(each, Dates)
        )
        self._spans = _merged(
            (each.start, each.end) for each in exclusions if isinstance(each, Instants)
        )

    def __contains__(self, at: datetime) -> bool:
        return _end(self._spans, at) is not None or (
            bool(self._days) and _end(self._days, self._local_date(at)) is not None
        )

    def until(self, at: datetime) -> datetime:
        """Return the first instant from `at` on that is not excluded (UTC)."""
        while True:
            day = _end(self._days, self._local_date(at)) if self._days else None
            end = _end(self._spans, at) if day is None else self._midnight(day)
            if end is None:
                return at
            at = max(end, at + TICK)

    def _local_date(self, at: datetime) -> date:
        return at.astimezone(self._zone).date()

    def _midnight(self, day: date) -> datetime:
        return datetime(day.year, day.month, day.day, tzinfo=self._zone).astimezone(UTC)


def excluded(exclusions: tuple[Dates | Instants, ...], timezone: str) -> Excluded:
    """Return the prepared exclusions; raises Unplannable for an unknown zone."""
    return _excluded(exclusions, zone(timezone))


def _size(exclusions: tuple[Dates | Instants, ...], place: ZoneInfo) -> int:  # noqa: ARG001
    return WRITTEN * len(exclusions)


@bounded_cache(_size)
def _excluded(exclusions: tuple[Dates | Instants, ...], place: ZoneInfo) -> Excluded:
    return Excluded(exclusions, place)


def _merged(spans: Iterator[tuple[_Edge, _Edge]]) -> list[tuple[_Edge, _Edge]]:
    """Return the spans (the end not included) in order, those that touch as one."""
    merged: list[tuple[_Edge, _Edge]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _end(spans: Sequence[tuple[_Edge, _Edge]], at: _Edge) -> _Edge | None:
    """Return the end of the span that holds `at`, or None if none does."""
    index = bisect_right(spans, at, key=lambda span: span[0])
    if index and at < spans[index - 1][1]:
        return spans[index - 1][1]
    return None
