"""Effects: what is to be done after a commit. Data only; `main` decides who is notified."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from rota.domain.alerts.events import AlertEvent
from rota.domain.alerts.rules import AlertKind
from rota.domain.holds.model import Hold
from rota.domain.primitives.ids import Id
from rota.domain.primitives.value_class import value_class
from rota.domain.runs.settlement import Settlement


@dataclass(frozen=True, slots=True)
class DueSooner:
    """Something is due at `at`, which may be earlier than the time that the scheduler waits for."""

    at: datetime


@dataclass(frozen=True, slots=True)
class RunsReady:
    """Runs can be claimed from this queue."""

    queue: str


@dataclass(frozen=True, slots=True)
class RunsConstrained:
    """Runs wait for their constraints to be evaluated."""


@dataclass(frozen=True, slots=True)
class KeysFreed:
    """There may be room for more runs with these concurrency keys, which another transaction has locked."""

    keys: tuple[str, ...]


@value_class()
class RunEnded:
    """The run has reached a final status; `count`: how many fire times it represents."""

    run_id: Id
    task_id: Id
    status: str
    reason: str | None
    trigger: str
    concurrency_key: str | None = None
    #: How many runs of its task have failed in a row with it; None: as many as the task's row says.
    failures: int | None = None
    count: int = 1


@value_class()
class SpanExtended:
    """Further fire times of a task were skipped for the same reason as those before them, and added to their run."""

    run_id: Id
    task_id: Id
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class KvWritten:
    """A kv entry of this task was written or deleted: by a client, a checkpoint, or a run of another task.

    The writes of a successful run of the task itself are covered by `RunEnded`.
    """

    task_id: Id


class TaskEvent(StrEnum):
    """What happened to a task; the event has the type `task.<value>`."""

    CREATED = "created"
    UPDATED = "updated"
    PAUSED = "paused"
    RESUMED = "resumed"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    DELETED = "deleted"


@value_class()
class TaskChanged:
    """A task was changed: how, by whom, and why if that is known.

    `name` is the name of the task if the caller has it; it saves a query.
    """

    task_id: Id
    what: TaskEvent
    by: str
    reason: str | None = None
    name: str | None = None


@value_class()
class AlertChanged:
    """An alert of a task was raised, or has ended; the event has the type `alert.<what>`."""

    task_id: Id
    what: AlertEvent
    kind: AlertKind
    run_id: Id | None


class HoldEvent(StrEnum):
    """What happened to a hold; the event has the type `hold.<value>`."""

    SET = "set"
    ENDED = "ended"


@value_class()
class HoldAnnounced:
    """A hold was set or changed, or has ended: by whom, by itself (`by` is the service), or before it began."""

    what: HoldEvent
    hold: Hold
    by: str


@dataclass(frozen=True, slots=True)
class NotificationGivenUp:
    """A notification about a task could not be sent, and is not tried again."""

    task_id: Id
    kind: str
    notifies: str


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """A running run is to be cancelled."""

    run_id: Id


@dataclass(frozen=True, slots=True)
class OutsideAttemptEnded:
    """An attempt that went on outside of Rota has ended, after so many seconds, and what it made of its run."""

    id: Id
    task: str
    attempt: int
    handler: str
    queue: str
    settlement: Settlement
    seconds: float
    #: Not read for it.
    chain_id: Id | None = None


@dataclass(frozen=True, slots=True)
class TaskDeleted:
    """A task was deleted; its rows are removed later."""

    task_id: Id


@dataclass(frozen=True, slots=True)
class CalendarsChanged:
    """The days of a calendar have changed: fire times of its tasks may have to be computed again."""


@dataclass(frozen=True, slots=True)
class BackfillStarted:
    """A backfill has fire times that have no runs yet."""


@dataclass(frozen=True, slots=True)
class HoldsChanged:
    """A hold was set, changed, ended or removed: tasks and runs that wait for the end of one are checked again."""


@dataclass(frozen=True, slots=True)
class BulkChanged:
    """A bulk operation on runs has begun, has come further, or has ended."""

    bulk_id: Id


#: Effects that are published as events.
Event = RunEnded | KvWritten | TaskChanged | TaskDeleted | AlertChanged | HoldAnnounced
Effect = (
    Event
    | DueSooner
    | SpanExtended
    | NotificationGivenUp
    | RunsReady
    | KeysFreed
    | RunsConstrained
    | CancelRequested
    | OutsideAttemptEnded
    | BackfillStarted
    | HoldsChanged
    | BulkChanged
    | CalendarsChanged
)
