"""How close together the fire times of a rule come, wherever that is: within a day, from day to day, moved by jitter.

For a single rule the fields are enough. Changes of the clocks are checked for the year ahead, and several rules are
compared over a number of fire times.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from heapq import merge
from itertools import islice, pairwise, takewhile

from rota.domain.cron import expression as cron
from rota.domain.fire_time import TICK, FireTime
from rota.domain.lint.dst_changes import changes_of
from rota.domain.primitives.bounded_cache import bounded_cache
from rota.domain.schedules import calendar
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.definitions import AnyOf, Planned
from rota.domain.schedules.exclusions import WRITTEN
from rota.domain.schedules.fire_times import fire_times, fires_after_finish
from rota.domain.schedules.rules import Calendar, Cron, Interval, Once
from rota.domain.time_zones.zone import zone

_DAY = timedelta(days=1)
_NONE = timedelta()
# How many days of a rule, within how many years, are compared.
_MOST_DAYS, _YEARS = 400, timedelta(days=12 * 366)
# How many fire times are compared where the fields are not enough: for several rules, or one that ends soon.
_MOST_TIMES = 500
# As how many bytes a schedule without exclusions counts.
_PLAIN = 400

_Timed = Interval | Cron | Calendar


@dataclass(frozen=True, slots=True)
class Spacing:
    """How close two fire times come; `moved`: by jitter or flex; `on`: only there, where clocks change."""

    gap: timedelta
    moved: bool = False
    on: date | None = None


@dataclass(frozen=True, slots=True)
class _Window:
    """When one fire time may come: at `start` if nothing moves it, at `end` at the latest."""

    start: datetime
    end: datetime


def closer_than(
    schedule: Planned, span: timedelta, day: date, anchored_at: datetime
) -> Spacing | None:
    """Return how close the fire times of a rule come from `day` on, if that is closer than `span`; None if not.

    Raises Unplannable.
    """
    if not isinstance(schedule, Interval | Cron | Calendar | AnyOf) or schedule.max_runs == 1:
        return None
    if fires_after_finish(schedule):
        return None
    begin = datetime.combine(day, time(), UTC)
    found = _known(schedule, span, begin, anchored_at)
    if found is None or schedule.end_at is None:
        return found
    # Times after the end do not matter; if the end is near, all remaining times are compared.
    seen, complete = _followed(schedule, begin, anchored_at)
    return _nearer(seen, span) if complete else found


def _known(
    schedule: _Timed | AnyOf, span: timedelta, begin: datetime, anchored_at: datetime
) -> Spacing | None:
    if isinstance(schedule, AnyOf):
        return _of_members(schedule, span, begin, anchored_at)
    found = _nearer(_by_fields(schedule, span, begin, anchored_at), span)
    if found is None and not isinstance(schedule, Interval):
        return _nearer(_by_clock_changes(schedule, span, begin, anchored_at), span)
    return found


def _of_members(
    schedule: AnyOf, span: timedelta, begin: datetime, anchored_at: datetime
) -> Spacing | None:
    """Return how close the fire times of one member come, or else those of several beside each other."""
    spread = schedule.jitter or _NONE
    for member in schedule.schedules:
        own = closer_than(member, span + spread, begin.date(), anchored_at)
        if own is not None and (found := _nearer(_spread(own, spread), span)):
            return found
    return _nearer(_followed(schedule, begin, anchored_at)[0], span)


def _nearer(found: Spacing | None, span: timedelta) -> Spacing | None:
    return found if found is not None and found.gap < span else None


def _by_fields(
    schedule: _Timed, span: timedelta, begin: datetime, anchored_at: datetime
) -> Spacing | None:
    """Return how close fire times come while clocks do not change; what is surely no closer than `span` may be None."""
    if isinstance(schedule, Interval):
        return _moved(schedule, schedule.every)
    if isinstance(schedule, Cron):
        nearest = _between_times(schedule, span, begin)
    elif schedule.unit == "day":
        nearest = schedule.step * _DAY
    else:
        phase = anchored_at if schedule.start_at is None else schedule.start_at
        first = phase.astimezone(zone(schedule.timezone)).date()
        nearest = _apart(_days_apart(schedule, begin.date(), first), _NONE)
    return None if nearest is None else _moved(schedule, nearest)


def _between_times(schedule: Cron, span: timedelta, begin: datetime) -> timedelta | None:
    """Return how close the times of an expression come; its days are compared only where that can matter."""
    nearest, length = _within_a_day(cron.fields(schedule.expression))
    spread = schedule.jitter or _NONE
    if (nearest is not None and nearest - spread < span) or _DAY - length - spread >= span:
        return nearest
    between = _apart(_days_apart(schedule, begin.date(), None), length)
    return min((each for each in (nearest, between) if each is not None), default=None)


def _apart(days: int | None, length: timedelta) -> timedelta | None:
    return None if days is None else days * _DAY - length


def _moved(schedule: _Timed, nearest: timedelta) -> Spacing:
    flex = schedule.flex if isinstance(schedule, Interval) else None
    return _spread(Spacing(nearest), flex or schedule.jitter or _NONE)


def _spread(spacing: Spacing, window: timedelta) -> Spacing:
    """Return what is left of a distance when fire times are moved towards the next ones, by less than `window`."""
    if window <= TICK:
        return spacing
    return replace(spacing, gap=max(spacing.gap - (window - TICK), TICK), moved=True)


def _within_a_day(fields: cron.Fields) -> tuple[timedelta | None, timedelta]:
    """Return the shortest time between fire times of one day, and that from the first of them to the last."""
    nearest, length = [], 0
    for values, size in ((fields.seconds, 1), (fields.minutes, 60), (fields.hours, 3600)):
        ordered = sorted(values)
        nearest += [(later - earlier) * size - length for earlier, later in pairwise(ordered)]
        length += (ordered[-1] - ordered[0]) * size
    return (timedelta(seconds=min(nearest)) if nearest else None), timedelta(seconds=length)


def size_of(schedule: Planned) -> int:
    """Return as how many bytes a schedule counts in a cache."""
    members = schedule.schedules if isinstance(schedule, AnyOf) else ()
    excluded = getattr(schedule, "exclude", None) or ()
    return _PLAIN + WRITTEN * len(excluded) + sum(map(size_of, members))


def _size(schedule: Planned, *_others: object) -> int:
    return size_of(schedule)


@bounded_cache(_size)
def _days_apart(schedule: Cron | Calendar, day: date, phase: date | None) -> int | None:
    """Return how few days apart the days of a rule come; None if there are no two."""
    start = datetime.combine(day, time())
    found: Iterator[datetime]
    if isinstance(schedule, Calendar):
        found = islice(calendar.local_times(schedule.pattern, phase or day, start), _MOST_DAYS)
    elif cron.fields(schedule.expression).every_day:
        return 1
    else:
        days = " ".join(cron.split(schedule.expression)[-3:])
        times = cron.local_times(f"0 0 {days}", start)
        found = takewhile(lambda at: at < start + _YEARS, islice(times, _MOST_DAYS))
    dates = (at.date() for at in found)
    return min(((later - earlier).days for earlier, later in pairwise(dates)), default=None)


def _by_clock_changes(
    schedule: Cron | Calendar, span: timedelta, begin: datetime, anchored_at: datetime
) -> Spacing | None:
    """Return how close fire times come where clocks are changed in the year ahead: further apart they are elsewhere."""
    if schedule.timezone == "UTC":
        return None
    plain = schedule.model_copy(update={"jitter": None, "exclude": None})
    found: list[Spacing] = []
    for change in changes_of(schedule.timezone, begin):
        until = change.start + span + abs(change.offset - change.before)
        near = fire_times(plain, Anchor(anchored_at), change.start - span)
        times = [
            each.at for each in takewhile(partial(_is_until, until), islice(near, _MOST_TIMES))
        ]
        on = change.start.astimezone(zone(schedule.timezone)).date()
        found += [
            replace(_moved(schedule, later - earlier), on=on) for earlier, later in pairwise(times)
        ]
    return min(found, key=lambda each: each.gap, default=None)


def _is_until(until: datetime, time: FireTime) -> bool:
    return time.at <= until


@bounded_cache(_size)
def _followed(
    schedule: _Timed | AnyOf, begin: datetime, anchored_at: datetime
) -> tuple[Spacing | None, bool]:
    """Return how close the next fire times come, and whether those are all that there are."""
    windows = list(islice(_windows(schedule, Anchor(anchored_at), begin), _MOST_TIMES + 1))
    nearest: timedelta | None = None
    latest: _Window | None = None
    moved = False
    for window in windows:
        moved |= window.end > window.start
        if latest is not None and window != latest:
            apart = max(window.start - latest.end, TICK)
            nearest = apart if nearest is None else min(nearest, apart)
        if latest is None or window.end > latest.end:
            latest = window
    if nearest is None:
        return None, len(windows) <= _MOST_TIMES
    spread = schedule.jitter if isinstance(schedule, AnyOf) else None
    return _spread(Spacing(nearest, moved), spread or _NONE), len(windows) <= _MOST_TIMES


def _windows(schedule: _Timed | Once | AnyOf, anchor: Anchor, begin: datetime) -> Iterator[_Window]:
    """Yield when the fire times of a rule may come, in order."""
    if isinstance(schedule, AnyOf):
        members = [_windows(member, anchor, begin) for member in schedule.schedules]
        for window in merge(*members, key=lambda each: (each.start, each.end)):
            if schedule.end_at is not None and window.start > schedule.end_at:
                return
            if schedule.start_at is None or window.start >= schedule.start_at:
                yield window
        return
    flex = schedule.flex if isinstance(schedule, Interval) else None
    plain = schedule.model_copy(update={"jitter": None, "flex": None, "exclude": None})
    longest = max((schedule.jitter or _NONE) - TICK, _NONE)
    times = (each.at for each in fire_times(plain, anchor, begin))
    this = next(times, None)
    while this is not None:
        following = next(times, None)
        if flex is not None:
            yield _Window(this - flex, this - TICK)
        else:
            limit = this + longest if following is None else min(this + longest, following - TICK)
            yield _Window(this, limit if schedule.end_at is None else min(limit, schedule.end_at))
        this = following
