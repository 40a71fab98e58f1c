"""Times on the page of a task: the next ones, in the time zone of its schedule."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rota.domain.primitives.times.instants import parse_instant
from rota.domain.time_zones.zone import zone


class NextTime(NamedTuple):
    """A fire time: in UTC, and as the clocks of the task's zone show it."""

    at: str
    local: str


def zone_of(schedule: Mapping[str, Any]) -> str:
    """Return the time zone of a schedule, or of the first part that has one."""
    if isinstance(schedule.get("timezone"), str):
        return str(schedule["timezone"])
    parts = (zone_of(each) for each in schedule.get("schedules", ()) if isinstance(each, dict))
    return next((each for each in parts if each != "UTC"), "UTC")


def next_times(times: Sequence[str], timezone: str) -> list[NextTime]:
    """Return fire times with their local times, such as `Mon 2026-11-30 09:00:00 +01:00`."""
    place = zone(timezone)
    return [NextTime(each, _local(each, place)) for each in times]


def _local(time: str, place: Any) -> str:
    at = parse_instant(time).astimezone(place)
    # Where it has to be on two lines, it breaks between the date and the time.
    return f"{at:%a\u00a0%Y-%m-%d %H:%M:%S}\u00a0{at.isoformat()[-6:]}"
