"""Instants: RFC 3339 with an offset in, UTC with three digits out."""

import re
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

_LOCAL = r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?"
_RFC3339 = re.compile(rf"{_LOCAL}(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_LOCAL_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?", re.ASCII)
# Far enough from the ends of what a datetime can hold that no zone and no interval leads beyond them.
_FIRST_YEAR, _LAST_YEAR = 1970, 8999
_WITH_OFFSET = "give a time as RFC 3339 with an offset, such as '2026-12-24T17:30:00+01:00'"
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_FRACTION = re.compile(r"(\.\d{1,6})\d*")


def parse_instant(value: Any) -> datetime:
    """Read an instant, cut to the millisecond, in UTC; raises ValueError with what would be right."""
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise _wrong(_WITH_OFFSET)
    return _read(value)


# The tasks of a batch often share a time, and a `once` is read again at each look at its schedule.
@lru_cache(maxsize=1024)
def _read(value: str) -> datetime:
    if not _RFC3339.fullmatch(value):
        raise _wrong(_WITH_OFFSET)
    try:
        parsed = datetime.fromisoformat(_FRACTION.sub(r"\1", value.upper())).astimezone(UTC)
    except (ValueError, OverflowError):
        raise _wrong(f"{value!r} is not a time that exists") from None
    check_year(parsed)
    return parsed.replace(microsecond=parsed.microsecond // 1000 * 1000)


def parse_local(value: str) -> datetime:
    """Read a local time without an offset; raises ValueError with what would be right."""
    if not _LOCAL_TIME.fullmatch(value):
        raise _wrong(
            "beside 'timezone', give a local time without an offset: '2026-12-24T17:30:00'"
        )
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        raise _wrong(f"{value!r} is not a time that exists") from None
    check_year(parsed)
    return parsed


def is_date(value: str) -> bool:
    """Return whether a text has the form of a date."""
    return _DATE.fullmatch(value) is not None


def parse_date(value: str) -> date:
    """Read a date such as 2026-12-25; raises ValueError with what would be right."""
    if not is_date(value):
        raise _wrong(f"{value[:40]!r} is not a date such as '2026-12-25'")
    try:
        day = date.fromisoformat(value)
    except ValueError:
        raise _wrong(f"{value!r} is not a date that exists") from None
    check_year(day)
    return day


def format_instant(instant: datetime) -> str:
    """Return `2026-11-25T08:00:00.000Z`; `instant` is in UTC."""
    return instant.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def check_year(parsed: date) -> None:
    """Refuse what lies so far away that a zone or an interval could lead beyond what a datetime can hold."""
    if not _FIRST_YEAR <= parsed.year <= _LAST_YEAR:
        raise _wrong(f"a time lies in the years {_FIRST_YEAR} to {_LAST_YEAR}")


def _wrong(message: str) -> PydanticCustomError:
    return PydanticCustomError("instant", message)


Instant = Annotated[
    datetime,
    BeforeValidator(parse_instant),
    PlainSerializer(format_instant, return_type=str),
    WithJsonSchema(
        {
            "type": "string",
            "format": "date-time",
            "description": "RFC 3339 with an offset; returned in UTC with milliseconds.",
            "examples": ["2026-11-25T08:00:00.000Z"],
        }
    ),
]
