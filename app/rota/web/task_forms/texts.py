"""Values as they are typed."""

from typing import Any, Final

from rota.domain.primitives.json import json_text
from rota.domain.primitives.times.durations import parse_duration, to_seconds
from rota.web.formats import pretty_json
from rota.web.task_forms.fields import Kind

_SHORT: Final = 60
_UNITS: Final = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def as_typed(value: Any) -> str:
    """Return a value as it is typed where both texts and other values fit."""
    return value if isinstance(value, str) else json_text.dumps(value)


def text_of(kind: Kind, value: Any) -> str:
    """Return what is typed for a value."""
    match kind:
        case Kind.DURATION:
            return _duration(value)
        case Kind.VALUES:
            return ", ".join(map(as_typed, value if isinstance(value, list) else [value]))
        case Kind.LINES:
            return "\n".join(map(as_typed, value)) or "[]"
        case Kind.PAIRS:
            return "\n".join(f"{name}: {as_typed(each)}" for name, each in value.items())
    if kind in {Kind.JSON, Kind.REST}:
        return pretty(value)
    return json_text.dumps(value) if kind is Kind.SELECT_JSON else as_typed(value)


def _duration(value: Any) -> str:
    try:
        left = to_seconds(parse_duration(value))
    except ValueError:
        return as_typed(value)
    if not isinstance(left, int) or left < 1:
        return as_typed(value)
    parts = []
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def pretty(value: Any) -> str:
    """Return JSON, on one line if it is short."""
    short = json_text.dumps(value)
    return short if len(short) <= _SHORT else pretty_json(value)
