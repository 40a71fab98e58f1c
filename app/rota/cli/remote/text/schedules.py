"""A schedule in a few words, for the cell of a table."""

from collections.abc import Callable, Mapping
from typing import Any

from rota.cli.remote.text.times import short_duration


def short(schedule: Mapping[str, Any]) -> str:
    """Return what a schedule is; of a type that is not known, its name."""
    kind = str(schedule.get("type"))
    return _WRITERS[kind](schedule) if kind in _WRITERS else kind


def _cron(schedule: Mapping[str, Any]) -> str:
    return _zoned(str(schedule["expression"]), schedule)


def _interval(schedule: Mapping[str, Any]) -> str:
    return f"every {_length(schedule['every'])}"


def _after(schedule: Mapping[str, Any]) -> str:
    return f"after {', '.join(schedule['tasks'])}"


def _any_of(schedule: Mapping[str, Any]) -> str:
    return " | ".join(short(each) for each in schedule["schedules"])


def _calendar(schedule: Mapping[str, Any]) -> str:
    step = schedule.get("step", 1)
    unit = schedule["unit"] if step == 1 else f"{step} {schedule['unit']}s"
    return _zoned(f"every {unit} at {schedule['time']}", schedule)


def _once(schedule: Mapping[str, Any]) -> str:
    if schedule.get("delay") is not None:
        return f"once, after {_length(schedule['delay'])}"
    return _zoned(f"once, {schedule['at']}", schedule)


def _zoned(text: str, schedule: Mapping[str, Any]) -> str:
    zone = schedule.get("timezone")
    return text if zone in {None, "UTC"} else f"{text} {zone}"


def _length(duration: Any) -> str:
    return short_duration(float(duration)) if isinstance(duration, (int, float)) else str(duration)


_WRITERS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "cron": _cron,
    "interval": _interval,
    "calendar": _calendar,
    "once": _once,
    "after": _after,
    "any_of": _any_of,
}
