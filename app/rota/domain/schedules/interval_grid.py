"""Interval grids: fire times computed by arithmetic, so that the phase is kept over any outage."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rota.domain.fire_time import TICK, FireTime
from rota.domain.reasons import SkipReason
from rota.domain.schedules.exclusions import Excluded
from rota.domain.schedules.jitter import shift
from rota.domain.step_budget import LOOK, present_budget


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

    def at(self, step: int) -> FireTime:
        """Return the fire time of a step."""
        point = self.origin + step * self.every
        if self.flex is not None:
            point += shift(self.name, point, self.flex) - self.flex
        if self.excluded is not None and point in self.excluded:
            return FireTime(point, SkipReason.EXCLUDED)
        if self.jitter is not None:
            point += shift(self.name, point, self._window(point))
        return FireTime(point)

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
