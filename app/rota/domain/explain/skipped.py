"""Explanations of skipped runs: why fire times did not run."""

from datetime import datetime
from typing import assert_never

from rota.domain.explain.holds import why_skipped
from rota.domain.explain.model import Facts
from rota.domain.policies import MOST_BUFFERED, MOST_CAUGHT_UP, SKIP_GRACE, MisfirePolicy
from rota.domain.primitives.texts import english
from rota.domain.primitives.times.instants import format_instant
from rota.domain.reasons import SkipReason, known
from rota.domain.runs.model import Run
from rota.domain.schedules.calendar_use import calendar_leaving_out
from rota.domain.tasks.definition import TaskDefinition


def skipped(facts: Facts, run: Run) -> str:
    """Return the sentence for a skipped run."""
    return f"{_span(run)} skipped: {_why_skipped(facts, run)}."


def _span(run: Run) -> str:
    if run.count == 1 or run.scheduled_until is None:
        return f"{format_instant(run.scheduled_for)} was"
    first, last = format_instant(run.scheduled_for), format_instant(run.scheduled_until)
    return f"{run.count:,} fire times from {first} to {last} were"


def by_exclusion(facts: Facts, first: datetime, last: datetime | None) -> str:
    """Return what leaves out the fire times from one to another: a calendar by its name, if one has all the days."""
    name = calendar_leaving_out(facts.task.definition.schedule, first, last or first)
    return "exclude" if name is None else f"exclude: the calendar {name!r}"


def _why_skipped(facts: Facts, run: Run) -> str:  # noqa: C901, PLR0911  # a table of cases
    it, was = ("it", "was") if run.count == 1 else ("them", "were")
    reason = known(SkipReason, run.reason)
    match reason:
        case SkipReason.MISFIRE:
            policy = _misfire(facts.task.definition)
            return f"no replica could fire in time (the service was down or behind), and {policy}"
        case SkipReason.OVERLAP:
            return _overlapped(facts)
        case SkipReason.PREDECESSOR:
            error = "" if run.error is None else f": {run.error.message}"
            return f"a task that it comes after did not end as it should{error}"
        case SkipReason.TOO_LATE:
            return f"no replica could fire in time, and {it} {was} longer ago than misfire_grace when one could"
        case SkipReason.PAUSED:
            return f"the task was paused then, and catch_up did not make up for {it} when it was resumed"
        case SkipReason.HELD:
            return why_skipped(facts, run, it)
        case SkipReason.EXCLUDED:
            return f"the schedule leaves {it} out ({by_exclusion(facts, run.scheduled_for, run.scheduled_until)})"
        case SkipReason.DST_GAP:
            return "the local time did not exist, and the schedule skips such times (dst.gap: skip)"
        case SkipReason.CONSTRAINT_DEADLINE:
            return "its constraints were not met before their deadline"
        case None:
            return run.reason or "for no reason that is kept"
        case _:
            assert_never(reason)


def _misfire(definition: TaskDefinition) -> str:
    match definition.misfire_policy:
        case MisfirePolicy.RUN_ONCE:
            return "misfire_policy run_once runs the last of such fire times only"
        case MisfirePolicy.RUN_ALL:
            return "misfire_policy run_all makes up for the last of such fire times only"
        case MisfirePolicy.SKIP:
            grace = english.duration(definition.misfire_grace or SKIP_GRACE)
            return (
                f"misfire_policy skip runs only what is at most misfire_grace ({grace}) late, "
                f"and of that the last {MOST_CAUGHT_UP}"
            )
        case _:
            assert_never(definition.misfire_policy)


def _overlapped(facts: Facts) -> str:
    earlier = "an earlier run was" if facts.other is None else f"run {facts.other.id} was"
    policy = facts.task.definition.overlap_policy
    return (
        f"{earlier} unfinished when it came, and overlap_policy is {policy} "
        f"(buffer keeps up to {MOST_BUFFERED} waiting, allow runs them side by side)"
    )
