"""Pairing: when a task with an `after` schedule fires. Pure; the time is an argument.

It fires once each of the tasks that it names has finished a run that counts since it fired last; of several runs of one
task the latest counts. A run that ended otherwise breaks the pairing, which is told, and takes back what an earlier run
of its task had given: the newest run decides.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from rota.domain.primitives.finding import Finding
from rota.domain.primitives.ids import Id
from rota.domain.reasons import CancelReason, SkipReason
from rota.domain.runs.status import RunStatus, Trigger
from rota.domain.schedules.definitions import After

#: Runs by these triggers count; what is done over again (reruns, backfills) does not.
COUNTING = frozenset({Trigger.SCHEDULE, Trigger.MANUAL, Trigger.AFTER, Trigger.NOTIFICATION})
# A run that there was and that was given up. Other skips are fire times that never became one, and say nothing.
_GIVEN_UP = frozenset({SkipReason.PREDECESSOR, SkipReason.CONSTRAINT_DEADLINE})
# The end of their task is told, once for all of its runs.
_WITH_THEIR_TASK = frozenset({CancelReason.TASK_CANCELLED, CancelReason.TASK_DELETED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A run of a named task that has ended."""

    task: str
    run_id: Id
    status: str
    reason: str | None

    @property
    def told(self) -> str:
        """What happened, for the message of a run that is skipped for it."""
        reason = "" if self.reason is None else f" ({self.reason})"
        return f"run {self.run_id} of task {self.task!r} has ended as {self.status}{reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """A named task that was cancelled or deleted."""

    task: str
    how: Literal["cancelled", "deleted"]

    @property
    def told(self) -> str:
        """What happened, for the message of a run that is skipped for it."""
        return f"task {self.task!r} was {self.how}"


class Absent(NamedTuple):
    """A named task of which no run will come by itself, as things are, and why."""

    name: str
    why: Literal["missing", "cancelled", "completed", "paused"]


@dataclass(frozen=True, slots=True)
class Fires:
    """Each named task has finished a run: these."""

    runs: dict[str, Id]


@dataclass(frozen=True, slots=True)
class Breaks:
    """A named task has not done what the others wait for."""

    cause: Ended | Gone


@dataclass(slots=True)
class Pairing:
    """The latest run that counts of each named task since the last firing, None where there is none yet."""

    latest: dict[str, Id | None]

    def hear(self, what: Ended | Gone, on: Collection[str]) -> Fires | Breaks | None:
        """Take in what has happened to a named task; return what follows from it. `on`: how its runs must end."""
        counts = _counts(what, on)
        if counts is None or what.task not in self.latest:
            return None
        if not counts or isinstance(what, Gone):
            self.latest[what.task] = None
            return Breaks(what)
        self.latest[what.task] = what.run_id
        runs = {name: run_id for name, run_id in self.latest.items() if run_id is not None}
        if len(runs) < len(self.latest):
            return None
        self.latest = dict.fromkeys(self.latest)
        return Fires(runs)


def begun(schedule: After, now: datetime) -> bool:
    """Tell whether the schedule's time has come (`start_at`); what happens before says nothing."""
    return schedule.start_at is None or now >= schedule.start_at


def is_over(schedule: After, fired: int, now: datetime) -> bool:
    """Tell whether nothing can follow any more: `end_at` has passed, or it has `fired` as often as `max_runs` says."""
    too_late = schedule.end_at is not None and now > schedule.end_at
    return too_late or (schedule.max_runs is not None and fired >= schedule.max_runs)


def to_finding(absent: Absent) -> Finding:
    """Return the warning that a task is waited for that does not run."""
    remedy = {
        "missing": "it was deleted; register it again, or take it out of the list",
        "cancelled": "it is cancelled; register it again, or take it out of the list",
        "completed": "it has completed; run it, register it again, or take it out of the list",
        "paused": "it is paused; resume it, or run it",
    }[absent.why]
    return Finding(
        f"predecessor_{absent.why}", f"this task waits for a run of {absent.name!r}: {remedy}"
    )


def _counts(what: Ended | Gone, on: Collection[str]) -> bool | None:
    """Tell whether it counts; None: it says nothing."""
    if isinstance(what, Gone):
        return False
    if what.status in on:
        return True
    is_skip = what.status == RunStatus.SKIPPED
    silent = what.reason not in _GIVEN_UP if is_skip else what.reason in _WITH_THEIR_TASK
    return None if silent else False
