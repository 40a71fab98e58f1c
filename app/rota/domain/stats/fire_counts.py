"""How many fire times there are in a part of a window: by arithmetic where the rule allows it, else stepped through.

The work is bounded by the step budget that applies. What would take more is estimated, and marked as that.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import NamedTuple

from rota.domain.fire_time import TICK, FireTime
from rota.domain.runs.planning import most_runs
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.definitions import Planned
from rota.domain.schedules.fire_times import fire_times
from rota.domain.schedules.interval_grid import grid_of
from rota.domain.schedules.replanning.moved_fire_time import NextFire, times_left
from rota.domain.schedules.rules import Interval
from rota.domain.stats.window import Window
from rota.errors import TooCostly, Unplannable


class Number(NamedTuple):
    """How many there are; `exact` is false for an estimate, or where there may be more or fewer."""

    value: int
    exact: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedSpan:
    """A skipped run that represents the fire times from `first` to `last`."""

    first: datetime
    last: datetime
    count: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Unplanned:
    """A task of which fire times have come that have no run yet."""

    schedule: Planned
    anchor: Anchor
    next_fire: NextFire
    #: Runs that the schedule has made since it was anchored (`max_runs`).
    fired: int = 0


def in_window(span: SkippedSpan, schedule: Planned, anchor: Anchor, window: Window) -> Number:
    """Return how many fire times of a span lie in the window.

    They are computed by the schedule if the span was made with it (since then it was not anchored anew), and if it has
    as many fire times in the whole span as the span has. Otherwise they are taken as evenly distributed.
    """
    first, last = max(span.first, window.begins_at), min(span.last, window.last)
    if first > last:
        return Number(0)
    made_by_it = span.created_at > anchor.at
    counted = _by_rule(span, schedule, anchor, first, last) if made_by_it else None
    return estimated(span, window) if counted is None else Number(counted)


def estimated(span: SkippedSpan, window: Window) -> Number:
    """Return how many fire times of a span lie in the window if they come evenly: the first and the last are known."""
    if span.count == 1 or span.first >= span.last:
        return Number(span.count if window.covers(span.first) else 0)
    apart = (span.last - span.first) / (span.count - 1)
    before = max(-((span.first - window.begins_at) // apart), 0)
    after = max(-((window.last - span.last) // apart), 0)
    return Number(max(span.count - before - after, 0), exact=span.count == 2)


def due_unplanned(task: Unplanned, window: Window, now: datetime) -> Number:
    """Return how many fire times of the window have come, up to `now`, and have no run yet."""
    end = min(window.last, now)
    first = task.next_fire.at
    if first is None or first > end:
        return Number(0)
    try:
        found = Number(_left(task, max(first, window.begins_at), end))
    except (TooCostly, Unplannable):
        return Number(1, exact=False)
    most = most_runs(task.schedule)
    # Then the task may be completed before the last of them.
    return (
        found if most is None or found.value <= most - task.fired else found._replace(exact=False)
    )


def count_between(schedule: Planned, anchor: Anchor, first: datetime, last: datetime) -> int:
    """Return how many fire times there are from `first` to `last`, both included, those that are left out as well.

    Raises TooCostly and Unplannable.
    """
    if first > last:
        return 0
    if isinstance(schedule, Interval) and schedule.mode == "fixed_rate":
        grid = grid_of(schedule, anchor)
        return max(min(grid.step_after(last), grid.last + 1) - grid.step_after(first - TICK), 0)
    return _number(fire_times(schedule, anchor, first - TICK), last)


def _by_rule(
    span: SkippedSpan, schedule: Planned, anchor: Anchor, first: datetime, last: datetime
) -> int | None:
    """Return how many fire times of a span lie from `first` to `last`; None if the rule does not agree with it."""
    try:
        before = count_between(schedule, anchor, span.first, first - TICK)
        inside = count_between(schedule, anchor, first, last)
        after = count_between(schedule, anchor, last + TICK, span.last)
    except (TooCostly, Unplannable):
        return None
    return inside if before + inside + after == span.count else None


def _left(task: Unplanned, begin: datetime, end: datetime) -> int:
    first, move = task.next_fire
    if move is not None:
        times = times_left(task.schedule, task.anchor, task.next_fire)
        return sum(time.at >= begin for time in _until(times, end))
    regular = count_between(task.schedule, task.anchor, begin, end)
    if first is None or first < begin:
        return regular
    # It may come from a rule before, or from the end of a run (`fixed_delay`).
    return regular + (count_between(task.schedule, task.anchor, first, first) == 0)


def _number(times: Iterator[FireTime], last: datetime) -> int:
    return sum(1 for _ in _until(times, last))


def _until(times: Iterator[FireTime], last: datetime) -> Iterator[FireTime]:
    return takewhile(lambda time: time.at <= last, times)
