"""Fan-in: when a task with an `after` schedule fires. Pure; the time is an argument.

It fires once each of its predecessors has finished a run that counts since it fired last; of several runs of one
predecessor the latest counts. A run that ended with another status breaks the join: an earlier run of the same
predecessor no longer counts, and a skipped run records that. A success leaves no such record: it is the normal end, and
what follows on other ends only has nothing to do then.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple, assert_never

from rota.domain.primitives.finding import Finding
from rota.domain.primitives.ids import Id
from rota.domain.reasons import CancelReason, SkipReason
from rota.domain.runs.status import RunStatus, Trigger
from rota.domain.schedules.definitions import After

# Skips of runs that existed. Other skipped runs represent fire times that never became runs, and do not count.
_GIVEN_UP = frozenset({SkipReason.PREDECESSOR, SkipReason.CONSTRAINT_DEADLINE})
# `PredecessorRemoved` reports the end of the task, once for all of its runs.
_WITH_THEIR_TASK = frozenset({CancelReason.TASK_CANCELLED, CancelReason.TASK_DELETED})


def counts(trigger: Trigger) -> bool:
    """Return whether runs with this trigger count as runs of a predecessor.

    Repetitions do not; nor do notifications, or a chain whose last task notifies its first one would never end.
    """
    match trigger:
        case Trigger.SCHEDULE | Trigger.MANUAL | Trigger.AFTER | Trigger.PING:
            return True
        case Trigger.RERUN | Trigger.BACKFILL | Trigger.NOTIFICATION:
            return False
        case _:
            assert_never(trigger)


#: The triggers whose runs count.
COUNTING = frozenset(filter(counts, Trigger))


@dataclass(frozen=True, slots=True, kw_only=True)
class PredecessorEnded:
    """A run of a predecessor has ended."""

    task: str
    run_id: Id
    status: str
    reason: str | None

    @property
    def message(self) -> str:
        """What happened, for the error of the run that is skipped."""
        reason = "" if self.reason is None else f" ({self.reason})"
        return f"run {self.run_id} of task {self.task!r} has ended as {self.status}{reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PredecessorRemoved:
    """A predecessor was cancelled or deleted."""

    task: str
    how: Literal["cancelled", "deleted"]

    @property
    def message(self) -> str:
        """What happened, for the error of the run that is skipped."""
        return f"task {self.task!r} was {self.how}"


class PredecessorUnavailable(NamedTuple):
    """A predecessor that will not run by itself in its present state, and why."""

    name: str
    why: Literal["missing", "cancelled", "completed", "paused"]


@dataclass(frozen=True, slots=True)
class JoinComplete:
    """Every predecessor has finished a run; by its name, which one."""

    runs: dict[str, Id]
    #: The run that was still missing.
    by: Id | None = field(default=None, compare=False)

    @property
    def run_ids(self) -> tuple[Id, ...]:
        """The runs that it follows from."""
        return tuple(self.runs.values())


@dataclass(frozen=True, slots=True)
class JoinBroken:
    """A run of a predecessor ended with another status than `on`, or the predecessor was removed."""

    cause: PredecessorEnded | PredecessorRemoved

    @property
    def by(self) -> Id | None:
        """The run that broke it; None if it was none."""
        return self.cause.run_id if isinstance(self.cause, PredecessorEnded) else None

    @property
    def run_ids(self) -> tuple[Id, ...]:
        """The runs that it follows from."""
        return () if self.by is None else (self.by,)


@dataclass(slots=True)
class Join:
    """The latest run that counts of each predecessor since the last firing; None: no run yet."""

    latest: dict[str, Id | None]

    def record(
        self, what: PredecessorEnded | PredecessorRemoved, on: Collection[str]
    ) -> JoinComplete | JoinBroken | None:
        """Record what happened to a predecessor; return what follows from it, if anything.

        `on`: the statuses that count.
        """
        counts = _counts(what, on)
        if counts is None or what.task not in self.latest:
            return None
        if not counts or isinstance(what, PredecessorRemoved):
            self.latest[what.task] = None
            return None if _is_normal(what) else JoinBroken(what)
        self.latest[what.task] = what.run_id
        runs = {name: run_id for name, run_id in self.latest.items() if run_id is not None}
        if len(runs) < len(self.latest):
            return None
        self.latest = dict.fromkeys(self.latest)
        return JoinComplete(runs, what.run_id)


def has_started(schedule: After, now: datetime) -> bool:
    """Return whether `start_at` of the schedule has come; runs that end before it do not count."""
    return schedule.start_at is None or now >= schedule.start_at


def is_over(schedule: After, fired: int, now: datetime) -> bool:
    """Return whether the schedule cannot fire again: `end_at` has passed, or it has `fired` `max_runs` times."""
    too_late = schedule.end_at is not None and now > schedule.end_at
    return too_late or (schedule.max_runs is not None and fired >= schedule.max_runs)


def to_finding(absent: PredecessorUnavailable) -> Finding:
    """Return the warning that a predecessor does not run."""
    remedy = {
        "missing": "it was deleted; register it again, or take it out of the list",
        "cancelled": "it is cancelled; register it again, or take it out of the list",
        "completed": "it has completed; run it, register it again, or take it out of the list",
        "paused": "it is paused; resume it, or run it",
    }[absent.why]
    return Finding(
        f"predecessor_{absent.why}", f"this task waits for a run of {absent.name!r}: {remedy}"
    )


def _is_normal(what: PredecessorEnded | PredecessorRemoved) -> bool:
    """Return whether a predecessor has ended as every task is meant to."""
    return isinstance(what, PredecessorEnded) and what.status == RunStatus.SUCCEEDED


def _counts(what: PredecessorEnded | PredecessorRemoved, on: Collection[str]) -> bool | None:
    """Return whether the run ended as required; None: it is ignored."""
    if isinstance(what, PredecessorRemoved):
        return False
    if what.status in on:
        return True
    is_skip = what.status == RunStatus.SKIPPED
    silent = what.reason not in _GIVEN_UP if is_skip else what.reason in _WITH_THEIR_TASK
    return None if silent else False
