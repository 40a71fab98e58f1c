"""Fire times: what schedules mean. Every function here is pure and works in UTC, in whole milliseconds."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from heapq import merge
from itertools import groupby
from typing import assert_never

from rota.domain.cron import expression as cron
from rota.domain.fire_time import TICK, FireTime
from rota.domain.primitives.times.instants import parse_instant, parse_local
from rota.domain.reasons import SkipReason
from rota.domain.schedules import calendar
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.calendar_use import uses_calendars
from rota.domain.schedules.definitions import After, AnyOf, Manual, Planned, Unreadable, WithTimes
from rota.domain.schedules.exclusions import Excluded, excluded
from rota.domain.schedules.interval_grid import LAST_FIRE, grid_of
from rota.domain.schedules.jitter import shift, with_jitter
from rota.domain.schedules.rules import Calendar, Cron, Interval, Once
from rota.domain.time_zones.zone import (
    FIXED,
    Changes,
    LocalTimes,
    in_zone,
    once,
    zone,
)
from rota.errors import Unplannable

_Local = Once | Cron | Calendar
_ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)


def fire_times(schedule: Planned, anchor: Anchor, after: datetime) -> Iterator[FireTime]:
    """Yield the fire times strictly after `after`, strictly rising, also those that are skipped.

    `max_runs` is not applied here: that takes the number of past runs. Of a `fixed_delay` only the first fire time
    is known. Raises Unplannable for a schedule that cannot be read, or a zone that is no longer known.
    """
    match schedule:
        case Interval():
            if schedule.mode == "fixed_delay":
                return _first_only(schedule, anchor, after)
            return grid_of(schedule, anchor).times(after)
        case Once() | Cron() | Calendar() | AnyOf():
            if schedule.jitter is None:
                return _marked(schedule, anchor, after)
            marked = partial(_marked, schedule, anchor)
            end_at = schedule.end_at or LAST_FIRE
            moves_all = uses_calendars(schedule)
            return with_jitter(
                marked, anchor.name, schedule.jitter, end_at, after, moves_all=moves_all
            )
        case After() | Manual():
            return iter(())
        case Unreadable():
            raise Unplannable(f"The stored schedule cannot be read: {schedule.reason}.")
        case _:
            assert_never(schedule)


def first_fire(schedule: Planned, anchor: Anchor) -> datetime | None:
    """Return the first of all fire times of a schedule as registered, or None; a past `once` is due at once."""
    return next_fire(schedule, anchor, _beginning(schedule, anchor))


def next_fire(schedule: Planned, anchor: Anchor, after: datetime) -> datetime | None:
    """Return the first fire time strictly after `after` (UTC), also one that is not run; None if there is none left."""
    first = next(fire_times(schedule, anchor, after), None)
    return None if first is None else first.at


def fires_after_finish(schedule: Planned) -> bool:
    """Return whether the next fire time counts from the end of a run (`fixed_delay`)."""
    return isinstance(schedule, Interval) and schedule.mode == "fixed_delay"


def after_finish(schedule: Planned, anchor: Anchor, finished_at: datetime) -> datetime | None:
    """Return the fire time of a `fixed_delay` after a run that ended at `finished_at` (UTC); None after `end_at`.

    In an exclusion it moves on by whole intervals; nothing is recorded as skipped. Raises Unplannable.
    """
    if not isinstance(schedule, Interval) or schedule.mode != "fixed_delay":
        return None
    at = moved_on(schedule, first_delay(schedule, finished_at))
    return delayed(schedule, anchor, at)


def first_delay(schedule: Interval, finished_at: datetime) -> datetime:
    """Return when a `fixed_delay` fires after a run that ended then, exclusions and jitter apart."""
    at = finished_at + schedule.every
    return at if schedule.start_at is None else max(at, schedule.start_at)


def moved_on(schedule: Interval, at: datetime) -> datetime:
    """Return the first time that is not excluded, `at` or whole intervals after it."""
    leaves_out = excluded_by(schedule)
    while leaves_out is not None and at in leaves_out:
        at -= (at - leaves_out.until(at)) // schedule.every * schedule.every
    return at


def delayed(schedule: Interval, anchor: Anchor, at: datetime) -> datetime | None:
    """Return a fire time of a `fixed_delay` with its jitter; None after `end_at`."""
    last = schedule.end_at or LAST_FIRE
    if at > last:
        return None
    return at + shift(anchor.name, at, min(schedule.jitter or TICK, last - at + TICK))


def is_left_out(schedule: Planned, anchor: Anchor, at: datetime) -> bool:
    """Return whether `at` is a fire time of the schedule that does not run. Raises Unplannable.

    A later one of a `fixed_delay` is left out if a calendar has got its day since it was computed.
    """
    if (
        isinstance(schedule, Interval)
        and schedule.mode == "fixed_delay"
        and uses_calendars(schedule)
    ):
        return _is_excluded_delay(schedule, at)
    known = next(fire_times(schedule, anchor, at - TICK), None)
    return known is not None and known.at == at and known.skip is not None


def local_times(schedule: _Local, anchor: Anchor) -> LocalTimes:
    """Return the local times of a rule; raises Unplannable for an unknown zone."""
    match schedule:
        case Once():
            return once(parse_local(schedule.at or ""))
        case Cron():
            return partial(cron.local_times, schedule.expression)
        case Calendar():
            return partial(calendar.local_times, schedule.pattern, _phase(schedule, anchor))
        case _:
            assert_never(schedule)


def dst_rule(schedule: _Local) -> Changes:
    """Return how a rule treats local times that a change of the clocks leaves out or repeats."""
    usual = cron.usual_changes(schedule.expression) if isinstance(schedule, Cron) else FIXED
    dst = schedule.dst
    return usual if dst is None else Changes(dst.gap or usual.gap, dst.fold or usual.fold)


def _beginning(schedule: Planned, anchor: Anchor) -> datetime:
    """Return after what the fire times of a registered schedule come."""
    match schedule:
        case Once():
            return _ALWAYS - timedelta(days=1)
        case Interval():  # without a delay, at once
            return anchor.at - TICK if schedule.initial_delay == timedelta() else anchor.at
        case AnyOf():
            intervals = [each for each in schedule.schedules if isinstance(each, Interval)]
            return min([anchor.at, *(_beginning(each, anchor) for each in intervals)])
        case Cron() | Calendar() | After() | Manual() | Unreadable():
            return anchor.at
        case _:
            assert_never(schedule)


def _is_excluded_delay(schedule: Interval, at: datetime) -> bool:
    """Return whether a fire time is excluded wherever jitter may have moved it from."""
    leaves_out = excluded_by(schedule)
    earliest = at - (schedule.jitter or timedelta())
    return leaves_out is not None and leaves_out.until(earliest) > at


def _first_only(schedule: Interval, anchor: Anchor, after: datetime) -> Iterator[FireTime]:
    first = next(grid_of(schedule, anchor).times(_beginning(schedule, anchor)), None)
    return iter(() if first is None or first.at <= after else (first,))


def _marked(schedule: _Local | AnyOf, anchor: Anchor, after: datetime) -> Iterator[FireTime]:
    """Yield the fire times as the rule has them, within its bounds, with those that are excluded marked."""
    leaves_out = excluded_by(schedule)
    if schedule.start_at is not None:
        after = max(after, schedule.start_at - TICK)
    for time in _by_rule(schedule, anchor, after):
        if schedule.end_at is not None and time.at > schedule.end_at:
            return
        if leaves_out is not None and time.at in leaves_out:
            yield FireTime(time.at, SkipReason.EXCLUDED)
        else:
            yield time


def _by_rule(schedule: _Local | AnyOf, anchor: Anchor, after: datetime) -> Iterator[FireTime]:
    if isinstance(schedule, AnyOf):
        return _union(schedule, anchor, after)
    if schedule.timezone is None:
        return _at_instant(schedule, anchor, after)
    if isinstance(schedule, Once):  # no earlier: the years until then need no steps
        local = parse_local(schedule.at or "")
        after = max(after, local.replace(tzinfo=UTC) - timedelta(days=2))
    rule = local_times(schedule, anchor)
    return in_zone(rule, schedule.timezone, dst_rule(schedule), after)


def _at_instant(schedule: Once, anchor: Anchor, after: datetime) -> Iterator[FireTime]:
    at = anchor.at + schedule.delay if schedule.delay is not None else parse_instant(schedule.at)
    return iter((FireTime(at),) if at > after else ())


def _union(schedule: AnyOf, anchor: Anchor, after: datetime) -> Iterator[FireTime]:
    """Yield the fire times of all members, equal ones once; what one skips and another runs, runs."""
    members = (fire_times(member, anchor, after) for member in schedule.schedules)
    for at, equal in groupby(merge(*members, key=lambda time: time.at), key=lambda time: time.at):
        skips = [time.skip for time in equal]
        yield FireTime(at, None if None in skips else skips[0])


def _phase(schedule: Calendar, anchor: Anchor) -> date:
    """Return the date whose period has fire times: its own start, or the registration, which only a new rule moves."""
    return (schedule.start_at or anchor.at).astimezone(zone(schedule.timezone)).date()


def excluded_by(schedule: WithTimes) -> Excluded | None:
    """Return what the exclusions of a schedule leave out; None if it has none."""
    if schedule.exclude is None:
        return None
    zone_name: str | None = getattr(schedule, "timezone", None)
    return excluded(schedule.exclude, zone_name or "UTC")
