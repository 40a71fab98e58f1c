"""How many fire times are due in each hour, counted or estimated. Pure; the time is an argument."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from rota.domain.runs.upcoming import next_runs
from rota.domain.step_budget import FOR_A_TASK, limited_to
from rota.domain.tasks.task import Task
from rota.errors import Unplannable

HOUR = timedelta(hours=1)

IsHeld = Callable[[Task, datetime], bool]


@dataclass(slots=True)
class HourlyLoad:
    """The number of fire times in each hour from `start` (UTC, a full hour) on."""

    start: datetime
    counts: list[float]
    #: How long the runs of each hour take in all, as far as that is known.
    seconds: list[float]
    #: Whether nothing is estimated.
    exact: bool = True

    @property
    def end(self) -> datetime:
        """The end of the last hour."""
        return self.start + len(self.counts) * HOUR

    def add(self, at: datetime, number: float, takes: float) -> None:
        """Count fire times at a time, whose runs take so many seconds each; those outside do not count."""
        hour = (at - self.start) // HOUR
        if 0 <= hour < len(self.counts):
            self.counts[hour] += number
            self.seconds[hour] += number * takes

    def go_on(self, first: datetime, every: timedelta, number: float, takes: float) -> None:
        """Count fire times from the first on that come evenly, as an estimate."""
        self.exact = False
        at, last = first, self.end
        if every >= HOUR:
            for index in range((last - at) // every + 1):
                self.add(at + index * every, number, takes)
            return
        while at < last:
            upto = min(last, at - (at - self.start) % HOUR + HOUR)
            self.add(at, number * ((upto - at) / every), takes)
            at = upto


class Counted(NamedTuple):
    """A task whose fire times are counted."""

    task: Task
    #: For how many tasks it stands.
    weight: float
    #: How long a run of it takes, in seconds; 0 if that is not known.
    takes: float


def add_task(load: HourlyLoad, counted: Counted, now: datetime, most: int, is_held: IsHeld) -> None:
    """Count the fire times of a task, up to `most` of them; those after these are taken to come as often."""
    task, weight, takes = counted
    runs, all_found = _next_runs(task, now, most)
    load.exact = load.exact and all_found and weight == 1
    for at in runs:
        if not is_held(task, at):
            load.add(at, weight, takes)
    if len(runs) < most or runs[-1] >= load.end:
        return
    every = (runs[-1] - runs[0]) / (len(runs) - 1)
    if every > timedelta():
        load.go_on(runs[-1] + every, every, weight, takes)


def hourly_load(
    tasks: Iterable[Counted],
    start: datetime,
    now: datetime,
    hours: int,
    most: int,
    is_held: IsHeld,
) -> HourlyLoad:
    """Return how much is due in each hour; each task represents as many as given."""
    load = HourlyLoad(start, [0.0] * hours, [0.0] * hours)
    for counted in tasks:
        add_task(load, counted, now, most, is_held)
    return load


def _next_runs(task: Task, now: datetime, number: int) -> tuple[list[datetime], bool]:
    """Return fire times, and whether they are all that were asked for; only the next one if they cost too much."""
    try:
        with limited_to(FOR_A_TASK):
            return next_runs(task, now, number), True
    except Unplannable:
        return ([] if task.next_fire_at is None else [task.next_fire_at]), False
