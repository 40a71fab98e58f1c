"""Durations: in as a number of seconds, `1h30m` or ISO 8601; out as a number of seconds."""

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

MAX_DURATION = timedelta(days=36_500)

_NUMBER = r"(\d+(?:\.\d+)?)"
_SHORT = re.compile(
    rf"(?:{_NUMBER}d)?(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?(?:{_NUMBER}ms)?",
    re.ASCII,
)
_ISO = re.compile(rf"P(?:{_NUMBER}D)?(?:T(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?", re.ASCII)
_UNITS = (86_400.0, 3_600.0, 60.0, 1.0, 0.001)
_MAX_TEXT = 40


def parse_duration(value: Any) -> timedelta:
    """Read a duration; raises ValueError (as pydantic's own error) with what would be right."""
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise _wrong("give a number of seconds, or text such as '15m', '1h30m' or 'PT15M'")
    seconds = _read_text(value) if isinstance(value, str) else value
    if not 0 <= seconds <= MAX_DURATION.total_seconds():
        raise _wrong("a duration lies between 0 and 100 years")
    # Whole milliseconds: the precision of the wire format.
    return timedelta(milliseconds=round(seconds * 1000))


def to_seconds(duration: timedelta) -> int | float:
    """Return the number of seconds; whole numbers as int."""
    seconds = duration.total_seconds()
    return int(seconds) if seconds.is_integer() else seconds


def _read_text(text: str) -> float:
    if text == "0":  # the one number that needs no unit
        return 0
    pattern = _ISO if text.startswith("P") else _SHORT
    match = pattern.fullmatch(text) if len(text) <= _MAX_TEXT else None
    parts = match.groups() if match else ()
    if not any(parts) or text.endswith("T"):
        raise _wrong(
            f"{text[:_MAX_TEXT]!r} is not a duration: use '15m', '1h30m', '90s', or ISO 8601 with days, "
            "hours, minutes and seconds ('PT15M', 'P1D'); weeks, months and years have no fixed length"
        )
    return sum(float(part) * unit for part, unit in zip(parts, _UNITS, strict=False) if part)


def _wrong(message: str) -> PydanticCustomError:
    return PydanticCustomError("duration", message)


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(to_seconds, return_type=int | float),
    WithJsonSchema(
        {
            "anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}],
            "description": "Seconds, or `15m`, `1h30m`, `90s`, or ISO 8601 (`PT15M`, `P1D`). "
            "Always returned as a number of seconds.",
            "examples": [900, "15m", "PT15M"],
        },
        mode="validation",
    ),
    WithJsonSchema(
        {"type": "number", "description": "Seconds.", "examples": [900]}, mode="serialization"
    ),
]
