"""Outcomes: how an attempt ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar

from rota.domain.kv.entries import Change
from rota.domain.kv.run_writes import Committed, TableWrites
from rota.domain.primitives.value_class import value_class
from rota.domain.reasons import FailReason
from rota.domain.runs.errors import RunError
from rota.domain.tasks.registration import TaskRegistration


class AttemptOutcome(StrEnum):
    """How one attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    RETRY = "retry"  # the handler requested another attempt
    CANCELLED = "cancelled"
    LOST = "lost"  # its process ended or lost its lease; not counted
    RELEASED = "released"  # drained; not counted
    CONFLICT = "conflict"  # another writer changed a key that it wrote; not counted
    POSTPONED = "postponed"  # it made no call, since its host may not be called now; not counted


@value_class()
class Succeeded:
    """The handler returned; `result` is JSON text, `changes` are its kv writes since `kv_revision`.

    `registrations` are the tasks that it registers, `next_fire` is the next fire time that it sets for its own task,
    and `others` are its writes to the kv of other tasks.
    """

    result: str
    changes: tuple[Change, ...] = ()
    kv_revision: int = 0
    registrations: tuple[TaskRegistration, ...] = ()
    next_fire: datetime | None = None
    others: tuple[TableWrites, ...] = ()
    #: Of a call over HTTP: the seconds of its phases.
    timings: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The handler raised, or its response was not acceptable."""

    recorded_as: ClassVar = AttemptOutcome.FAILED
    error: RunError


@dataclass(frozen=True, slots=True)
class Fatal:
    """The handler ruled out another attempt."""

    error: RunError
    reason: FailReason = FailReason.FATAL


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The attempt took longer than the task's `timeout`."""

    recorded_as: ClassVar = AttemptOutcome.TIMED_OUT
    error: RunError


@dataclass(frozen=True, slots=True)
class RetryRequested:
    """The handler requested another attempt, `after` some time (None: as the retry policy says).

    `lengthens`: the time comes from a third party, and can make the wait longer but not shorter.
    """

    recorded_as: ClassVar = AttemptOutcome.RETRY
    after: timedelta | None
    error: RunError
    lengthens: bool = False


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The attempt ended because a cancel was requested."""


class Blame(StrEnum):
    """Whether an attempt may have caused the end of the process that it ran in."""

    NONE = "none"  # no: it called a URL and ran no user code
    SHARED = (
        "shared"  # perhaps: other attempts ran there, too, or the process was killed from outside
    )
    ALONE = "alone"  # yes: no other attempt ran in the process


@dataclass(frozen=True, slots=True)
class Lost:
    """The process that ran the attempt has ended; `how`, if that is known."""

    recorded_as: ClassVar = AttemptOutcome.LOST
    blame: Blame = Blame.SHARED
    how: str | None = None


@dataclass(frozen=True, slots=True)
class Released:
    """The process released the attempt before it ended."""

    recorded_as: ClassVar = AttemptOutcome.RELEASED


@dataclass(frozen=True, slots=True)
class Conflicted:
    """Another writer changed a key that the attempt wrote: of its own task, or of another `task`."""

    recorded_as: ClassVar = AttemptOutcome.CONFLICT
    key: str
    task: str | None = None


@dataclass(frozen=True, slots=True)
class Postponed:
    """The attempt may not call its host before `until` (UTC), for a reason such as `circuit:api.example.com`.

    `error` is what is known of the host; a run that has waited for too long ends with it.
    """

    recorded_as: ClassVar = AttemptOutcome.POSTPONED
    until: datetime
    waiting_on: str
    error: RunError


@dataclass(frozen=True, slots=True)
class HandedOff:
    """The target will report the outcome later: the attempt continues outside of Rota, under its token."""


Outcome = (
    Succeeded
    | Failed
    | Fatal
    | TimedOut
    | RetryRequested
    | Cancelled
    | Lost
    | Released
    | Conflicted
    | Postponed
)


#: How a call ends: with the outcome of its attempt, or without one yet.
CallEnd = Outcome | HandedOff

#: The result of a checkpoint: it was committed, or the outcome with which the attempt ends.
CheckpointResult = Committed | Conflicted | Failed | Fatal | Cancelled
