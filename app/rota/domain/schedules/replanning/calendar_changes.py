"""The next fire time of a `fixed_delay` when its calendars change. Pure; the time is an argument.

No other fire time depends on what is excluded: those that are excluded are fire times too, which become skipped runs.
"""

from datetime import datetime, timedelta

from rota.domain.schedules.base import Anchor
from rota.domain.schedules.definitions import Planned
from rota.domain.schedules.fire_times import (
    delayed,
    first_delay,
    first_fire,
    is_left_out,
    moved_on,
)
from rota.domain.schedules.rules import Interval


def replanned_delay(
    schedule: Planned, anchor: Anchor, at: datetime, finished_at: datetime | None, now: datetime
) -> datetime | None:
    """Return the fire time that replaces `at`, by the present days of the calendars; None: nothing is left.

    `finished_at` is when the last run ended; None: there was none. If `at` counts from there, or from the registration,
    an earlier time may have become free; one that has passed by `now` is not made up for. Raises Unplannable.
    """
    if not isinstance(schedule, Interval) or schedule.mode != "fixed_delay" or at <= now:
        return at
    since = finished_at or _before_first(schedule, anchor)
    origin = None if since is None else _origin(schedule, anchor, at, since)
    if origin is None:
        if not is_left_out(schedule, anchor, at):
            return at
        origin = at
    passed = max(-((origin - now) // schedule.every), 0)
    return delayed(schedule, anchor, moved_on(schedule, origin + passed * schedule.every))


def _before_first(schedule: Interval, anchor: Anchor) -> datetime | None:
    """Return when a run would have ended after which the first fire time comes, jitter apart."""
    first = first_fire(schedule.model_copy(update={"jitter": None}), anchor)
    return None if first is None else first - schedule.every


def _origin(
    schedule: Interval, anchor: Anchor, at: datetime, finished_at: datetime
) -> datetime | None:
    """Return the first time after the end of a run, if `at` lies whole intervals after it; else None."""
    if (schedule.jitter or timedelta()) > schedule.every:
        return None  # it could come from several
    first = first_delay(schedule, finished_at)
    if at < first:
        return None
    nominal = first + (at - first) // schedule.every * schedule.every
    return first if delayed(schedule, anchor, nominal) == at else None
