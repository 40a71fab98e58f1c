"""The local days on which the clocks of a zone change, for times that are shown to people."""

from datetime import date, datetime
from enum import StrEnum

from rota.domain.time_zones.zone import Stretch, stretch_at, zone


class ClockChange(StrEnum):
    """What the clocks do on a day."""

    #: They go forward: local times are left out.
    GAP = "gap"
    #: They go back: local times come twice.
    FOLD = "fold"


def clock_change(name: str, at: datetime) -> ClockChange | None:
    """Return what the clocks of the zone called `name` do on the local day of `at` (UTC); None: they are not changed.

    Raises Unplannable if there is no such zone.
    """
    day = at.astimezone(zone(name)).date()
    here = stretch_at(name, at)
    for stretch in (here, stretch_at(name, here.end)):
        if _day_of_change(stretch) == day:
            return ClockChange.GAP if stretch.before < stretch.offset else ClockChange.FOLD
    return None


def _day_of_change(stretch: Stretch) -> date | None:
    """Return the local day of the first local time that the change at the start leaves out or repeats."""
    if stretch.before == stretch.offset:  # the turn of a year
        return None
    return (stretch.start + min(stretch.before, stretch.offset)).date()
