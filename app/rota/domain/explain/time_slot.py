"""Time slots: the requested time, and the fire time that belongs to it. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from rota.domain.fire_time import TICK, FireTime
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.definitions import After, AnyOf, Manual, Planned, Unreadable
from rota.domain.schedules.fire_times import fire_times, fires_after_finish, next_fire
from rota.domain.schedules.requested_times import RequestedTime
from rota.domain.schedules.rules import Calendar, Cron, Interval, Once
from rota.domain.tasks.task import Task

_SECOND, _MINUTE = timedelta(seconds=1), timedelta(minutes=1)
_FIELDS_WITH_SECONDS = 6
_TIME_WITH_SECONDS = "00:00:00"
# How far back the search for an earlier fire time goes, in growing steps.
_BACK = (_MINUTE, *(timedelta(hours=1) * 8**power for power in range(6)))


@dataclass(frozen=True, slots=True)
class Slot:
    """The requested times, from `start` to before `end`, and the fire time that the schedule has there."""

    at: datetime
    start: datetime
    end: datetime
    fire: FireTime | None


def slot_at(task: Task, at: datetime) -> Slot:
    """Return the minute of `at` (UTC), or its second if the rule has seconds, with the fire time that belongs to it.

    With jitter or flex, a fire time also belongs to the time that it was moved from. Raises Unplannable.
    """
    schedule = task.definition.schedule
    size = _resolution(schedule)
    start = at.replace(microsecond=0, second=0 if size == _MINUTE else at.second)
    end = start + size
    fire = _column_in(task, start, end, at) or _fire_in(task, start, end, at)
    waiting = task.next_fire.waiting
    if waiting is not None and waiting.to == at:  # and not another one of the same minute
        return Slot(at, at, at + TICK, FireTime(at))
    if fire is None:
        return Slot(at, start, end, None)
    return Slot(at, min(start, fire.at), max(end, fire.at + TICK), fire)


def slot_without_fire(task: Task, at: datetime) -> Slot:
    """Return the slot of `at` for a task whose schedule cannot be planned, without a fire time."""
    size = _resolution(task.definition.schedule)
    start = at.replace(microsecond=0, second=0 if size == _MINUTE else at.second)
    return Slot(at, start, start + size, None)


def slot_within(task: Task, requested: RequestedTime) -> Slot:
    """Return the slot of the first fire time of a day, or all of the day if there is none.

    What came before the present schedule is known by its runs only. Raises Unplannable.
    """
    start, end = requested.start, requested.end
    begin = max(start, task.anchored_at)
    fire = next(times_after(task, begin - TICK), None)
    if fire is not None and fire.at < end:
        return slot_at(task, fire.at)
    delayed = fires_after_finish(task.definition.schedule)
    if delayed and task.next_fire_at is not None and start <= task.next_fire_at < end:
        return slot_at(task, task.next_fire_at)
    return Slot(start, start, end, None)


def fire_before(task: Task, start: datetime) -> datetime | None:
    """Return the last fire time of the present rule before `start`, if there is one within some years."""
    without = start
    for back in _BACK:
        after = max(start - back, task.anchored_at)
        if _has_one(task, after, start):
            return _last_between(task, after, without, start)
        if after == task.anchored_at:
            return None
        without = after
    return None


def _last_between(task: Task, after: datetime, without: datetime, start: datetime) -> datetime:
    """Return the last fire time before `start`: there is one after `after`, and none after `without`.

    By halves, since a rule may have millions of them.
    """
    while without - after > TICK:
        middle = after + (without - after) // 2
        if _has_one(task, middle, start):
            after = middle
        else:
            without = middle
    return next(times_after(task, after)).at


def _has_one(task: Task, after: datetime, before: datetime) -> bool:
    first = next(times_after(task, after), None)
    return first is not None and first.at < before


def times_after(task: Task, after: datetime) -> Iterator[FireTime]:
    """Yield the fire times of the task's rule after a time."""
    return fire_times(task.definition.schedule, task.anchor, after)


def _column_in(task: Task, start: datetime, end: datetime, at: datetime) -> FireTime | None:
    """Return the fire time that was set by hand, or by the end of a run, if it lies there and no other runs there."""
    waiting = task.next_fire.waiting
    if waiting is None:
        by_finish = fires_after_finish(task.definition.schedule) and task.next_fire_at is not None
        set_to = task.next_fire_at if by_finish else None
    else:
        set_to = waiting.to
    if set_to is None or not start <= set_to < end:
        return None
    if waiting is not None and at != set_to:
        regular = next(times_after(task, start - TICK), None)
        if regular is not None and regular.at < end and not waiting.replaces(regular):
            return None
    return FireTime(set_to)


def _fire_in(task: Task, start: datetime, end: datetime, at: datetime) -> FireTime | None:
    """Return the fire time that lies there, that at `at` if there is one, or else the one that was moved from there."""
    time = next(times_after(task, start - TICK), None)
    if time is not None and time.at < end:
        exact = next(times_after(task, at - TICK), time)
        return exact if exact.at == at else time
    anchor = task.anchor
    moved = _moved_from(task.definition.schedule, anchor, start, end)
    return None if moved is None else next(times_after(task, moved - TICK), None)


def _moved_from(
    schedule: Planned, anchor: Anchor, start: datetime, end: datetime
) -> datetime | None:
    """Return to where jitter or flex moves the first fire time that the rule would have there without them.

    As a fire time stays before the next one, it is the first one after the time that it is moved from. Of an `any_of`
    that of a member, moved on by the jitter of the whole.
    """
    if isinstance(schedule, AnyOf):
        found = [_moved_from(member, anchor, start, end) for member in schedule.schedules]
        nominal = [at for at in found if at is not None]
        if schedule.jitter is not None and (at := _plain_in(schedule, anchor, start, end)):
            nominal.append(at)
        return next_fire(schedule, anchor, min(nominal) - TICK) if nominal else None
    if getattr(schedule, "jitter", None) is None and getattr(schedule, "flex", None) is None:
        return None
    at = _plain_in(schedule, anchor, start, end)
    back = getattr(schedule, "flex", None) or timedelta()
    return None if at is None else next_fire(schedule, anchor, at - back - TICK)


def _plain_in(schedule: Planned, anchor: Anchor, start: datetime, end: datetime) -> datetime | None:
    plain = schedule.model_copy(update={"jitter": None, "flex": None})
    at = next_fire(plain, anchor, start - TICK)
    return at if at is not None and at < end else None


def _resolution(schedule: Planned) -> timedelta:
    """Return the size of a slot: a minute, or a second if the schedule has seconds."""
    match schedule:
        case Cron():
            return _SECOND if len(schedule.expression.split()) == _FIELDS_WITH_SECONDS else _MINUTE
        case Calendar():
            return _SECOND if len(schedule.time) == len(_TIME_WITH_SECONDS) else _MINUTE
        case AnyOf():
            return min(map(_resolution, schedule.schedules))
        case Interval():
            return _SECOND if schedule.every % _MINUTE else _MINUTE
        case Once() | After() | Manual() | Unreadable():
            return _SECOND
        case _:
            assert_never(schedule)
