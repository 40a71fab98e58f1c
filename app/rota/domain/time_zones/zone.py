"""Time zones: local times as instants, also where the clocks change."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise, product
from typing import Literal
from zoneinfo import ZoneInfo

from rota.domain.fire_time import TICK, FireTime
from rota.domain.reasons import SkipReason
from rota.domain.step_budget import LOOK, present_budget
from rota.domain.time_zones import database as zone_database
from rota.domain.time_zones.database import ZoneDatabase
from rota.domain.time_zones.names import nearest

#: Rules end here, far from what a datetime can hold.
LAST_INSTANT = datetime(9000, 1, 1, tzinfo=UTC)

_DAY = timedelta(days=1)
# No change of the clocks leaves out, or repeats, more than a day.
_FAR = timedelta(days=2)
# From the first release of the service on: nothing fires before.
_YEARS = range(2026, 2076)

#: A rule in local time: given a local time, its local times from there on (included), strictly rising.
LocalTimes = Callable[[datetime], Iterator[datetime]]


#: `shift`: one fire time, at the first instant after the gap; `skip`: the same, recorded as skipped; `omit`: none.
Gap = Literal["shift", "skip", "omit"]
#: `first`: a fire time at the first of the two instants only; `both`: at both.
Fold = Literal["first", "both"]


@dataclass(frozen=True, slots=True)
class Changes:
    """How a rule treats local times that a change of the clocks leaves out (`gap`) or repeats (`fold`)."""

    gap: Gap
    fold: Fold


#: What crontab does with a job at a fixed time, and with one that has a wildcard in its minute or hour.
FIXED = Changes("shift", "first")
WILD = Changes("omit", "both")


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of time, from `start` until before `end` (UTC), in which a zone keeps its offset from UTC."""

    start: datetime
    end: datetime
    before: timedelta  # the offset until `start`
    offset: timedelta


_other: ContextVar[ZoneDatabase | None] = ContextVar("other", default=None)


def database() -> ZoneDatabase:
    """Return the database that local times are computed with."""
    return _other.get() or zone_database.PINNED


@contextmanager
def computed_with(other: ZoneDatabase) -> Iterator[None]:
    """Compute with another database than the pinned one."""
    token = _other.set(other)
    try:
        yield
    finally:
        _other.reset(token)


def check_zone(name: str) -> str:
    """Return the name of an IANA time zone; raises ValueError for an unknown one, with the nearest that there is."""
    if name in database().names:
        return name
    reason = f"{name[:60]!r} is not an IANA time zone such as 'Europe/Berlin' or 'UTC'"
    hint = nearest(name, database().names)
    raise ValueError(f"{reason} ({hint})" if hint else reason)


def zone(name: str) -> ZoneInfo:
    """Return the time zone called `name` (IANA); raises Unplannable if the database no longer has it."""
    return database().zone(name)


def in_zone(
    local_times: LocalTimes, name: str, changes: Changes, after: datetime
) -> Iterator[FireTime]:
    """Yield the instants (UTC) strictly after `after` at which the rule's local times come, strictly rising.

    Goes from one change of the clocks to the next: within a stretch of one offset, local times and instants are in
    step, and the answer does not depend on where it starts. Raises Unplannable.
    """
    at = after + TICK
    spend = present_budget().spend
    while at < LAST_INSTANT:
        spend(LOOK)
        stretch = stretch_at(name, at)
        if at == stretch.start and stretch.before < stretch.offset and changes.gap != "omit":
            yield from _after_gap(local_times, stretch, changes)
        low = _first_wanted(stretch, at, changes)
        end, local = _local(stretch.end, stretch.offset), None
        for local in local_times(low):
            if local >= end:
                break
            spend()
            yield FireTime((local - stretch.offset).replace(tzinfo=UTC))
        else:
            if local is None and next(local_times(low - _FAR), None) is None:
                return  # nothing is left that a fold could repeat
        at = _next_start(local_times, stretch, local)


def once(local: datetime) -> LocalTimes:
    """Return the rule that has one local time."""
    return lambda start: iter((local,) if local >= start else ())


def changes_clocks(name: str) -> bool:
    """Return whether the clocks of the zone called `name` are changed, in the years from 2026 to 2075."""
    return len(_offsets(zone(name))) > 1


def stretch_at(name: str, at: datetime) -> Stretch:
    """Return the stretch of the zone called `name` that holds `at` (UTC); the turn of a year ends one, too."""
    for stretch in _year(zone(name), at.year):
        if at < stretch.end:
            return stretch
    raise AssertionError("a year has no end")


@lru_cache(maxsize=1024)
def _offsets(place: ZoneInfo) -> frozenset[timedelta]:
    """Return the offsets of a zone, sampled twice a month, so that a change for a month (Ramadan) is found, too."""
    days = (
        datetime(year, month, day, tzinfo=UTC)
        for year, month, day in product(_YEARS, range(1, 13), (1, 15))
    )
    return frozenset(_offset(place, day) for day in days)


def _after_gap(local_times: LocalTimes, gap: Stretch, changes: Changes) -> Iterator[FireTime]:
    """Yield the instant after the gap, if the rule has times in it and none at this instant anyway."""
    opens, closes = _local(gap.start, gap.before), _local(gap.start, gap.offset)
    if any(local < closes for local in _head(local_times, opens)) and closes not in _head(
        local_times, closes
    ):
        yield FireTime(gap.start, SkipReason.DST_GAP if changes.gap == "skip" else None)


def _head(local_times: LocalTimes, start: datetime) -> tuple[datetime, ...]:
    first = next(local_times(start), None)
    return () if first is None else (first,)


def _first_wanted(stretch: Stretch, at: datetime, changes: Changes) -> datetime:
    low = _local(at, stretch.offset)
    if changes.fold == "first" and stretch.before > stretch.offset:
        return max(low, _local(stretch.start, stretch.before))
    return low


def _next_start(local_times: LocalTimes, stretch: Stretch, found: datetime | None) -> datetime:
    """Return where to continue: the next stretch, or near the next local time if that is far beyond it.

    Not beyond a change of the clocks that may show times of this stretch again.
    """
    end = _local(stretch.end, stretch.offset)
    if (
        found is None
        or found < end + 2 * _FAR
        or any(at < end for at in _head(local_times, end - _FAR))
    ):
        return stretch.end
    return found.replace(tzinfo=UTC) - _FAR


def _local(at: datetime, offset: timedelta) -> datetime:
    return at.replace(tzinfo=None) + offset


@lru_cache(maxsize=8192)
def _year(place: ZoneInfo, year: int) -> tuple[Stretch, ...]:
    """Return the stretches of a year. A zone has no list of its changes, so each day is checked."""
    start = datetime(year, 1, 1, tzinfo=UTC)
    days = (datetime(year + 1, 1, 1, tzinfo=UTC) - start).days
    marks = [start + number * _DAY for number in range(days + 1)]
    turns = [
        offset_change(place, earlier, later)
        for earlier, later in pairwise([start - TICK, *marks[:-1]])
        if _offset(place, earlier) != _offset(place, later)
    ]
    if _offset(place, marks[-2]) != _offset(place, marks[-1] - TICK):
        turns.append(offset_change(place, marks[-2], marks[-1] - TICK))
    bounds = [start, *(turn for turn in turns if turn > start), marks[-1]]
    return tuple(
        Stretch(begin, end, _offset(place, begin - TICK), _offset(place, begin))
        for begin, end in pairwise(bounds)
    )


def offset_change(place: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """Return the first instant up to `after`, to the second, whose offset is not that of `before`."""
    offset = _offset(place, before)
    low, high = before.replace(microsecond=0), after
    while high - low > timedelta(seconds=1):
        middle = (low + (high - low) / 2).replace(microsecond=0)
        if _offset(place, middle) == offset:
            low = middle
        else:
            high = middle
    return high


def _offset(place: ZoneInfo, at: datetime) -> timedelta:
    return at.astimezone(place).utcoffset() or timedelta()
