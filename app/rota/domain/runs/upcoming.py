"""Upcoming fire times: the next ones of a task that run. Pure; the time is an argument."""

from dataclasses import replace
from datetime import datetime
from typing import assert_never

from rota.domain.fire_time import TICK, FireTime
from rota.domain.holds.held import Holds
from rota.domain.policies import MisfirePolicy
from rota.domain.runs.due_parts import held_spans
from rota.domain.runs.plan import DueTask
from rota.domain.runs.planning import plan
from rota.domain.runs.status import RunStatus
from rota.domain.schedules.definitions import After, AnyOf, Manual, Planned, Unreadable
from rota.domain.schedules.fire_times import after_finish, fires_after_finish, is_left_out
from rota.domain.schedules.first_runs import first_delayed
from rota.domain.schedules.rules import Calendar, Cron, Interval, Once
from rota.domain.schedules.running_times import upcoming
from rota.domain.step_budget import FOR_A_TASK, limited_to
from rota.domain.tasks.definition import TaskStatus
from rota.domain.tasks.task import Task
from rota.errors import Unplannable


def next_runs(task: Task, now: datetime, number: int) -> list[datetime]:
    """Return up to `number` fire times (UTC) that run: of those that are due, the ones that the next plan lets run.

    Of a paused task, as if it were resumed now; of a `fixed_delay` the end of each run decides about the next. Raises
    Unplannable.
    """
    first = task.next_fire_at
    if first is None or task.status is TaskStatus.CANCELLED:
        return []
    if fires_after_finish(task.definition.schedule):
        return _next_delayed(task, first, now)[:number]
    if task.status is TaskStatus.ACTIVE and first <= now:
        return _next_of_due(task, now, number)
    passed = first <= now
    if number == 1 and not passed and not _may_not_run(task, first):
        return [first]  # as nearly always, and it takes no steps
    runs = _after(task, now if passed else first, number)
    if not passed and not _may_not_run(task, first):
        runs.insert(0, first)
    left = runs_left(task)
    # What was set by hand after the last of them fires anyway.
    return runs[: number if left is None else min(number, max(left, 1))]


def next_run(task: Task) -> datetime | None:
    """Return the next fire time of an active task that runs; None of any other."""
    if task.status is not TaskStatus.ACTIVE or task.next_fire_at is None:
        return None
    if not has_times_that_do_not_run(task.definition.schedule):
        return task.next_fire_at
    try:
        with limited_to(FOR_A_TASK):
            return next(iter(next_runs(task, task.next_fire_at, 1)), None)
    except Unplannable:  # a task that cannot be planned, or not at this cost, can be shown anyway
        return task.next_fire_at


def next_run_under(task: Task, holds: Holds) -> datetime | None:
    """Return the same under holds: what one defers fires when it ends; None also if it has no end."""
    at = next_run(task)
    if at is None or not holds:
        return at
    due = DueTask.of(task, input="").under(holds)
    try:
        with limited_to(FOR_A_TASK):
            return _beyond(task, due, at) if due.holds else at
    except Unplannable:
        return at


def _beyond(task: Task, due: DueTask, at: datetime) -> datetime | None:
    """Return the first fire time from `at` on that no hold keeps from running, or the end of one that catches it up."""
    skipping, catching_up = held_spans(due)
    catches_up = due.misfire_policy is not MisfirePolicy.SKIP
    first: datetime | None = at
    while first is not None:
        skips = next((span for span in skipping if span.covers(first)), None)
        span = skips or next((span for span in catching_up if span.covers(first)), None)
        if span is None or span.end is None:
            return first if span is None else None
        if skips is None and catches_up:
            return span.end
        if due.fires_after_finish:
            first = _delayed_beyond(task, first if skips else span.end, span.end)
        else:
            first = next(iter(_after(task, span.end - TICK, 1)), None)
    return None


def _delayed_beyond(task: Task, at: datetime, end: datetime) -> datetime | None:
    """Return the first fire time from `end` on of a `fixed_delay` of which those from `at` on are skipped.

    Each of them counts as the end of a run; how late the passes are that skip them is not known.
    """
    schedule = task.definition.schedule
    assert isinstance(schedule, Interval)
    passed = max(-((at - end) // schedule.every) - 1, 0)
    return after_finish(schedule, task.anchor, at + passed * schedule.every)


def runs_left(task: Task) -> int | None:
    """Return how many runs `max_runs` leaves to the schedule; None: as many as there are fire times."""
    most = task.definition.schedule.max_runs
    return None if most is None else max(most - task.fired, 0)


def is_set_by_hand(task: Task) -> bool:
    """Return whether the next fire time is one that was moved."""
    waiting = task.next_fire.waiting
    return waiting is not None and waiting.to == task.next_fire_at


def has_times_that_do_not_run(schedule: Planned) -> bool:
    """Return whether a schedule may have fire times that are skipped: excluded ones, and those in a DST gap."""
    match schedule:
        case AnyOf():
            members = any(map(has_times_that_do_not_run, schedule.schedules))
            return members or schedule.exclude is not None
        case Once() | Cron() | Calendar():
            skips_gaps = schedule.dst is not None and schedule.dst.gap == "skip"
            return skips_gaps or schedule.exclude is not None
        case Interval():
            return schedule.exclude is not None
        case After() | Manual() | Unreadable():
            return False
        case _:
            assert_never(schedule)


def _next_of_due(task: Task, now: datetime, number: int) -> list[datetime]:
    """Return what runs of the fire times that are due, and what follows them: misfires do not count for `max_runs`."""
    planned = plan(DueTask.of(task, input=""), now)
    runs = [run.scheduled_for for run in planned.runs if run.status is RunStatus.QUEUED]
    if len(runs) >= number:
        return runs[:number]
    fired = replace(task, fired=task.fired + planned.fired, next_fire_at=planned.next_fire_at)
    return [*runs, *next_runs(fired, now, number - len(runs))]


def _after(task: Task, after: datetime, number: int) -> list[datetime]:
    """Return up to `number` fire times strictly after `after` that run, with the one that was moved at its time."""
    move, waiting = task.next_fire.move, task.next_fire.waiting
    if move is None or move.ends_before(after):
        return upcoming(task.definition.schedule, task.anchor, after, number)
    found = upcoming(task.definition.schedule, task.anchor, after, number + 1)
    runs = {at for at in found if not move.replaces(FireTime(at))}
    if waiting is not None and waiting.to > after:
        runs.add(waiting.to)
    return sorted(runs)[:number]


def _next_delayed(task: Task, first: datetime, now: datetime) -> list[datetime]:
    """Return the next fire time of a `fixed_delay`; one that is passed over counts as the end of a run."""
    schedule, anchor = task.definition.schedule, task.anchor
    if task.status is TaskStatus.PAUSED and first <= now:
        at = after_finish(schedule, anchor, now)
        return [] if at is None else [at]
    return first_delayed(schedule, anchor, first) if _may_not_run(task, first) else [first]


def _may_not_run(task: Task, first: datetime) -> bool:
    """Return whether the rule leaves out the fire time that waits; one that was set by hand always runs."""
    schedule = task.definition.schedule
    if is_set_by_hand(task) or not has_times_that_do_not_run(schedule):
        return False
    return is_left_out(schedule, task.anchor, first)
