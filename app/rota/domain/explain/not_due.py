"""Explanations of active tasks that have nothing to run: what they wait for."""

from datetime import datetime
from typing import assert_never

from rota.domain.explain.model import Explanation, Facts, Verdict
from rota.domain.explain.run import of_run
from rota.domain.primitives.texts.english import and_list
from rota.domain.primitives.times.instants import format_instant
from rota.domain.reasons import ExplainedReason, SkipReason
from rota.domain.runs.status import RunStatus
from rota.domain.runs.upcoming import is_set_by_hand, next_run
from rota.domain.schedules.definitions import After, AnyOf, Manual, Planned, Unreadable
from rota.domain.schedules.rules import Calendar, Cron, Interval, Once
from rota.domain.tasks.task import Task


def explain_not_due(facts: Facts) -> Explanation:
    """Return the explanation of an active task without an unfinished run: when, or after what, it fires next."""
    task, now = facts.task, facts.now
    schedule: Planned = task.definition.schedule
    match schedule:
        case After():
            return _awaiting(facts, schedule)
        case Manual():
            message = (
                f"Its schedule is manual: it runs on request (POST /v1/tasks/{task.name}/run)."
            )
            return Explanation(now, False, Verdict.NOT_SCHEDULED, ExplainedReason.MANUAL, message)
        case Once() | Interval() | Cron() | Calendar() | AnyOf() | Unreadable():
            return _at_next_fire(task, now)
        case _:
            assert_never(schedule)


def _at_next_fire(task: Task, now: datetime) -> Explanation:
    at = next_run(task)
    if at is None:
        message = "Every fire time ahead is left out by the schedule."
        return Explanation(now, False, Verdict.NOT_DUE, SkipReason.EXCLUDED, message)
    moved = " (set by next_fire_at)" if is_set_by_hand(task) and at == task.next_fire_at else ""
    message = f"It is not due yet: the next fire time is {format_instant(at)}{moved}."
    return Explanation(now, False, Verdict.NOT_DUE, None, message)


def _awaiting(facts: Facts, schedule: After) -> Explanation:
    message = f"It fires once these tasks have ended as {and_list(schedule.on, 'or')}: "
    if facts.awaited:
        names = and_list([f"{each.name!r} ({each.note})" for each in facts.awaited])
        message += f"still awaited {names}."
    else:
        message += (
            f"{and_list([repr(name) for name in schedule.tasks])}. Each has done so already, and was still waited for "
            "with another one then; it fires at the next such end."
        )
    message += _normal_ends(facts, schedule)
    broken = facts.last_run
    if broken is None or broken.reason != SkipReason.PREDECESSOR:
        return Explanation(facts.now, False, Verdict.NOT_DUE, SkipReason.PREDECESSOR, message)
    skipped = of_run(facts, facts.now, broken, expected=False)
    message += f" Of the last time: {skipped.message}"
    return Explanation(facts.now, False, Verdict.NOT_DUE, SkipReason.PREDECESSOR, message, broken)


def _normal_ends(facts: Facts, schedule: After) -> str:
    """Return the sentence about awaited tasks that have succeeded, where that is not what is waited for."""
    if RunStatus.SUCCEEDED in schedule.on:
        return ""
    succeeded = [repr(each.name) for each in facts.awaited if each.ended_as == RunStatus.SUCCEEDED]
    named = f" ({and_list(succeeded)} succeeded last)" if succeeded else ""
    return f" A success is their normal end: it makes no run, and no skipped one{named}."
