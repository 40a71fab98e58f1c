"""Planning: which runs a due task gets, and when it is due next. Pure; the time is an argument."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.domain.policies import MisfirePolicy, OverlapPolicy, SkipReason
from app.domain.runs import RunStatus
from app.domain.schedules import Due, Schedule, due

# What one plan steps through at the most: a long outage is caught up in several plans of bounded work.
MOST_FIRE_TIMES = 10_000
# What a resume counts at the most; beyond it (a rule of every second, paused for 11 days) the rest is a misfire.
MOST_IN_A_GAP = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DueTask:
    """What planning needs to know of a task whose `next_fire_at` has come."""

    id: UUID
    name: str
    generation: int
    handler: str
    schedule: Schedule
    anchored_at: datetime
    next_fire_at: datetime
    misfire_policy: MisfirePolicy
    overlap_policy: OverlapPolicy
    queue: str
    priority: int
    input: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRun:
    """A run to be: one fire time, or a span of them that is skipped."""

    scheduled_for: datetime
    scheduled_until: datetime | None = None
    count: int = 1
    status: RunStatus = RunStatus.QUEUED
    reason: SkipReason | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The runs of one firing of a task and its next fire time (None: it has completed)."""

    runs: tuple[PlannedRun, ...]
    next_fire_at: datetime | None


def plan(task: DueTask, now: datetime, most: int = MOST_FIRE_TIMES) -> Plan:
    """Plan every fire time of `task` up to `now`: the last one runs, those before it are one skipped span.

    Where more than `most` fire times are due, the first `most` of them are skipped and the plan that follows
    goes on from there; nothing is lost and nothing is early. Raises what the schedule raises.
    """
    span = due(task.schedule, task.anchored_at, task.next_fire_at, now, most)
    if span.following is not None and span.following <= now:
        return Plan(
            (skipped(span.first, span.last, span.count, SkipReason.MISFIRE),), span.following
        )
    return Plan((*_misfired(span), PlannedRun(scheduled_for=span.last)), span.following)


def skipped(first: datetime, last: datetime, count: int, reason: SkipReason) -> PlannedRun:
    """Return the one skipped run that stands for `count` fire times from `first` to `last`."""
    return PlannedRun(
        scheduled_for=first,
        scheduled_until=last if count > 1 else None,
        count=count,
        status=RunStatus.SKIPPED,
        reason=reason,
    )


def _misfired(span: Due) -> tuple[PlannedRun, ...]:
    if span.before_last is None:
        return ()
    return (skipped(span.first, span.before_last, span.count - 1, SkipReason.MISFIRE),)


def plan_gap(task: DueTask, now: datetime, *, catch_up: str) -> Plan:
    """Plan what passed while the task was paused: one skipped run for all of it, or for all but the last.

    `catch_up`: `none` skips every fire time up to `now`; `once` runs the last of them after all.
    """
    span = due(task.schedule, task.anchored_at, task.next_fire_at, now, MOST_IN_A_GAP)
    if catch_up == "none":
        return Plan(
            (skipped(span.first, span.last, span.count, SkipReason.PAUSED),), span.following
        )
    last = PlannedRun(scheduled_for=span.last)
    if span.before_last is None:
        return Plan((last,), span.following)
    gap = skipped(span.first, span.before_last, span.count - 1, SkipReason.PAUSED)
    return Plan((gap, last), span.following)
