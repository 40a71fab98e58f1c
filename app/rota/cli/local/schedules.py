"""Schedules as they are typed: a cron expression, `@daily`, a duration, or JSON."""

import json
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from rota.cli.exits import CommandFailed
from rota.domain.primitives.times.durations import parse_duration
from rota.domain.schedules.definitions import Planned, Schedule
from rota.domain.validation.faults import faults_in

DEFAULT_ZONE = "UTC"


def document_of(text: str, timezone: str | None) -> dict[str, Any]:
    """Return what was typed as the `schedule` of a task; raises CommandFailed for what is not JSON."""
    text = text.strip()
    if text.startswith("{"):
        return _with_zone(_json(text), timezone)
    text = text.removeprefix("every ")
    try:
        parse_duration(text)
    except PydanticCustomError:
        return {"type": "cron", "expression": text, "timezone": timezone or DEFAULT_ZONE}
    return {"type": "interval", "every": text}


def _json(text: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except ValueError as error:
        raise CommandFailed(f"The schedule is not JSON: {error}.") from None


def typed_schedule(text: str, timezone: str | None) -> Planned:
    """Return the schedule that was typed; raises CommandFailed, in words of what was typed."""
    try:
        return schedule_of(document_of(text, timezone))
    except CommandFailed as error:
        if text.lstrip().startswith("{"):
            raise
        sentence = error.sentence.replace("/timezone: ", "--tz: ")
        raise CommandFailed(sentence.removeprefix("/expression: ")) from None


def _with_zone(document: dict[str, Any], timezone: str | None) -> dict[str, Any]:
    return document if timezone is None else {**document, "timezone": timezone}


def schedule_of(document: dict[str, Any]) -> Planned:
    """Return a schedule; raises CommandFailed with what is wrong, a line for each fault."""
    adapter = _adapter()
    try:
        found: Planned = adapter.validate_python(document)
    except ValidationError as error:
        faults = faults_in(error, document, adapter.core_schema, adapter.validate_python)
        lines = [f"{each.pointer or 'The schedule'}: {each.detail}" for each in faults]
        raise CommandFailed("\n      ".join(lines)) from None
    return found


@cache
def _adapter() -> TypeAdapter[Any]:
    return TypeAdapter(Schedule)
