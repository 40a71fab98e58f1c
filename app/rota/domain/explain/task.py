"""Explanations of tasks: why one is not running now, or did not run at a time. Pure; the store reads the facts."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from rota.domain.explain.expectations import expected_and_raised
from rota.domain.explain.holds import of_held_task, of_held_time
from rota.domain.explain.model import Explanation, Facts, Verdict
from rota.domain.explain.nearest import beyond_max_runs, nearest
from rota.domain.explain.not_due import explain_not_due
from rota.domain.explain.run import of_run
from rota.domain.explain.skipped import by_exclusion
from rota.domain.explain.time_slot import Slot
from rota.domain.fire_time import FireTime
from rota.domain.primitives.texts.english import and_list
from rota.domain.primitives.times.instants import format_instant
from rota.domain.reasons import ExplainedReason, PauseReason, SkipReason
from rota.domain.runs.model import Run
from rota.domain.runs.status import Trigger
from rota.domain.runs.upcoming import next_run, runs_left
from rota.domain.schedules.definitions import After, AnyOf, Manual, Planned, Unreadable
from rota.domain.schedules.rules import Calendar, Cron, Interval, Once
from rota.domain.tasks.definition import TaskStatus
from rota.domain.tasks.task import Task

_MINUTE = timedelta(minutes=1)


def explain_now(facts: Facts) -> Explanation:
    """Return why the task is not running now: what its unfinished run waits for, or why it has none.

    And what it is expected to do, and does not: the alerts that are raised.
    """
    found = _now(facts)
    message = " ".join(filter(None, (found.message, *expected_and_raised(facts))))
    return replace(found, message=message)


def _now(facts: Facts) -> Explanation:
    if facts.run is not None:
        return of_run(facts, facts.now, facts.run, expected=True)
    task = facts.task
    if task.status is not TaskStatus.ACTIVE:
        return _inactive(facts, facts.now, expected=False)
    if (held := of_held_task(facts)) is not None:
        return held
    # A fire time that has come may be one that is only recorded as skipped.
    if (at := next_run(task)) is not None and at <= facts.now:
        return _due(facts.now, at)
    return explain_not_due(facts)


def explain_at(facts: Facts, slot: Slot) -> Explanation:
    """Return why the task did not run, or will not run, at a time; `facts.run` is the run of that time."""
    fire = slot.fire
    covering = facts.run
    if (instead := _moved_to(facts, slot)) is not None:
        return _moved(facts, slot, instead)
    if covering is not None and not _only_spanned(facts.task, covering.scheduled_for, slot):
        return of_run(facts, slot.at, covering, expected=_is_scheduled(covering))
    # With seconds or jitter, the fire time may come later than the time that represents it.
    if (slot.at if fire is None else fire.at) > facts.now:
        return _ahead(facts, slot)
    if (younger := _before_registration(facts, slot)) is not None:
        return younger
    return _not_scheduled(facts, slot) if fire is None else _without_run(facts, slot, fire)


def _is_scheduled(run: Run) -> bool:
    """Return whether a run belongs to a fire time that was expected to run."""
    only_recorded = {SkipReason.EXCLUDED, SkipReason.DST_GAP}
    return run.trigger is Trigger.SCHEDULE and run.reason not in only_recorded


def _before_registration(facts: Facts, slot: Slot) -> Explanation | None:
    """Return that the task, or its present schedule, is younger than a time, if it is."""
    if slot.end <= facts.task.created_at:
        message = f"The task was registered at {format_instant(facts.task.created_at)}, after that."
        return Explanation(
            slot.at, False, Verdict.BEFORE_REGISTRATION, ExplainedReason.REGISTERED_LATER, message
        )
    if slot.end <= facts.task.anchored_at:
        message = (
            f"The present schedule was declared at {format_instant(facts.task.anchored_at)}, after that; "
            "there is no run of that time, and the schedule before is not kept."
        )
        return Explanation(
            slot.at, False, Verdict.BEFORE_REGISTRATION, ExplainedReason.SCHEDULE_CHANGED, message
        )
    return None


def _only_spanned(task: Task, scheduled_for: datetime, slot: Slot) -> bool:
    """Return whether a span covers the time, but the schedule, unchanged since, has no fire time there."""
    inside = slot.start <= scheduled_for < slot.end
    return not inside and slot.fire is None and task.anchored_at <= scheduled_for


def _ahead(facts: Facts, slot: Slot) -> Explanation:
    task, fire = facts.task, slot.fire
    if task.status is not TaskStatus.ACTIVE:
        runs = fire is not None and fire.skip is None
        runs = runs and not (fire and beyond_max_runs(task, facts.now, fire.at))
        return _inactive(facts, slot.at, expected=runs and task.status is TaskStatus.PAUSED)
    if fire is None:
        return _not_scheduled(facts, slot)
    if fire.skip is not None:
        return _skipped(facts, slot, fire.at, fire.skip)
    if beyond_max_runs(task, facts.now, fire.at):
        message = f"{format_instant(fire.at)} will not run: max_runs allows {runs_left(task)} more before it."
        return Explanation(slot.at, False, Verdict.NOT_SCHEDULED, ExplainedReason.MAX_RUNS, message)
    if (held := of_held_time(facts, slot.at, fire.at)) is not None:
        return held
    message = f"It fires at {format_instant(fire.at)}."
    return Explanation(slot.at, True, Verdict.IN_FUTURE, None, message)


def _skipped(facts: Facts, slot: Slot, at: datetime, reason: SkipReason) -> Explanation:
    """Return that a fire time will only be recorded, as the schedule skips it."""
    message = f"{format_instant(at)} will not run: {_left_out(facts, at, reason)}"
    return Explanation(slot.at, False, Verdict.SKIPPED, reason, message)


def _left_out(facts: Facts, at: datetime, reason: SkipReason) -> str:
    """Return why a fire time will be skipped. The schedule gives only two of the reasons."""
    match reason:
        case SkipReason.EXCLUDED:
            return f"the schedule leaves it out ({by_exclusion(facts, at, None)})."
        case SkipReason.DST_GAP:
            return "the clock never shows it, and the schedule skips such times (dst.gap: skip)."
        case (
            SkipReason.MISFIRE
            | SkipReason.TOO_LATE
            | SkipReason.OVERLAP
            | SkipReason.PAUSED
            | SkipReason.HELD
            | SkipReason.CONSTRAINT_DEADLINE
            | SkipReason.PREDECESSOR
        ):
            raise AssertionError(reason)
        case _:
            assert_never(reason)


def _moved(facts: Facts, slot: Slot, to: datetime) -> Explanation:
    at = slot.at if slot.fire is None else slot.fire.at
    verb = "will" if at > facts.now else "did"
    message = f"{format_instant(at)} {verb} not run: next_fire_at was set to {format_instant(to)} in its place."
    return Explanation(slot.at, False, Verdict.MOVED, ExplainedReason.NEXT_FIRE_AT, message)


def _moved_to(facts: Facts, slot: Slot) -> datetime | None:
    """Return the time that the fire time of a slot without a run of its own was moved to."""
    task, fire = facts.task, slot.fire
    if fire is None or task.overrides_at != fire.at or task.moved_to_at == fire.at:
        return None
    if facts.run is not None and slot.start <= facts.run.scheduled_for < slot.end:
        return None
    return task.moved_to_at if task.status is TaskStatus.ACTIVE or fire.at <= facts.now else None


def _without_run(facts: Facts, slot: Slot, fire: FireTime) -> Explanation:
    """Return why a fire time that has passed has no run."""
    task, runs = facts.task, fire.skip is None
    if task.next_fire_at is not None and task.next_fire_at <= fire.at:
        if task.status is TaskStatus.ACTIVE and fire.skip is not None:
            return _skipped(facts, slot, fire.at, fire.skip)
        if task.status is TaskStatus.ACTIVE:
            return of_held_time(facts, slot.at, fire.at) or _due(slot.at, fire.at)
        return _inactive(facts, slot.at, expected=runs)
    if task.status is not TaskStatus.ACTIVE and task.status_changed_at <= fire.at:
        return _inactive(facts, slot.at, expected=runs and task.status is TaskStatus.PAUSED)
    if _came_after_the_last(facts, fire.at):
        most = task.definition.schedule.max_runs
        message = (
            f"{format_instant(fire.at)} did not run: max_runs ({most}) had been reached before it."
        )
        return Explanation(slot.at, False, Verdict.NOT_SCHEDULED, ExplainedReason.MAX_RUNS, message)
    message = (
        f"{format_instant(fire.at)} is a fire time of the present schedule, and there is no run of it: "
        "retention has removed it, the task was not active then, next_fire_at had been moved, or by the time zone "
        "database of then it was none."
    )
    return Explanation(slot.at, runs, Verdict.NO_RECORD, None, message)


def _came_after_the_last(facts: Facts, at: datetime) -> bool:
    """Return whether the task was completed by a run of an earlier time, as the last that `max_runs` allows."""
    last = facts.last_run
    completed = facts.task.status is TaskStatus.COMPLETED and runs_left(facts.task) == 0
    return completed and last is not None and (last.scheduled_until or last.scheduled_for) < at


def _inactive(facts: Facts, at: datetime, *, expected: bool) -> Explanation:
    task = facts.task
    since = f"since {format_instant(task.status_changed_at)} by {task.status_changed_by}"
    match task.status:
        case TaskStatus.CANCELLED:
            message = f"Cancelled {since}: nothing fires. Register the task again to revive it."
            return Explanation(at, False, Verdict.CANCELLED, None, message, facts.last_run)
        case TaskStatus.COMPLETED:
            return _completed(facts, at, since)
        case TaskStatus.PAUSED if task.status_reason == PauseReason.UNPLANNABLE:
            message = f"Paused {since}, because its schedule could not be planned. {_REMEDY.format(task.name)}"
            return Explanation(at, expected, Verdict.UNPLANNABLE, PauseReason.UNPLANNABLE, message)
        case TaskStatus.PAUSED:
            why = f" ({task.status_reason})" if task.status_reason else ""
            message = f"Paused {since}{why}: {_until_resumed(task)}"
            return Explanation(at, expected, Verdict.PAUSED, task.status_reason, message)
        case TaskStatus.ACTIVE:
            raise AssertionError("an active task fires")
        case _:
            assert_never(task.status)


def _until_resumed(task: Task) -> str:
    until = f"until POST /v1/tasks/{task.name}/resume"
    schedule: Planned = task.definition.schedule
    match schedule:
        case Manual():
            return (
                f"its schedule is manual, and a run that is requested (POST /v1/tasks/{task.name}/run) is executed "
                f"anyway; runs and retries from before wait {until}."
            )
        case After():
            return (
                f"nothing fires {until}. The ends of the tasks that it comes after until then are recorded as one "
                "skipped run."
            )
        case Once() | Interval() | Cron() | Calendar() | AnyOf() | Unreadable():
            return (
                f"nothing fires {until}. Fire times that pass until then are recorded as one skipped run, unless "
                "catch_up makes up for them."
            )
        case _:
            assert_never(schedule)


_REMEDY = (
    "POST /v1/tasks/{}/resume is enough once it can be (if it was for its time zone, once that is known again); "
    "else declare another schedule first."
)


def _completed(facts: Facts, at: datetime, since: str) -> Explanation:
    """Return that no fire time is left, and how the last run ended."""
    task, last = facts.task, facts.last_run
    over = runs_left(task) == 0
    most = task.definition.schedule.max_runs
    why = f"max_runs ({most}) has been reached" if over else "its schedule has no fire time left"
    message, reason = f"Completed {since}: {why}.", None
    if last is not None and last.trigger in {Trigger.SCHEDULE, Trigger.AFTER}:
        final = of_run(facts, at, last, expected=False)
        message, reason = f"{message} Of the last one: {final.message}", final.reason
    return Explanation(at, False, Verdict.COMPLETED, reason, message, last)


def explain_unplannable(facts: Facts, slot: Slot, why: str) -> Explanation:
    """Return the explanation of a time if the schedule cannot be planned: its run, or that this is unknown."""
    if facts.run is not None:
        return of_run(facts, slot.at, facts.run, expected=_is_scheduled(facts.run))
    if (younger := _before_registration(facts, slot)) is not None:
        return younger
    message = f"{why} {_REMEDY.format(facts.task.name)}"
    return Explanation(slot.at, False, Verdict.UNPLANNABLE, PauseReason.UNPLANNABLE, message)


def _due(at: datetime, fire_at: datetime) -> Explanation:
    message = (
        f"{format_instant(fire_at)} has come and is about to be fired. If it stays so, the service is behind or has "
        "just been started: see /readyz."
    )
    return Explanation(at, True, Verdict.DUE, None, message)


def _not_scheduled(facts: Facts, slot: Slot) -> Explanation:
    task = facts.task
    if (
        task.status in {TaskStatus.CANCELLED, TaskStatus.COMPLETED}
        and slot.at > task.status_changed_at
    ):
        return _inactive(facts, slot.at, expected=False)
    schedule = task.definition.schedule
    if isinstance(schedule, Manual | After):
        message = f"Its schedule is {schedule.type}: it has no fire times."
        reason = ExplainedReason(schedule.type)
        return Explanation(slot.at, False, Verdict.NOT_SCHEDULED, reason, message)
    near = and_list(list(nearest(facts, slot)))
    message = f"The schedule has no fire time {_when(slot)}" + (f": {near}." if near else ".")
    return Explanation(slot.at, False, Verdict.NOT_SCHEDULED, None, message)


def _when(slot: Slot) -> str:
    if slot.end - slot.start <= _MINUTE:
        return f"at {format_instant(slot.at)}"
    return f"from {format_instant(slot.start)} until before {format_instant(slot.end)}"
