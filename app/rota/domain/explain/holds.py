"""Holds in explanations: which one, why, until when, and how the fire times within it are treated."""

from datetime import datetime
from typing import assert_never

from rota.domain.explain.model import Explanation, Facts, Verdict
from rota.domain.holds.held import longest
from rota.domain.holds.model import HeldFireTimes, Hold
from rota.domain.policies import MisfirePolicy
from rota.domain.primitives.times.instants import format_instant
from rota.domain.reasons import SkipReason
from rota.domain.runs.model import Run
from rota.domain.runs.status import STARTS_WHILE_HELD
from rota.domain.schedules.definitions import fires_on_request_only


def hold_at(facts: Facts, at: datetime) -> Hold | None:
    """Return the hold that the task is in at a time, of several the one that lasts longest."""
    return longest(each for each in facts.holds if each.covers(at))


def deciding(facts: Facts, at: datetime) -> Hold | None:
    """Return the hold that decides about a fire time: one with `skip` wins over those that catch up."""
    skipping = longest(each for each in facts.holds if each.covers(at) and _skips(each))
    return skipping or hold_at(facts, at)


def _skips(hold: Hold) -> bool:
    return hold.fire_times is HeldFireTimes.SKIP


def holding(facts: Facts, run: Run) -> Hold | None:
    """Return the hold that keeps a run from starting now."""
    return None if run.trigger in STARTS_WHILE_HELD else hold_at(facts, facts.now)


def named(hold: Hold) -> str:
    """Return which hold it is, and why."""
    return f"hold {hold.name!r}" + (f" ({hold.reason})" if hold.reason else "")


def until(hold: Hold) -> str:
    """Return when a hold ends, behind `until`."""
    return (
        f"it is ended (DELETE /v1/holds/{hold.name})"
        if hold.ends_at is None
        else format_instant(hold.ends_at)
    )


def of_held_task(facts: Facts) -> Explanation | None:
    """Return that a task does not fire since it is held, and how its fire times are treated, if it is."""
    hold = hold_at(facts, facts.now)
    if hold is None or fires_on_request_only(facts.task.definition.schedule):
        return None
    message = f"It is held by the {named(hold)}, until {until(hold)}: nothing fires. {_fate(facts, hold)}."
    decides = deciding(facts, facts.now)
    if decides is not None and decides.fire_times is not hold.fire_times:
        message += f" Those within the {named(decides)}, until {until(decides)}, are skipped."
    return Explanation(facts.now, False, Verdict.HELD, SkipReason.HELD, message)


def of_held_time(facts: Facts, at: datetime, fire_at: datetime) -> Explanation | None:
    """Return the treatment of a fire time without a run that lies within a hold, if it does."""
    hold = deciding(facts, fire_at)
    if hold is None:
        return None
    lies = f"{format_instant(fire_at)} lies within {named(hold)}, which lasts until {until(hold)}"
    match hold.fire_times:
        case HeldFireTimes.SKIP:
            message = f"{lies}: it does not run."
            return Explanation(at, True, Verdict.SKIPPED, SkipReason.HELD, message)
        case HeldFireTimes.CATCH_UP:
            message = f"{lies}. {_fate(facts, hold)}."
            return Explanation(at, True, Verdict.HELD, SkipReason.HELD, message)
        case _:
            assert_never(hold.fire_times)


def _fate(facts: Facts, hold: Hold) -> str:
    if _skips(hold):
        return "Fire times within it are skipped"
    match facts.task.definition.misfire_policy:
        case MisfirePolicy.RUN_ONCE:
            return "When it has ended, the last of the fire times within it runs (misfire_policy run_once)"
        case MisfirePolicy.RUN_ALL:
            return "When it has ended, the fire times within it run, oldest first (misfire_policy run_all)"
        case MisfirePolicy.SKIP:
            return "When it has ended, none of the fire times within it runs (misfire_policy skip)"
        case _:
            assert_never(facts.task.definition.misfire_policy)


def why_skipped(facts: Facts, run: Run, it: str) -> str:
    """Return why a fire time (`it`), or several, are recorded as skipped with the reason `held`."""
    hold = deciding(facts, run.scheduled_for)
    if hold is None:
        return f"the task was held then, and nothing made up for {it} when the hold ended"
    during = (
        f"the task was in {named(hold)}, from {format_instant(hold.starts_at)} until {until(hold)}"
    )
    match hold.fire_times:
        case HeldFireTimes.SKIP:
            return during
        case HeldFireTimes.CATCH_UP:
            policy = facts.task.definition.misfire_policy
            return f"{during}, and misfire_policy {policy} did not make up for {it}"
        case _:
            assert_never(hold.fire_times)
