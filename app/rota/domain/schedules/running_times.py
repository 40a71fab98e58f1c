"""The fire times that run: those that exclusions leave out are passed over."""

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from heapq import merge
from itertools import groupby, islice, takewhile

from rota.domain.fire_time import TICK, FireTime
from rota.domain.reasons import SkipReason
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.definitions import After, AnyOf, Manual, Planned, Unreadable
from rota.domain.schedules.exclusions import Excluded
from rota.domain.schedules.fire_times import excluded_by, fire_times
from rota.domain.step_budget import limited_to, present_budget
from rota.domain.time_zones.zone import (
    LAST_INSTANT,
)
from rota.errors import TooCostly

# How many steps a search takes at most if all times ahead are excluded; each member of `any_of` takes steps.
MOST_STEPS = 100_000
# After so many excluded times in a row the search continues at the end of the exclusion.
_MANY = 50


def upcoming(
    schedule: Planned,
    anchor: Anchor,
    after: datetime,
    number: int,
    left: int | None = None,
    until: datetime = LAST_INSTANT,
) -> list[datetime]:
    """Return up to `number` fire times strictly after `after` (UTC) that run, none after `until`.

    At most `left`, what `max_runs` leaves. The work is bounded: if nearly all times are excluded, there may be more to
    come than are returned.
    """
    wanted = number if left is None else min(number, left)
    found: list[datetime] = []
    try:
        with limited_to(MOST_STEPS):
            near = takewhile(lambda at: at <= until, running_times(schedule, anchor, after))
            found.extend(islice(near, wanted))
    except TooCostly:
        if present_budget().spent:  # the limit is that of the caller
            raise
    return found


def running_times(schedule: Planned, anchor: Anchor, after: datetime) -> Iterator[datetime]:
    """Yield the fire times strictly after `after` that run. What is excluded is passed over at once."""
    if not isinstance(schedule, AnyOf) or schedule.jitter is not None:
        times_after = partial(fire_times, schedule, anchor)
        return _passing_over(times_after, partial(_end_of_exclusion, schedule), after)
    # Each member passes over its own exclusions, which may end at quite different times.
    leaves_out = excluded_by(schedule)
    times_after = partial(_running_members, schedule, anchor, leaves_out)
    return _passing_over(times_after, lambda at: _end_of(leaves_out, at), after)


def _passing_over(
    times_after: Callable[[datetime], Iterator[FireTime]],
    end_of_exclusion: Callable[[datetime], datetime],
    after: datetime,
) -> Iterator[datetime]:
    """Yield the times that run; where many in a row do not, continue at the end of what leaves them out."""
    times, in_a_row = times_after(after), 0
    while (time := next(times, None)) is not None:
        if time.skip is None:
            in_a_row = 0
            yield time.at
            continue
        in_a_row += 1
        if in_a_row % _MANY == 0 and (end := end_of_exclusion(time.at)) > time.at:
            times, in_a_row = times_after(end - TICK), 0


def _running_members(
    schedule: AnyOf, anchor: Anchor, leaves_out: Excluded | None, after: datetime
) -> Iterator[FireTime]:
    """Yield when any member runs, within the bounds of the whole, with what the whole leaves out marked."""
    if schedule.start_at is not None:
        after = max(after, schedule.start_at - TICK)
    members = (running_times(member, anchor, after) for member in schedule.schedules)
    for at, _ in groupby(merge(*members)):
        if schedule.end_at is not None and at > schedule.end_at:
            return
        out = leaves_out is not None and at in leaves_out
        yield FireTime(at, SkipReason.EXCLUDED if out else None)


def _end_of_exclusion(schedule: Planned, at: datetime) -> datetime:
    """Return the first instant from `at` on at which the schedule leaves nothing out as a whole."""
    if isinstance(schedule, After | Manual | Unreadable):
        return at
    end = _end_of(excluded_by(schedule), at)
    if isinstance(schedule, AnyOf):
        return max(end, min(_end_of_exclusion(member, at) for member in schedule.schedules))
    return end


def _end_of(leaves_out: Excluded | None, at: datetime) -> datetime:
    return at if leaves_out is None else leaves_out.until(at)
