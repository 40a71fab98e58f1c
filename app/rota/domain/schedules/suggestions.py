"""Schedules in the notation of other products: refused, with a suggestion in the right form."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic_core import PydanticCustomError

from rota.domain.primitives.json import json_text
from rota.domain.primitives.times.durations import parse_duration
from rota.domain.primitives.times.instants import parse_instant

_CRON_FIELDS = (5, 6)
_EXAMPLE: Mapping[str, Any] = {"type": "cron", "expression": "0 9 * * 1-5"}
#: Fields by which a schedule without a type is recognised, each with its type and what it is called there.
_TYPE_OF: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(("cron", "expression", "crontab", "cron_expression"), ("cron", "expression")),
    **dict.fromkeys(("every", "interval", "period", "rate"), ("interval", "every")),
    **dict.fromkeys(("at", "once", "run_at", "date"), ("once", "at")),
    **dict.fromkeys(("delay", "after_delay", "in"), ("once", "delay")),
    **dict.fromkeys(("any_of", "schedules"), ("any_of", "schedules")),
    **dict.fromkeys(("after", "tasks"), ("after", "tasks")),
}
_LONGEST = 200


def check_form(value: Any) -> Any:
    """Return a value that may be a schedule; raises PydanticCustomError with a suggestion for one that is none."""
    if isinstance(value, dict):
        if "type" not in value:
            raise _untyped(value)
        return value
    if isinstance(value, str | int | float | list) or value is None:
        raise _wrong(f"a schedule is an object: {_shown(_meant(value) or _EXAMPLE)}")
    return value


def _untyped(value: Mapping[str, Any]) -> PydanticCustomError:
    found = next((_TYPE_OF[field] for field in value if field in _TYPE_OF), None)
    if "unit" in value or found is None:
        example = {"type": "calendar"} | dict(value) if "unit" in value else _EXAMPLE
        return _wrong(f"'type' says which kind of schedule it is: {_shown(example)}", "type")
    kind, name = found
    others = {field: given for field, given in value.items() if field not in _TYPE_OF}
    given = next(value[field] for field in value if field in _TYPE_OF)
    return _wrong(
        f"'type' says which kind of schedule it is: {_shown({'type': kind, name: given} | others)}",
        "type",
    )


def _meant(value: Any) -> Mapping[str, Any] | None:
    """Return the schedule that a text, a number or a list means in other products."""
    match value:
        case str() if value.startswith("@") or len(value.split()) in _CRON_FIELDS:
            return {"type": "cron", "expression": value}
        case str() if _reads(parse_instant, value):
            return {"type": "once", "at": value}
        case bool():
            return None
        case str() | int() | float() if _reads(parse_duration, value):
            return {"type": "interval", "every": value}
        case list() if value and all(isinstance(each, dict) for each in value):
            return {"type": "any_of", "schedules": value}
        case _:
            return None


def _reads(parse: Any, value: Any) -> bool:
    try:
        parse(value)
    except ValueError:
        return False
    return True


def _shown(schedule: Mapping[str, Any]) -> str:
    text = json.dumps(schedule, ensure_ascii=False)
    return json_text.printable(
        text if len(text) <= _LONGEST else json.dumps(_EXAMPLE), 2 * _LONGEST
    )


def _wrong(reason: str, field: str | None = None) -> PydanticCustomError:
    context = {"reason": reason} if field is None else {"reason": reason, "field": field}
    return PydanticCustomError("schedule", "{reason}", context)
