"""Runs: their statuses, and what the end of an attempt makes of a run. Pure; the time is an argument."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import NoneType
from typing import Any

from app.domain.ids import Id
from app.domain.kv import Change
from app.domain.kv_tables import Committed, TableChanges
from app.domain.registrations import TaskRegistration
from app.domain.tasks import TaskDefinition
from app.domain.value_classes import value_class

_MOST_IN_SHORT = 80


class RunStatus(StrEnum):
    """The lifecycle of a run; the last four are final and absorbing."""

    BLOCKED = "blocked"  # `waiting_on` says for what
    QUEUED = "queued"  # waits in its queue, or for `not_before`
    RUNNING = "running"  # an attempt is under way
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"  # never started; `reason` says why

    #: No property: it is asked eight times for each run.
    final: bool

    def __init__(self, name: str) -> None:
        self.final = name in {"succeeded", "failed", "cancelled", "skipped"}


FINAL = frozenset(status for status in RunStatus if status.final)


class Trigger(StrEnum):
    """What made a run."""

    SCHEDULE = "schedule"
    MANUAL = "manual"
    BACKFILL = "backfill"
    RERUN = "rerun"
    AFTER = "after"
    NOTIFICATION = "notification"


class FailReason(StrEnum):
    """Why a run failed."""

    ERROR = "error"  # the only attempt that the policy allows raised
    FATAL = "fatal"  # the handler said that trying again is of no use
    TIMEOUT = "timeout"  # the only attempt that the policy allows took too long
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    LOST = "lost"  # its process died under it, several times
    TARGET_GONE = "target_gone"  # 410
    DEADLINE = "deadline"  # retry.max_elapsed


class CancelReason(StrEnum):
    """Why a run was cancelled."""

    REQUESTED = "requested"
    REPLACED = "replaced"
    TASK_CANCELLED = "task_cancelled"
    TASK_DELETED = "task_deleted"


class WaitingOn(StrEnum):
    """What a blocked run waits for."""

    PAUSED = "paused"
    HANDLER = "handler"
    CONCURRENCY = "concurrency"  # as many runs with its key are running as may


class AttemptOutcome(StrEnum):
    """How one attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    RETRY = "retry"  # the handler asked for another attempt
    CANCELLED = "cancelled"
    LOST = "lost"  # its process ended or lost its lease; not counted
    RELEASED = "released"  # drained; not counted
    CONFLICT = "conflict"  # somebody else changed a key that it wrote; not counted


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """What a target answered to a call that failed: chosen headers, and the first part of the body as text.

    `body` is None if there was none, or if it is no text; `truncated`: there was more of it.
    """

    status: int
    headers: Mapping[str, str]
    body: str | None
    truncated: bool = False

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "ErrorResponse":
        """Return the answer that a JSON document holds; raises KeyError or TypeError for what is none."""
        headers = _checked(document["headers"], dict).items()
        return cls(
            _checked(document["status"], int),
            {_checked(name, str): _checked(value, str) for name, value in headers},
            _checked(document["body"], str, NoneType),
            _checked(document["truncated"], bool),
        )


@dataclass(frozen=True, slots=True)
class RunError:
    """What went wrong in an attempt, as it is shown; `response` is that of the target, if there was one."""

    type: str
    message: str
    traceback: str | None = None
    response: ErrorResponse | None = None

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type

    @property
    def in_short(self) -> str:
        """What it comes to in one line, for those who have room for no more."""
        line = str(self).partition("\n")[0]
        return line if len(line) <= _MOST_IN_SHORT else line[: _MOST_IN_SHORT - 1] + "…"

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "RunError":
        """Return the error that a JSON document holds; raises KeyError or TypeError for what is none."""
        response = document.get("response")
        return cls(
            _checked(document["type"], str),
            _checked(document["message"], str),
            _checked(document["traceback"], str, NoneType),
            None if response is None else ErrorResponse.of(response),
        )


def _checked(value: Any, *kinds: type) -> Any:
    # By the type itself: true is no status.
    if type(value) not in kinds:
        expected = " or ".join(kind.__name__ for kind in kinds)
        raise TypeError(f"{type(value).__name__} in place of {expected}")
    return value


@value_class()
class Succeeded:
    """The handler returned; `result` is JSON text, `changes` are its kv writes since `kv_revision`.

    `registrations` are tasks that it registers, `next_fire` is when its own task is to fire next, once, `others` is
    what it writes to the kv of other tasks.
    """

    result: str
    changes: tuple[Change, ...] = ()
    kv_revision: int = 0
    registrations: tuple[TaskRegistration, ...] = ()
    next_fire: datetime | None = None
    others: tuple[TableChanges, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """The handler raised, or its answer could not be taken."""

    error: RunError


@dataclass(frozen=True, slots=True)
class Fatal:
    """The handler said that trying again is of no use."""

    error: RunError
    reason: FailReason = FailReason.FATAL


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The attempt took longer than the task's `timeout`."""

    error: RunError


@dataclass(frozen=True, slots=True)
class RetryAsked:
    """The handler asked for another attempt, `after` which time (None: as the policy says).

    `lengthens`: it was asked for on behalf of somebody else, and makes the wait longer, never shorter.
    """

    after: timedelta | None
    error: RunError
    lengthens: bool = False


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The work ended because a cancel was requested."""


class Blame(StrEnum):
    """What the end of a process says of an attempt that ran in it."""

    NONE = "none"  # it was calling a URL: there was none of its code
    SHARED = "shared"  # others ran there, too, or somebody outside has ended it
    ALONE = "alone"  # the attempt had the process to itself


@dataclass(frozen=True, slots=True)
class Lost:
    """The process that ran the attempt is gone; `how` it ended, if that is known."""

    blame: Blame = Blame.SHARED
    how: str | None = None


@dataclass(frozen=True, slots=True)
class Released:
    """The process gave the attempt back before it ended."""


@dataclass(frozen=True, slots=True)
class Conflicted:
    """Somebody else changed a key that the attempt wrote: of its own task, or of another one."""

    key: str
    task: str | None = None


Outcome = (
    Succeeded | Failed | Fatal | TimedOut | RetryAsked | Cancelled | Lost | Released | Conflicted
)

#: What a check-point comes to: it was made, or the attempt is to end so.
CheckPointed = Committed | Conflicted | Failed | Fatal | Cancelled


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that an attempt printed or logged; `line` counts from 1 within the attempt."""

    line: int
    at: datetime
    level: str
    message: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run says it is."""

    fraction: float | None
    message: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try of a run, as it is shown; `outcome` None: it is under way."""

    attempt: int
    outcome: AttemptOutcome | None
    counted: bool
    started_at: datetime
    finished_at: datetime | None
    error: RunError | None

    def __repr__(self) -> str:
        # Short, and the error first: what a failing test shows of a value is cut to a line or two.
        error = None if self.error is None else self.error.in_short
        outcome = None if self.outcome is None else str(self.outcome)
        return f"Attempt(outcome={outcome!r}, error={error!r}, attempt={self.attempt})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run as it stands; `input` and `result` are JSON text."""

    id: Id
    task: str
    task_id: Id
    task_generation: int
    trigger: Trigger
    rerun_of: Id | None
    backfill_id: Id | None
    scheduled_for: datetime
    scheduled_until: datetime | None
    count: int
    status: RunStatus
    reason: str | None
    waiting_on: tuple[str, ...]
    queue: str
    priority: int
    not_before: datetime | None
    input: str
    result: str | None
    error: RunError | None
    progress: Progress | None
    attempt: int
    outcome: AttemptOutcome | None
    failures: int
    cancel_requested_at: datetime | None
    created_at: datetime
    first_started_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    #: Which of `input` and `result` a list leaves out, because they are large.
    left_out: tuple[str, ...] = ()

    @property
    def lateness(self) -> timedelta | None:
        """How long after its fire time the first attempt started; 0 if the clock was set back before that."""
        if self.first_started_at is None:
            return None
        return max(self.first_started_at - self.scheduled_for, timedelta())

    @property
    def duration(self) -> timedelta | None:
        """How long the last attempt took, by the clock on the wall; 0 if that was set back meanwhile."""
        if self.started_at is None or self.finished_at is None:
            return None
        return max(self.finished_at - self.started_at, timedelta())


@value_class()
class ClaimedRun:
    """A run whose attempt this process has just started, with what carrying it out takes."""

    id: Id
    task_id: Id
    task: str
    handler: str
    queue: str
    attempt: int
    failures: int
    lost_count: int
    conflict_count: int
    trigger: str
    scheduled_for: datetime
    first_started_at: datetime
    started_at: datetime
    input: str
    concurrency_key: str | None
    #: Its constraints are looked at before each attempt.
    constrained: bool
    definition: TaskDefinition
    kv_revision: int
