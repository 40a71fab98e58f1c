"""Planning: which runs a due task gets, and when it is due next. Pure; the time is an argument.

Every fire time up to now becomes one run or lies in the span of one skipped run; what a hold keeps from being decided
is left for the plan after it. Why one does not run: the rule leaves it out (`excluded`, `dst_gap`), or what `due_parts`
says of its time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from rota.domain.fire_time import TICK, FireTime
from rota.domain.reasons import SkipReason
from rota.domain.runs.due_parts import DueTime, Group, Part, due_time, grace, in_gap
from rota.domain.runs.plan import DueTask, Plan, PlannedRun
from rota.domain.runs.status import RunStatus
from rota.domain.schedules.base import Bounded
from rota.domain.schedules.definitions import AnyOf, Planned, fires_unscheduled
from rota.domain.schedules.fire_times import after_finish, fire_times
from rota.domain.schedules.interval_grid import leap
from rota.domain.schedules.replanning.moved_fire_time import NextFire, times_left
from rota.domain.schedules.running_times import upcoming
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

    What a hold with `catch_up` covers that lasts is not planned: the task is deferred until the hold ends.

    Nothing is lost, nothing is early. Raises what the schedule raises (Unplannable).
    """
    on_time = _on_time(task, now)
    if on_time is not None:
        return on_time
    with limited_to(FOR_A_PLAN):
        return _plan_of_several(task, now, most)


def _plan_of_several(task: DueTask, now: datetime, most: int) -> Plan:
    when = due_time(task, now)
    most_kept = max((part.group.kept for part in when.parts), default=0)
    due = _due(task, when, max(most // _width(task.schedule), 2 * most_kept, 1))
    decided, following = _decide(task, due, when)
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
        gap=task.gap if following is not None and in_gap(task, following) else None,
        deferred_until=_deferred_until(when, following, now),
    )


def _deferred_until(when: DueTime, following: datetime | None, now: datetime) -> datetime | None:
    """Return until when the next fire time is not looked at again, if a hold has stopped the plan before it."""
    is_held = following is not None and when.until < following <= now
    return when.deferred_until if is_held else None


def most_runs(schedule: Planned) -> int | None:
    """Return after how many runs of the schedule its task is completed; None: there is no limit."""
    return schedule.max_runs if isinstance(schedule, Bounded) else None


def skipped(first: datetime, last: datetime, count: int, reason: SkipReason) -> PlannedRun:
    """Return the one skipped run that represents `count` fire times from `first` to `last`."""
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
    usual = task.gap is None and task.move is None and not task.holds
    if not usual or grace(task)[0] is not None or most_runs(task.schedule) is not None:
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


def _due(task: DueTask, when: DueTime, most: int) -> _Due:
    """Return what is due: passed over by arithmetic where the rule allows it, stepped through elsewhere."""
    move = task.move
    # Never beyond a fire time that was moved: the arithmetic knows the rule alone.
    moved = [at for at in move or () if at is not None and at >= task.next_fire_at]
    passed, first = _passed_over(task, when, min([when.until, *(at - TICK for at in moved)]))
    if move is not None and move.waits(task.next_fire_at):
        first = min(first, move.to)  # the rule's next one may come after it
    left = times_left(task.schedule, task.anchor, NextFire(first, move))
    return _stepped(_Due(passed, [], None), left, when.until, most)


def _passed_over(task: DueTask, when: DueTime, end: datetime) -> tuple[list[PlannedRun], datetime]:
    """Return the spans up to `end` that are passed over at once, and the first fire time after them."""
    passed: list[PlannedRun] = []
    first = task.next_fire_at
    for part in when.parts:
        until, group = min(end, part.last), part.group
        if first <= until and (over := leap(task.schedule, task.anchor, first, until, group.kept)):
            passed.append(skipped(first, over.last, over.count, group.reason))
            first = over.following
        if first <= until:  # what is left of this part may run
            break
    return passed, first


def _stepped(due: _Due, times: Iterator[FireTime], until: datetime, most: int) -> _Due:
    for time in times:
        if time.at > until or len(due.times) == most:
            due.following = time.at
            break
        due.times.append(time)
    return due


def _decide(
    task: DueTask, due: _Due, when: DueTime
) -> tuple[list[tuple[datetime, SkipReason | None]], datetime | None]:
    """Return the fire times, each with why it does not run (None: it runs), and the one after them."""
    reasons, candidates = _grouped(due, when)
    cut = len(due.times)
    for group, indexes in candidates.items():
        kept = _last(indexes, group.kept)
        if due.following is not None and when.goes_on(group, due.following):
            # Whether these run depends on what is due after them. The plan that follows decides, if this one gets on
            # without them.
            if kept[0] > 0:
                cut = min(cut, kept[0])
            else:
                kept = _last(kept, group.kept - _number_later(task, due, when, group))
        for index in kept:
            reasons[index] = None
    following = due.times[cut].at if cut < len(due.times) else due.following
    return [(due.times[index].at, reasons[index]) for index in range(cut)], following


def _grouped(due: _Due, when: DueTime) -> tuple[list[SkipReason | None], dict[Group, list[int]]]:
    """Return why each fire time does not run, and those of each group that may run anyway."""
    reasons: list[SkipReason | None] = []
    candidates: dict[Group, list[int]] = {}
    groups = when.groups_of(time.at for time in due.times)
    for index, (time, group) in enumerate(zip(due.times, groups, strict=True)):
        reasons.append(time.skip or group.reason)
        if time.skip is None and group.kept:
            candidates.setdefault(group, []).append(index)
    return reasons, candidates


def _number_later(task: DueTask, due: _Due, when: DueTime, group: Group) -> int:
    """Return how many fire times of a group after these may run in their place, as far as that matters."""
    found = 0
    for part in when.parts_after(group, due.times[-1].at):
        found += len(_running_within(task, part, group.kept))
        if found >= group.kept:
            return group.kept
    return found


def _running_within(task: DueTask, part: Part, most: int) -> set[datetime]:
    """Return the fire times in a part that the rule does not leave out, up to `most` or a few more."""
    after = part.first - TICK
    found = set(upcoming(task.schedule, task.anchor, after, most + 1, until=part.last))
    move = task.move
    if move is None:
        return found
    by_rule = {at for at in found if not move.replaces(FireTime(at))}
    return by_rule | ({move.to} if part.first <= move.to <= part.last else set())


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
