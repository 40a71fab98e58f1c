"""A schedule in a few words, for the cell of a table."""

from collections.abc import Mapping
from typing import Any

from rota.cli.remote.text.times import short_duration


def short(schedule: Mapping[str, Any]) -> str:
    """Return what a schedule is; of a type that is not known, its name."""
    match schedule.get("type"):
        case "cron":
            return _zoned(str(schedule["expression"]), schedule)
        case "interval":
            return f"every {_length(schedule['every'])}"
        case "calendar":
            return _zoned(_calendar(schedule), schedule)
        case "once":
            return _once(schedule)
        case "after":
            return f"after {', '.join(schedule['tasks'])}"
        case "any_of":
            return " | ".join(short(each) for each in schedule["schedules"])
        case other:
            return str(other)


def _calendar(schedule: Mapping[str, Any]) -> str:
    step = schedule.get("step", 1)
    unit = schedule["unit"] if step == 1 else f"{step} {schedule['unit']}s"
    return f"every {unit} at {schedule['time']}"


def _once(schedule: Mapping[str, Any]) -> str:
    if schedule.get("delay") is not None:
        return f"once, after {_length(schedule['delay'])}"
    return _zoned(f"once, {schedule['at']}", schedule)


def _zoned(text: str, schedule: Mapping[str, Any]) -> str:
    zone = schedule.get("timezone")
    return text if zone in {None, "UTC"} else f"{text} {zone}"


def _length(duration: Any) -> str:
    return short_duration(float(duration)) if isinstance(duration, (int, float)) else str(duration)
