"""Planning: which runs a due task gets, and when it is due next. Pure; the time is an argument.

Every fire time up to now becomes one run or lies in the span of one skipped run. Why one does not run, in this order:
the rule leaves it out (`excluded`, `dst_gap`), it passed during a pause (`paused`), longer ago than the task accepts
(`too_late`), or a later one runs in its place (`misfire`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import assert_never

from rota.domain.fire_time import TICK, FireTime
from rota.domain.policies import (
    MOST_CAUGHT_UP,
    SKIP_GRACE,
    CatchUp,
    MisfirePolicy,
)
from rota.domain.reasons import SkipReason
from rota.domain.runs.plan import DueTask, Plan, PlannedRun
from rota.domain.runs.status import RunStatus
from rota.domain.schedules.base import Bounded
from rota.domain.schedules.definitions import AnyOf, Planned, fires_unscheduled
from rota.domain.schedules.fire_times import after_finish, fire_times, upcoming
from rota.domain.schedules.interval_grid import leap
from rota.domain.schedules.moved_fire_time import NextFire, times_left
from rota.domain.step_budget import FOR_A_PLAN, limited_to

# How many fire times one plan covers at most: a long outage is caught up in several plans.
MOST_FIRE_TIMES = 10_000


@dataclass(slots=True)
class _Due:
    """What is due: spans passed over at once, fire times stepped through, and the one after them (None: none)."""

    passed: list[PlannedRun]
    times: list[FireTime]
    following: datetime | None


def plan(task: DueTask, now: datetime, most: int = MOST_FIRE_TIMES) -> Plan:
    """Plan the fire times of `task` up to `now`, about `most` of them at a time; the next plan continues from there.

    Nothing is lost, nothing is early. Raises what the schedule raises (Unplannable).
    """
    on_time = _on_time(task, now)
    if on_time is not None:
        return on_time
    with limited_to(FOR_A_PLAN):
        return _plan_of_several(task, now, most)


def _plan_of_several(task: DueTask, now: datetime, most: int) -> Plan:
    most_kept = max(_kept(task, reason) for reason in (SkipReason.PAUSED, SkipReason.MISFIRE))
    due = _due(task, now, max(most // _width(task.schedule), 2 * most_kept))
    decided, following = _decide(task, due, now)
    runs, ended = _within_limit(task, _joined([*due.passed, *_spans(decided)]))
    if ended:
        following = None
    waits = following is None and not ended and task.fires_after_finish
    if waits and not any(run.status is RunStatus.QUEUED for run in runs):
        following, waits = after_finish(task.schedule, task.anchor, now), False
    return Plan(
        runs=tuple(runs),
        next_fire_at=following,
        completed=following is None and not waits and not fires_unscheduled(task.schedule),
        gap=task.gap if following is not None and _in_gap(task, following) else None,
    )


def most_runs(schedule: Planned) -> int | None:
    """Return after how many runs of the schedule its task is completed; None: there is no limit."""
    return schedule.max_runs if isinstance(schedule, Bounded) else None


def skipped(first: datetime, last: datetime, count: int, reason: SkipReason) -> PlannedRun:
    """Return the one skipped run that stands for `count` fire times from `first` to `last`."""
    return PlannedRun(
        scheduled_for=first,
        scheduled_until=last if count > 1 else None,
        count=count,
        status=RunStatus.SKIPPED,
        reason=reason,
    )


def _width(schedule: Planned) -> int:
    """Return how many rules are stepped through for one fire time."""
    return len(schedule.schedules) if isinstance(schedule, AnyOf) else 1


def _on_time(task: DueTask, now: datetime) -> Plan | None:
    """Return the plan for a single fire time that is due and runs, the usual case; None for other cases."""
    usual = task.gap is None and task.move is None and _grace(task)[0] is None
    if not usual or most_runs(task.schedule) is not None:
        return None
    times = fire_times(task.schedule, task.anchor, task.next_fire_at - TICK)
    first, following = next(times, None), next(times, None)
    if first != FireTime(task.next_fire_at) or (following is not None and following.at <= now):
        return None
    return Plan(
        runs=(PlannedRun(scheduled_for=task.next_fire_at),),
        next_fire_at=None if following is None else following.at,
        completed=following is None and not task.fires_after_finish,
    )


def _due(task: DueTask, now: datetime, most: int) -> _Due:
    """Return what is due: passed over by arithmetic where the rule allows it, stepped through elsewhere."""
    passed: list[PlannedRun] = []
    first = task.next_fire_at
    for until, keep, reason in _leaps(task, now):
        if first <= until and (over := leap(task.schedule, task.anchor, first, until, keep)):
            passed.append(skipped(first, over.last, over.count, reason))
            first = over.following
        if first <= until:  # what is left of this part may run
            break
    move = task.move
    if move is not None and move.waits(task.next_fire_at):
        first = min(first, move.to)  # the rule's next one may come after it
    left = times_left(task.schedule, task.anchor, NextFire(first, move))
    return _stepped(_Due(passed, [], None), left, now, most)


def _leaps(task: DueTask, now: datetime) -> Iterator[tuple[datetime, int, SkipReason]]:
    """Yield until when fire times can be passed over at once, how many of them may still run, and the reason.

    Never beyond one that was moved: the arithmetic knows the rule alone.
    """
    moved = [at for at in task.move or () if at is not None and at >= task.next_fire_at]
    end = min([now, *(at - TICK for at in moved)])
    if task.gap is not None:
        yield min(end, task.gap.until), _kept(task, SkipReason.PAUSED), SkipReason.PAUSED
    grace, reason = _grace(task)
    if grace is not None:
        yield min(end, now - grace - TICK), 0, reason
    yield end, _kept(task, SkipReason.MISFIRE), SkipReason.MISFIRE


def _stepped(due: _Due, times: Iterator[FireTime], now: datetime, most: int) -> _Due:
    for time in times:
        if time.at > now or len(due.times) == most:
            due.following = time.at
            break
        due.times.append(time)
    return due


def _decide(
    task: DueTask, due: _Due, now: datetime
) -> tuple[list[tuple[datetime, SkipReason | None]], datetime | None]:
    """Return the fire times, each with why it does not run (None: it runs), and the one after them."""
    reasons: list[SkipReason | None] = []
    candidates: dict[SkipReason, list[int]] = {SkipReason.PAUSED: [], SkipReason.MISFIRE: []}
    for index, time in enumerate(due.times):
        reason, may_run = _why_not(task, time, now)
        reasons.append(reason)
        if may_run:
            candidates[reason].append(index)
    cut, following = len(due.times), due.following
    goes_on = None if following is None or following > now else _reason_of(task, following)
    for reason, indexes in candidates.items():
        kept = _last(indexes, _kept(task, reason))
        if kept and reason is goes_on:
            # Whether these run depends on what is due after them. The plan that follows decides, if this one gets on
            # without them.
            if kept[0] > 0:
                cut, following = kept[0], due.times[kept[0]].at
            else:
                kept = _last(kept, _kept(task, reason) - _number_later(task, due, reason, now))
        for index in kept:
            reasons[index] = None
    return [(due.times[index].at, reasons[index]) for index in range(cut)], following


def _number_later(task: DueTask, due: _Due, reason: SkipReason, now: datetime) -> int:
    """Return how many fire times after these may run in their place, as far as that matters."""
    after, most = due.times[-1].at, _kept(task, reason)
    until = min(task.gap.until, now) if task.gap and reason is SkipReason.PAUSED else now
    move = task.move
    later = set(upcoming(task.schedule, task.anchor, after, most + 1, until=until))
    if move is not None:
        later = {at for at in later if not move.replaces(FireTime(at))}
        later |= {move.to} if after < move.to <= until else set()
    return min(len(later), most)


def _why_not(task: DueTask, time: FireTime, now: datetime) -> tuple[SkipReason, bool]:
    """Return why a fire time does not run, and whether it does after all if it is one of the last."""
    if time.skip is not None:
        return time.skip, False
    if _reason_of(task, time.at) is SkipReason.PAUSED:
        return SkipReason.PAUSED, True
    grace, reason = _grace(task)
    if grace is not None and now - time.at > grace:
        return reason, False
    return SkipReason.MISFIRE, True


def _grace(task: DueTask) -> tuple[timedelta | None, SkipReason]:
    """Return how late a fire time may still run, and what it is called beyond that."""
    match task.misfire_policy:
        case MisfirePolicy.SKIP:
            return task.misfire_grace or SKIP_GRACE, SkipReason.MISFIRE
        case MisfirePolicy.RUN_ONCE | MisfirePolicy.RUN_ALL:
            return task.misfire_grace, SkipReason.TOO_LATE
        case _:
            assert_never(task.misfire_policy)


def _kept(task: DueTask, reason: SkipReason) -> int:
    """Return how many of the fire times that do not run for a reason run all the same: the last ones."""
    if reason is SkipReason.PAUSED:
        return 0 if task.gap is None else _kept_of_pause(task.gap.catch_up)
    match task.misfire_policy:
        case MisfirePolicy.RUN_ONCE:
            return 1
        case MisfirePolicy.RUN_ALL | MisfirePolicy.SKIP:
            return MOST_CAUGHT_UP
        case _:
            assert_never(task.misfire_policy)


def _kept_of_pause(catch_up: CatchUp) -> int:
    match catch_up:
        case "none":
            return 0
        case "once":
            return 1
        case "all":
            return MOST_CAUGHT_UP
        case _:
            assert_never(catch_up)


def _reason_of(task: DueTask, at: datetime) -> SkipReason:
    return SkipReason.PAUSED if _in_gap(task, at) else SkipReason.MISFIRE


def _in_gap(task: DueTask, at: datetime) -> bool:
    return task.gap is not None and at <= task.gap.until


def _last(candidates: Sequence[int], number: int) -> Sequence[int]:
    return candidates[-number:] if number else ()


def _spans(decided: Sequence[tuple[datetime, SkipReason | None]]) -> Iterator[PlannedRun]:
    """Yield a run for each fire time that runs, and one for each row of those that are skipped for one reason."""
    for reason, group in groupby(decided, key=lambda each: each[1]):
        times = [at for at, _ in group]
        if reason is None:
            yield from (PlannedRun(scheduled_for=at) for at in times)
        else:
            yield skipped(times[0], times[-1], len(times), reason)


def _joined(runs: Sequence[PlannedRun]) -> Iterator[PlannedRun]:
    """Yield the runs, with spans in a row that are skipped for one reason as one."""
    for reason, group in groupby(runs, key=lambda run: run.reason):
        first, *others = group
        if reason is None or not others:
            yield from (first, *others)
            continue
        last = others[-1].scheduled_until or others[-1].scheduled_for
        yield skipped(first.scheduled_for, last, sum(run.count for run in (first, *others)), reason)


def _within_limit(task: DueTask, runs: Iterator[PlannedRun]) -> tuple[list[PlannedRun], bool]:
    """Return the runs up to the last one that `max_runs` allows, and whether that was it."""
    most = most_runs(task.schedule)
    within: list[PlannedRun] = []
    fired = task.fired
    for run in runs:
        within.append(run)
        fired += run.status is RunStatus.QUEUED
        if most is not None and fired >= most:
            return within, True
    return within, False
