"""Replanning: the fire time that replaces a stored one when the time zone database changes.

A schedule in a zone names local times. With a new database the local time that a stored fire time stood for comes
earlier, perhaps in the past, or later. A local time that has not fired yet must fire once; one that has fired must not
fire again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from rota.domain.cron import expression as cron
from rota.domain.fire_time import TICK
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.definitions import AnyOf, Leaf, Planned, leaves
from rota.domain.schedules.fire_times import fire_times, first_fire, next_fire
from rota.domain.schedules.jitter import latest
from rota.domain.schedules.replanning.moved_fire_time import NextFire, regular_times, times_left
from rota.domain.schedules.rules import Calendar, Cron, Interval, Once
from rota.domain.time_zones.database import ZoneDatabase
from rota.domain.time_zones.zone import computed_with, database, zone

#: Returns whether a fire time has a run, or lies in a span of skipped ones.
HasRun = Callable[[datetime], bool]

_HOUR = timedelta(hours=1)
# No two databases are further apart: a zone may change the side of the date line.
_MOST_HOURS_APART = 26

_Zoned = Once | Cron | Calendar


@dataclass(frozen=True, slots=True)
class _Change:
    """The change of the database, as one task meets it: `at` is its stored fire time, `first` its first one of all."""

    anchor: Anchor
    now: datetime
    at: datetime
    first: datetime
    before: ZoneDatabase
    has_run: HasRun


def is_affected(schedule: Planned, before: ZoneDatabase) -> bool:
    """Return whether a schedule has a zone whose file is not as in the database `before`."""
    return any(_differs(leaf, before) for leaf in leaves(schedule))


def replanned_next_fire(
    schedule: Planned,
    anchor: Anchor,
    present: NextFire,
    now: datetime,
    *,
    before: ZoneDatabase,
    has_run: HasRun,
) -> NextFire:
    """Return the next fire time of a task, which may have been moved, by the present database.

    A time that was set by hand is an instant and stays; the one that it represents is replanned, and so is the first
    of the others. Raises Unplannable.
    """
    move = present.move
    if present.at is None or not is_affected(schedule, before):
        return present

    def again(at: datetime) -> datetime | None:
        return replanned(schedule, anchor, at, now, before=before, has_run=has_run)

    if move is None or move.ends_before(present.at):
        at = again(present.at)
        return NextFire(at, None if move is None or move.waits(at) else move)
    waits = present.waiting is not None
    with computed_with(before):
        others = (time.at for time in times_left(schedule, anchor, present))
        regular = next((at for at in others if not waits or at != move.to), None)
    moved = move if move.of is None else move._replace(of=again(move.of) or move.of)
    at = None if regular is None else again(regular)
    if at is not None:
        at = next((time.at for time in regular_times(schedule, anchor, at, moved)), None)
    if waits:
        return NextFire(moved.to if at is None else min(at, moved.to), moved)
    # What has fired is not to wait again before what comes earlier now.
    return NextFire(at, None if moved.waits(at) else moved)


def replanned(
    schedule: Planned,
    anchor: Anchor,
    at: datetime,
    now: datetime,
    *,
    before: ZoneDatabase,
    has_run: HasRun,
) -> datetime | None:
    """Return the fire time that replaces `at`, the next one by the database `before`; None: nothing is left.

    It may lie in the past. The function is idempotent. Raises Unplannable.
    """
    if not is_affected(schedule, before):
        return at
    first = first_fire(schedule, anchor)
    if first is None:
        return None
    change = _Change(anchor, now, at, first, before, has_run)
    if isinstance(schedule, AnyOf):
        return _next_of_union(schedule, change)
    return min(_next_of_each(schedule, change), default=None)


def _next_of_union(schedule: AnyOf, change: _Change) -> datetime | None:
    """Look at each member for itself, as they may have different zones; what the whole says comes on top."""
    if schedule.jitter is not None:
        latest = _latest_unspread(schedule, schedule.jitter, change)
        change = replace(change, at=latest, has_run=lambda _: False)
    earliest = min(_next_of_each(schedule, change), default=None)
    return None if earliest is None else next_fire(schedule, change.anchor, earliest - TICK)


def _latest_unspread(schedule: AnyOf, jitter: timedelta, change: _Change) -> datetime:
    """Return the time that the stored one was moved from by the jitter of the whole, by either database."""
    plain = schedule.model_copy(update={"jitter": None})

    nominal = partial(fire_times, plain, change.anchor)
    with computed_with(change.before):
        by_before = latest(nominal, change.at, jitter)
    unmoved = change.at - jitter
    return max(by_before or unmoved, latest(nominal, change.at, jitter) or unmoved)


def _next_of_each(schedule: Planned, change: _Change) -> Iterator[datetime]:
    for leaf in leaves(schedule):
        at = _next_of(leaf, change)
        if at is not None:
            yield at


def _next_of(leaf: Leaf, change: _Change) -> datetime | None:
    """Return the first fire time of a rule that has not fired; one whose zone is as it was continues as it would."""
    if isinstance(leaf, Interval) or not _differs(leaf, change.before):
        return next_fire(leaf, change.anchor, change.at - TICK)
    plain = leaf.model_copy(update={"jitter": None})
    start = change.at - _forward(leaf.timezone or "UTC", change) - TICK
    if leaf.jitter is not None:  # moves only the last one up to then beyond it
        last = latest(partial(fire_times, plain, change.anchor), start, leaf.jitter)
        start = start if last is None else last - TICK
    for nominal in fire_times(plain, change.anchor, start):
        at = _spread(leaf, change.anchor, nominal.at)
        if at is not None and not _has_fired(leaf, nominal.at, at, change):
            return at
    return None


def _has_fired(leaf: _Zoned, nominal: datetime, at: datetime, change: _Change) -> bool:
    """Return whether a local time fired, or was left out, before the change.

    A rule of every hour follows elapsed time: it continues from its last fire time, whatever the local time is.
    """
    was = _before_it_was(leaf, nominal, change)
    goes_on = isinstance(leaf, Cron) and cron.fields(leaf.expression).every_hour
    if at < change.first or max(at, was) < change.at or change.has_run(at):
        return True
    if at < change.at:
        return goes_on and at <= change.now
    return not goes_on and change.has_run(was)


def _before_it_was(leaf: _Zoned, nominal: datetime, change: _Change) -> datetime:
    """Return when the same local time fires by the database before."""
    name = leaf.timezone or "UTC"
    local = nominal.astimezone(zone(name))
    was = local.replace(tzinfo=change.before.zone(name)).astimezone(UTC)
    if leaf.jitter is None:
        return was
    with computed_with(change.before):
        return _spread(leaf, change.anchor, was) or was


def _spread(leaf: _Zoned, anchor: Anchor, nominal: datetime) -> datetime | None:
    return nominal if leaf.jitter is None else next_fire(leaf, anchor, nominal - TICK)


def _forward(name: str, change: _Change) -> timedelta:
    """Return by how much the clock is ahead of what it was, at the most, around the stored time."""
    place, placed = zone(name), change.before.zone(name)
    hours = (change.at - number * _HOUR for number in range(_MOST_HOURS_APART + 1))
    ahead = (_offset(hour, place) - _offset(hour, placed) for hour in hours)
    return max(timedelta(), *ahead)


def _offset(at: datetime, place: ZoneInfo) -> timedelta:
    return at.astimezone(place).utcoffset() or timedelta()


def _differs(leaf: Leaf, before: ZoneDatabase) -> bool:
    """Return whether a rule's zone is another one than before; one that was not there before is not compared."""
    name = None if isinstance(leaf, Interval) else leaf.timezone
    if name is None or name not in before.names:
        return False
    return name not in database().names or database().file(name) != before.file(name)
