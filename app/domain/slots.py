"""Slots: the time that a question is about, and the fire time that belongs to it. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.domain.fire_times import Anchor, FireTime, fire_times, fires_after_finish
from app.domain.schedules import AnyOf, Calendar, Cron, Interval, Planned
from app.domain.spread import TICK
from app.domain.tasks import Task

_SECOND, _MINUTE = timedelta(seconds=1), timedelta(minutes=1)
_FIELDS_WITH_SECONDS = 6
_TIME_WITH_SECONDS = "00:00:00"
# How far back is looked for the fire time before a time.
_BACK = (_MINUTE, *(timedelta(hours=1) * 8**power for power in range(6)))


@dataclass(frozen=True, slots=True)
class Slot:
    """What a question is about: times from `start` to before `end`, and the fire time that the rule has there."""

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
    fire = _column_in(task, start, end, at) or _fire_in(task, start, end)
    waiting = task.next_fire.waiting
    if waiting is not None and waiting.to == at:  # and not another one of the same minute
        return Slot(at, at, at + TICK, FireTime(at))
    if fire is None:
        return Slot(at, start, end, None)
    return Slot(at, min(start, fire.at), max(end, fire.at + TICK), fire)


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
    return fire_times(task.definition.schedule, Anchor(task.anchored_at, task.name), after)


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


def _fire_in(task: Task, start: datetime, end: datetime) -> FireTime | None:
    time = next(times_after(task, start - TICK), None)
    if time is None or time.at < end:
        return time
    schedule = task.definition.schedule
    spread = getattr(schedule, "jitter", None) or getattr(schedule, "flex", None)
    if spread is None:
        return None
    plain = schedule.model_copy(update={"jitter": None, "flex": None})
    nominal = next(fire_times(plain, Anchor(task.anchored_at, task.name), start - TICK), None)
    if nominal is None or nominal.at >= end:
        return None
    back = getattr(schedule, "flex", None) or timedelta()
    return next(times_after(task, nominal.at - back - TICK), None)


def _resolution(schedule: Planned) -> timedelta:
    """Return how exactly a fire time is asked for: the minute, or the second where the rule has seconds."""
    match schedule:
        case Cron():
            return _SECOND if len(schedule.expression.split()) == _FIELDS_WITH_SECONDS else _MINUTE
        case Calendar():
            return _SECOND if len(schedule.time) == len(_TIME_WITH_SECONDS) else _MINUTE
        case AnyOf():
            return min(map(_resolution, schedule.schedules))
        case Interval():
            return _SECOND if schedule.every % _MINUTE else _MINUTE
        case _:
            return _SECOND
