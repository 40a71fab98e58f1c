"""Windows: whether one is open, and when it opens next, by the local time of its zone."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from rota.domain.constraints.definitions import DAYS, Window
from rota.domain.time_zones.zone import offset_change, zone

_MINUTES_OF_DAY = 24 * 60
_MINUTE = timedelta(minutes=1)
# A window of one day a week that lies wholly in a DST gap is skipped once; no zone skips two such days in a row.
_FARTHEST = timedelta(days=22)


def is_open(window: Window, now: datetime) -> bool:
    """Return whether the window is open at `now` (UTC). Raises Unplannable if its zone is no longer known.

    Local time decides: times in a DST gap do not occur, and an hour that is repeated counts twice.
    """
    return _shows(window, now.astimezone(zone(window.timezone)))


def next_opening(window: Window, now: datetime) -> datetime | None:
    """Return the first instant, `now` (UTC) or later, at which the window is open; None if it is weeks away."""
    place = zone(window.timezone)
    at, end = now, now + _FARTHEST
    while not _shows(window, at.astimezone(place)):
        at = _next_turn(window, place, at)
        if at > end:
            return None
    return at


def _shows(window: Window, local: datetime) -> bool:
    opens, closes = window.span
    minute = local.hour * 60 + local.minute
    today, yesterday = DAYS[local.weekday()], DAYS[local.weekday() - 1]
    if opens < closes:
        return opens <= minute < closes and today in window.days
    return (minute >= opens and today in window.days) or (
        minute < closes and yesterday in window.days
    )


def _next_turn(window: Window, place: ZoneInfo, at: datetime) -> datetime:
    """Return the next instant at which the window may open: the clock shows `from`, or is moved (within a day)."""
    local = at.astimezone(place)
    minute = local.hour * 60 + local.minute
    ahead = (window.span[0] - minute - 1) % _MINUTES_OF_DAY + 1
    by_clock = at - timedelta(seconds=local.second, microseconds=local.microsecond)
    by_clock += ahead * _MINUTE
    if by_clock.astimezone(place).utcoffset() == local.utcoffset():
        return by_clock
    return offset_change(place, at, by_clock)
