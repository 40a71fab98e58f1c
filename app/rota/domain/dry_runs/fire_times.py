"""The fire times that an edit of a task adds, takes away and moves. Pure; the time is an argument.

Both sides are what `next_runs` says of the task, as it is and as it would be: the same as GET …/upcoming before and
after the edit. So jitter, `max_runs`, exclusions, times set by hand and what is due mean the same here; a paused task
is compared as if it were resumed now, and of a `fixed_delay` only the next fire time is known.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from rota.domain.dry_runs.moves import MovedTime, find_moves
from rota.domain.fire_time import TICK
from rota.domain.runs.upcoming import next_runs
from rota.domain.schedules.requested_times import zone_of
from rota.domain.schedules.running_times import MOST_STEPS
from rota.domain.step_budget import limited_to
from rota.domain.tasks.task import Task
from rota.domain.time_zones.zone import zone
from rota.errors import TooCostly, Unplannable

#: How far fire times are compared: to the end of the local day after so many.
DAYS = 90
#: So many fire times of either side are compared; of a schedule that takes too many steps, fewer.
MOST_COMPARED = 10_000
_FIRST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class FireTimeDiff:
    """The fire times of a task before and after an edit, from `begin` to `compared_until` (UTC, included).

    (before - vanish - move.before) + appear + move.after = after. All are strictly rising.
    """

    begin: datetime
    until: datetime
    #: Earlier than `until`, if there are more fire times than are compared.
    compared_until: datetime
    appear: Sequence[datetime]
    vanish: Sequence[datetime]
    move: Sequence[MovedTime]
    #: The zones of the schedules: local times before and after the edit.
    zone_before: str
    zone_after: str

    @property
    def is_complete(self) -> bool:
        return self.compared_until == self.until


@dataclass(frozen=True, slots=True)
class _Ahead:
    """Fire times, all of them up to `until`."""

    times: Sequence[datetime]
    until: datetime


def diff_fire_times(
    before: Task | None, after: Task, now: datetime, most: int = MOST_COMPARED
) -> FireTimeDiff:
    """Return how the fire times of a task change; `before` None: there is no such task yet.

    Raises TooCostly if the present step budget does not suffice for a few of them.
    """
    name = zone_of(after.definition.schedule)
    place = _known_zone(name)
    until = _end_of_day(now + timedelta(days=DAYS), place)
    old, new = _both_ahead(before, after, now, until, most)
    compared_until = min(old.until, new.until)
    earlier = [at for at in old.times if at <= compared_until]
    later = [at for at in new.times if at <= compared_until]
    move = find_moves(earlier, later, place, _by_hand(before, after))
    gone = set(earlier) - set(later) - {each.before for each in move}
    come = set(later) - set(earlier) - {each.after for each in move}
    return FireTimeDiff(
        begin=now,
        until=until,
        compared_until=compared_until,
        appear=sorted(come),
        vanish=sorted(gone),
        move=move,
        zone_before=name if before is None else zone_of(before.definition.schedule),
        zone_after=name,
    )


def _both_ahead(
    before: Task | None, after: Task, now: datetime, until: datetime, most: int
) -> tuple[_Ahead, _Ahead]:
    if before is not None and _times_follow_from(before) == _times_follow_from(after):
        same = _Ahead((), until)
        return same, same
    old = _Ahead((), until) if before is None else _ahead(before, now, until, most)
    return old, _ahead(after, now, until, most)


def _times_follow_from(task: Task) -> tuple[object, ...]:
    """Return all that the fire times of a task depend on: if it is equal, they are."""
    schedule = task.definition.schedule
    return schedule, task.anchored_at, task.next_fire, task.fired, task.status, task.name


def _ahead(task: Task, now: datetime, until: datetime, most: int) -> _Ahead:
    """Return the next fire times of a task that run; fewer of them, if so many take too long to find.

    First a few, since they may be years apart, then ten times as many, as long as they end before `until`.
    """
    ahead: _Ahead | None = None
    number = 0
    while number < most:
        number = min(max(number * 10, _FIRST), most)
        try:
            # No more than `upcoming` takes by itself: it would return what it has by then, as if it were all.
            with limited_to(MOST_STEPS):
                found = next_runs(task, now, number)
        except TooCostly:
            if ahead is None:
                raise
            break
        except Unplannable:  # it is paused when it is due
            return _Ahead((), until)
        if len(found) < number or found[-1] > until:
            return _Ahead([at for at in found if at <= until], until)
        ahead = _Ahead(found, found[-1])
    return ahead or _Ahead((), now)


def _by_hand(before: Task | None, after: Task) -> Iterator[MovedTime]:
    """Yield the moves by `next_fire_at`: made by the edit, or taken back by it."""
    if after.next_fire.waiting is not None and after.next_fire.waiting.of is not None:
        yield MovedTime(after.next_fire.waiting.of, after.next_fire.waiting.to)
    if before is not None and (there := before.next_fire.waiting) and there.of is not None:
        yield MovedTime(there.to, there.of)


def _known_zone(name: str) -> ZoneInfo:
    try:
        return zone(name)
    except Unplannable:
        return zone("UTC")


def _end_of_day(at: datetime, place: ZoneInfo) -> datetime:
    """Return the last instant (UTC) of the local day of `at`."""
    day = at.astimezone(place).date() + timedelta(days=1)
    return datetime.combine(day, time(), place).astimezone(UTC) - TICK
