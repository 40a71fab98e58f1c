"""Rows of calendars: what was declared, and the days that it represents, as texts."""

from datetime import date
from typing import Any, assert_never

from rota.domain.calendars.days import DayRule, DaySpans, HolidayDays, ListedDays
from rota.domain.calendars.holiday_rules import Region
from rota.domain.calendars.source import NamedCalendar, Source, SourceKind
from rota.domain.primitives.json import json_text


def days_of(row: Any) -> DayRule:
    """Return the days of the calendar of a row; needs `kind`, `source` and `days`."""
    if row.kind == SourceKind.HOLIDAYS:
        return HolidayDays(_region(row.source))
    return ListedDays(read_days(row.days))


def columns_of(source: Source) -> dict[str, str | None]:
    """Return the columns of what was declared."""
    by_rule = source.kind is SourceKind.HOLIDAYS
    return {
        "kind": source.kind,
        "source": _written(source),
        "days": None if by_rule else write_days(source.spans),
    }


def write_days(spans: DaySpans) -> str:
    """Return the column's text."""
    return json_text.dumps([[first.isoformat(), end.isoformat()] for first, end in spans])


def read_days(text: str) -> DaySpans:
    """Return the days of a column."""
    spans = json_text.loads(text)
    return [(date.fromisoformat(first), date.fromisoformat(end)) for first, end in spans]


def to_calendar(row: Any) -> NamedCalendar:
    """Return the calendar of a row."""
    return NamedCalendar(
        id=row.id,
        name=row.name,
        source=_source(row),
        description=row.description,
        version=row.version,
        revision=row.revision,
        created_at=row.created_at,
        updated_at=row.updated_at,
        updated_by=row.updated_by,
    )


def _written(source: Source) -> str:
    match source.kind:
        case SourceKind.DATES:
            return json_text.dumps([each.isoformat() for each in source.dates])
        case SourceKind.ICALENDAR:
            return source.icalendar
        case SourceKind.HOLIDAYS:
            return json_text.dumps(list(source.region))
        case _:
            assert_never(source.kind)


def _source(row: Any) -> Source:
    kind = SourceKind(row.kind)
    match kind:
        case SourceKind.DATES:
            dates = tuple(map(date.fromisoformat, json_text.loads(row.source)))
            return Source(kind, dates=dates, spans=read_days(row.days))
        case SourceKind.ICALENDAR:
            return Source(kind, icalendar=row.source, spans=read_days(row.days))
        case SourceKind.HOLIDAYS:
            return Source(kind, region=_region(row.source))
        case _:
            assert_never(kind)


def _region(text: str) -> Region:
    country, subdivision = json_text.loads(text)
    return Region(country, subdivision)
