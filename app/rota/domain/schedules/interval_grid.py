"""Interval grids: fire times computed by arithmetic, so that the phase is kept over any outage."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rota.domain.fire_time import TICK, FireTime
from rota.domain.reasons import SkipReason
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.calendar_use import uses_calendars
from rota.domain.schedules.definitions import Planned
from rota.domain.schedules.exclusions import Excluded, excluded
from rota.domain.schedules.jitter import shift
from rota.domain.schedules.rules import Interval
from rota.domain.step_budget import LOOK, present_budget
from rota.domain.time_zones.zone import LAST_INSTANT

#: No input may name a later time, so nothing fires later either.
LAST_FIRE = LAST_INSTANT - TICK


@dataclass(frozen=True, slots=True)
class Leap:
    """Fire times that were passed over: how many, the last of them, and the fire time that follows it."""

    count: int
    last: datetime
    following: datetime


@dataclass(slots=True, kw_only=True)  # not frozen: that would triple the cost of a next fire time
class Grid:
    """The points `origin + step * every`, with steps from `first` to `last`, spread as `flex` or `jitter` say."""

    origin: datetime
    every: timedelta
    name: str
    first: int
    last: int
    flex: timedelta | None = None
    jitter: timedelta | None = None
    end_at: datetime | None = None
    excluded: Excluded | None = None
    #: Jitter moves what is excluded as well: with a calendar, so that its changes move no fire time.
    moves_all: bool = False

    def at(self, step: int) -> FireTime:
        """Return the fire time of a step."""
        point = self.origin + step * self.every
        if self.flex is not None:
            point += shift(self.name, point, self.flex) - self.flex
        skip = None
        if self.excluded is not None and point in self.excluded:
            skip = SkipReason.EXCLUDED
        if self.jitter is not None and (skip is None or self.moves_all):
            point += shift(self.name, point, self._window(point))
        return FireTime(point, skip)

    def step_after(self, after: datetime) -> int:
        """Return the first step whose fire time is strictly after `after`."""
        step = max((after - self.origin) // self.every + 1, self.first)
        if self.jitter is not None and step > self.first and self.at(step - 1).at > after:
            return step - 1
        if self.flex is not None and self.at(step).at <= after:
            return step + 1
        return step

    def times(self, after: datetime) -> Iterator[FireTime]:
        """Yield the fire times strictly after `after`, strictly rising."""
        spend = present_budget().spend
        spend(LOOK)
        for step in range(self.step_after(after), self.last + 1):
            spend()
            yield self.at(step)

    def bounded(self, start_at: datetime | None) -> "Grid":
        """Return the part of the grid that lies from `start_at` to `end_at`, both included."""
        first, last = self.first, self.last
        if self.flex is None:  # the points of the grid count, not where jitter moves them
            if start_at is not None:
                first = max(first, -((self.origin - start_at) // self.every))
            if self.end_at is not None:
                last = min(last, (self.end_at - self.origin) // self.every)
            return replace(self, first=first, last=last)
        if start_at is not None:
            first = self.step_after(start_at - TICK)
        if self.end_at is not None:
            last = min(last, self.step_after(self.end_at) - 1)
        return replace(self, first=first, last=last)

    def _window(self, point: datetime) -> timedelta:
        window = min(self.jitter or TICK, self.every)
        return window if self.end_at is None else min(window, self.end_at - point + TICK)


def leap(
    schedule: Planned, anchor: Anchor, first: datetime, until: datetime, keep: int
) -> Leap | None:
    """Pass over fire times by arithmetic, from `first` (one of them) on, so that the last `keep` up to `until` remain.

    None if the rule does not allow it, or if there is nothing to pass over. At least one fire time always follows.
    """
    if not isinstance(schedule, Interval) or schedule.exclude or schedule.mode == "fixed_delay":
        return None
    grid = grid_of(schedule, anchor)
    start = grid.step_after(first - TICK)
    due = min(grid.step_after(until), grid.last + 1)
    stop = min(due - keep, grid.last)
    if stop <= start or grid.at(start).at != first:
        return None
    return Leap(stop - start, grid.at(stop - 1).at, grid.at(stop).at)


def grid_of(schedule: Interval, anchor: Anchor) -> Grid:
    """Return the grid of an interval, within its bounds."""
    origin, first = _origin(schedule, anchor)
    grid = Grid(
        origin=origin,
        every=schedule.every,
        name=anchor.name,
        first=first,
        last=(LAST_FIRE - origin) // schedule.every,
        flex=schedule.flex,
        jitter=schedule.jitter,
        end_at=schedule.end_at or LAST_FIRE,
        excluded=None if schedule.exclude is None else excluded(schedule.exclude, "UTC"),
        moves_all=uses_calendars(schedule),
    )
    if schedule.start_at is None and schedule.end_at is None:
        return grid
    return grid.bounded(schedule.start_at)


def _origin(schedule: Interval, anchor: Anchor) -> tuple[datetime, int]:
    """Return what the grid counts from, and its first step; with `flex`, a fire time needs a period before it."""
    if schedule.anchor is not None:
        return schedule.anchor, 0 if schedule.flex is None else 1
    if schedule.initial_delay is not None:
        return anchor.at + schedule.initial_delay, 0 if schedule.flex is None else 1
    return anchor.at, 1
