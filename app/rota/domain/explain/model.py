"""Explanations, their verdicts, and the facts that they are computed from."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from rota.domain.alerts.rules import AlertKind
from rota.domain.holds.model import Hold
from rota.domain.runs.model import Attempt, Run
from rota.domain.tasks.task import Task


class Verdict(StrEnum):
    """The result of an explanation."""

    RUNNING = "running"
    WAITING = "waiting"
    RETRYING = "retrying"
    BLOCKED = "blocked"
    DUE = "due"
    NOT_DUE = "not_due"
    PAUSED = "paused"
    HELD = "held"
    UNPLANNABLE = "unplannable"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    RAN = "ran"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOT_SCHEDULED = "not_scheduled"
    IN_FUTURE = "in_future"
    MOVED = "moved"
    BEFORE_REGISTRATION = "before_registration"
    NO_RECORD = "no_record"


#: What each verdict means.
MEANINGS: dict[Verdict, str] = {
    Verdict.RUNNING: "an attempt is under way",
    Verdict.WAITING: "its run is queued: behind others, in a full or paused queue, for its time, or for its host",
    Verdict.RETRYING: "its run has failed, and is tried again at `not_before`",
    Verdict.BLOCKED: "its run waits for what `waiting_on` says",
    Verdict.DUE: "the fire time has come, and its run is about to be made",
    Verdict.NOT_DUE: "the next fire time lies ahead, or tasks that it comes after have not ended",
    Verdict.PAUSED: "the task is paused",
    Verdict.HELD: "the task is held, or the fire time lies within a hold that makes up for it when it ends",
    Verdict.UNPLANNABLE: "its schedule cannot be planned any more",
    Verdict.COMPLETED: "no fire time is left",
    Verdict.CANCELLED: "the task, or the run of that time, was cancelled",
    Verdict.RAN: "the run of that time has succeeded",
    Verdict.FAILED: "the run of that time has failed",
    Verdict.SKIPPED: "the fire time was not run, or will not be; `reason` says why",
    Verdict.NOT_SCHEDULED: "the schedule has no fire time then; `message` names those around it",
    Verdict.IN_FUTURE: "it will fire then",
    Verdict.MOVED: "`next_fire_at` was set to another time in its place; known of the one that was moved last",
    Verdict.BEFORE_REGISTRATION: "the task, or its present schedule, is younger",
    Verdict.NO_RECORD: "a fire time without a run: removed by retention, the task was not active, or by the time zone "
    "database of then it was none",
}
VERDICTS = "; ".join(f"`{verdict}`: {meaning}" for verdict, meaning in MEANINGS.items()) + "."


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a task is not running, did not run, or will not run."""

    at: datetime
    #: The schedule has a fire time then, and means it to run.
    expected: bool
    verdict: Verdict
    reason: str | None
    message: str
    #: The run that answers the question.
    run: Run | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """The queue of a waiting run."""

    name: str
    paused: bool
    concurrency: int | None
    running: int
    #: How many queued runs come before it.
    ahead: int
    #: Whether the client may see how many; those may be runs of tasks that it does not see.
    shows_ahead: bool = True


@dataclass(frozen=True, slots=True)
class Awaited:
    """A predecessor without a run that counts yet; `note` is its state, `ended_as` the status of its last run."""

    name: str
    note: str
    ended_as: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The facts for an explanation, read in one snapshot."""

    task: Task
    now: datetime
    #: The run of the requested time; for now, the unfinished run that has come furthest.
    run: Run | None = None
    #: The run behind `run`: the one that it waits for, or that was unfinished when it came.
    other: Run | None = None
    #: Where there is no such run: that of the latest time, a skipped one as well as another.
    last_run: Run | None = None
    #: Of `run`, if there was more than one.
    attempts: tuple[Attempt, ...] = ()
    #: Of a queued run.
    queue: QueueState | None = None
    handler_is_live: bool = True
    #: Workers outside execute it, by leases.
    handler_is_outside: bool = False
    #: How many replicas have a live lease.
    replicas: int = 1
    #: How many runs with the task's concurrency key are running.
    with_key: int = 0
    #: Why the constraints that a run waits for are not met.
    unmet: tuple[str, ...] = field(default=())
    #: The holds that select the task, also those that have ended or are to come.
    holds: tuple[Hold, ...] = field(default=())
    awaited: tuple[Awaited, ...] = field(default=())
    #: The alerts of the task that are raised, since when; only for now.
    raised: tuple[tuple[AlertKind, datetime], ...] = field(default=())
    #: When the task was heard of last (`expect_every`); only for now.
    heard_at: datetime | None = None
