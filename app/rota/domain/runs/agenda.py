"""The agenda: what runs next of several tasks, in the order of time. Pure; the time is an argument."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import merge
from itertools import islice, takewhile
from typing import NamedTuple

from rota.domain.fire_time import TICK
from rota.domain.runs.upcoming import next_run, next_runs
from rota.domain.step_budget import FOR_A_TASK, limited_to
from rota.domain.tasks.task import Task
from rota.errors import Unplannable

#: How many fire times of a task are looked up first, and how many times more each time that these do not suffice.
_FEW, _GROWTH = 2, 8


class ComingRun(NamedTuple):
    """A fire time that runs. In order of time, then of the name."""

    at: datetime
    name: str
    task: Task


@dataclass(frozen=True, slots=True)
class Agenda:
    """What runs next; all of it up to `complete_until` (UTC, included), but for the limit of each task.

    Of what runs later, and first of all at the next instant, there may be a part.
    """

    runs: Sequence[ComingRun]
    complete_until: datetime


def plan_agenda(
    tasks: Sequence[Task],
    now: datetime,
    until: datetime,
    limit: int,
    *,
    of_each: int | None = None,
    more_from: datetime | None = None,
) -> Agenda:
    """Return up to `limit` fire times that run, none after `until`, up to `of_each` of each task (None: any number).

    `more_from`: there are more tasks than these, which fire from then on (UTC, up to `until`); None: there are none.
    """
    most = limit + 1 if of_each is None else of_each
    runs = merge(*(_coming(task, now, most) for task in tasks), key=lambda run: run[:2])
    last = until if more_from is None else min(until, more_from)
    found = list(islice(takewhile(lambda run: run.at <= last, runs), limit + 1))
    if len(found) > limit:
        return Agenda(found[:limit], found[limit].at - TICK)
    return Agenda(found, last if more_from is None else last - TICK)


def _coming(task: Task, now: datetime, most: int) -> Iterator[ComingRun]:
    """Yield up to `most` fire times of a task that run; only the next one, if they take too long to find."""
    number, seen = min(_FEW, most), 0
    if task.next_fire_at is not None and task.next_fire_at > now:
        # Of most tasks no more is needed, and this one is known.
        if (at := next_run(task)) is None:
            return
        yield ComingRun(at, task.name, task)
        seen = 1
    while seen < most:
        found = _next_runs(task, now, number, first=not seen)
        yield from (ComingRun(at, task.name, task) for at in found[seen:])
        if len(found) < number:
            return
        seen, number = number, min(number * _GROWTH, most)


def _next_runs(task: Task, now: datetime, number: int, *, first: bool) -> list[datetime]:
    try:
        with limited_to(FOR_A_TASK):
            return next_runs(task, now, number)
    except Unplannable:
        at = task.next_fire_at
        return [at] if first and at is not None else []
