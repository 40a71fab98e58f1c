"""Outcomes: how an attempt ended."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from rota.domain.kv.entries import Change
from rota.domain.kv.run_writes import Committed, TableChanges
from rota.domain.primitives.value_class import value_class
from rota.domain.reasons import FailReason
from rota.domain.runs.errors import RunError
from rota.domain.tasks.registration import TaskRegistration


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
Checkpointed = Committed | Conflicted | Failed | Fatal | Cancelled
