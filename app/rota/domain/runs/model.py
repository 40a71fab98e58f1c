"""Runs and their attempts, as they are stored and shown."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from rota.domain.primitives.ids import Id
from rota.domain.primitives.value_class import value_class
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import AttemptOutcome
from rota.domain.runs.overlap import may_wait
from rota.domain.runs.status import RunStatus, Trigger
from rota.domain.secrets.opened import OpenedSecret
from rota.domain.tasks.definition import TaskDefinition


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that an attempt printed or logged; `line` counts from 1 within the attempt."""

    line: int
    at: datetime
    level: str
    message: str


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress that a run reported."""

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
    #: Of a call over HTTP: the seconds of its phases.
    timings: Mapping[str, float] | None = None

    def __repr__(self) -> str:
        # Short, and the error first: a failing test shows a line or two of a value.
        error = None if self.error is None else self.error.in_short
        outcome = None if self.outcome is None else str(self.outcome)
        return f"Attempt(outcome={outcome!r}, error={error!r}, attempt={self.attempt})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run in its present state; `input` and `result` are JSON text."""

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
    #: The trace context of what triggered it.
    traceparent: str | None = None
    #: Of the call of the last attempt, if it succeeded.
    timings: Mapping[str, float] | None = None
    #: Of an attempt that continues outside of Rota: when it ends without a heartbeat or a completion.
    lease_expires_at: datetime | None = None
    #: The first run of its chain; None: it is that itself.
    chain_id: Id | None = None
    #: Which of `input` and `result` a list leaves out, because they are large.
    left_out: tuple[str, ...] = ()

    @property
    def chain(self) -> Id:
        """The chain that it is part of: the id of the first run in it."""
        return self.chain_id or self.id

    @property
    def lateness(self) -> timedelta | None:
        """How long after its fire time the first attempt started; 0 if the clock was set back before that."""
        if self.first_started_at is None:
            return None
        return max(self.first_started_at - self.scheduled_for, timedelta())

    @property
    def duration(self) -> timedelta | None:
        """How long the last attempt took, in wall-clock time; 0 if the clock was set back meanwhile."""
        if self.started_at is None or self.finished_at is None:
            return None
        return max(self.finished_at - self.started_at, timedelta())


@value_class()
class ClaimedRun:
    """A run that this process has just claimed, with everything that its attempt needs."""

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
    #: Its constraints are evaluated before each attempt.
    constrained: bool
    traceparent: str | None
    #: The first run of its chain; None: it is that itself.
    chain_id: Id | None
    definition: TaskDefinition
    kv_revision: int
    #: When the status of its task changed last (registered, resumed), its queue did, or a hold of it ended: the latest.
    active_since: datetime | None = None
    #: The named secrets that its target refers to, in plain.
    secrets: tuple[OpenedSecret, ...] = ()
    #: By which the attempt is completed if it continues outside of Rota; empty if it cannot.
    token: str = field(default="", repr=False)
    #: Whether its input is sealed in its row. It stays so if its task has no secret input any more.
    secret_input: bool = False

    @property
    def lateness(self) -> timedelta | None:
        """How late the first attempt of a fire time has begun; None for another attempt, or a run that was to wait.

        A run waits if its task or its queue was paused, or its task held, and may wait for constraints, for its
        concurrency key, or for an earlier run of its task. What is left is late because the service was.
        """
        if self.attempt != 1 or self.trigger != Trigger.SCHEDULE or self._may_have_waited:
            return None
        # Negative if the clock was set back.
        return max(self.started_at - self.scheduled_for, timedelta())

    @property
    def _may_have_waited(self) -> bool:
        return (
            self.constrained
            or self.concurrency_key is not None
            or may_wait(self.definition.overlap_policy)
            or (self.active_since is not None and self.scheduled_for < self.active_since)
        )
