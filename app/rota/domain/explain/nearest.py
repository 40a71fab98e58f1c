"""The fire times around a time at which a task has none, and whether `max_runs` leaves a run for one."""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice

from rota.domain.explain.model import Facts
from rota.domain.explain.time_slot import Slot, fire_before, times_after
from rota.domain.fire_time import TICK
from rota.domain.primitives.times.instants import format_instant
from rota.domain.runs.upcoming import next_runs, runs_left
from rota.domain.tasks.definition import TaskStatus
from rota.domain.tasks.task import Task

# For more runs than these it is not checked whether `max_runs` allows one: that would take too long.
_MOST_COUNTED = 1_000
# How many excluded fire times in a row are passed over to find one that runs.
_MOST_LEFT_OUT = 30


def beyond_max_runs(task: Task, now: datetime, at: datetime) -> bool:
    """Return whether `max_runs` leaves no run for a fire time after `now`."""
    left = runs_left(task)
    return left is not None and left <= _MOST_COUNTED and at not in next_runs(task, now, left)


def nearest(facts: Facts, slot: Slot) -> Iterator[str]:
    """Yield phrases for the fire times before and after a slot that ran or will run."""
    earlier = _last_before(facts.task, facts.now, slot.start)
    if earlier is not None:
        yield f"the one before is {format_instant(earlier)}"
    later = _first_after(facts.task, facts.now, slot.end)
    if later is not None:
        yield f"the one after is {format_instant(later)}"


def _last_before(task: Task, now: datetime, start: datetime) -> datetime | None:
    """Return the last fire time before `start` that is not left out and does not come after the last run."""
    left = runs_left(task)
    if task.status in {TaskStatus.CANCELLED, TaskStatus.COMPLETED}:
        start = min(start, task.status_changed_at + TICK)
    elif left is not None and left <= _MOST_COUNTED:
        start = min(start, max([now, *next_runs(task, now, left)]) + TICK)
    for _ in range(_MOST_LEFT_OUT):
        at = fire_before(task, start)
        if at is None or next(times_after(task, at - TICK)).skip is None:
            return at
        start = at
    return None


def _first_after(task: Task, now: datetime, end: datetime) -> datetime | None:
    """Return the first fire time from `end` on that is not left out, unless it comes after the last run."""
    times = islice(times_after(task, max(end - TICK, task.anchored_at)), _MOST_COUNTED)
    at = next((time.at for time in times if time.skip is None), None)
    if at is None or (at > now and beyond_max_runs(task, now, at)):
        return None
    ended = task.status in {TaskStatus.CANCELLED, TaskStatus.COMPLETED}
    return None if ended and at > task.status_changed_at else at
