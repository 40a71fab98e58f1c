"""Effects: what a commit hands on, to be done after it. Data only; who listens is decided in `main`."""

from dataclasses import dataclass
from datetime import datetime

from rota.domain.primitives.ids import Id
from rota.domain.primitives.value_class import value_class


@dataclass(frozen=True, slots=True)
class DueSooner:
    """Something is due at `at`, which may be sooner than what the clock is set to."""

    at: datetime


@dataclass(frozen=True, slots=True)
class RunsReady:
    """Runs can be claimed from this queue."""

    queue: str


@dataclass(frozen=True, slots=True)
class RunsConstrained:
    """Runs wait for their constraints to be looked at."""


@dataclass(frozen=True, slots=True)
class KeysFreed:
    """There may be room for more runs with these concurrency keys; somebody else has hold of them just now."""

    keys: tuple[str, ...]


@value_class()
class RunEnded:
    """The run has reached a final status."""

    run_id: Id
    task_id: Id
    status: str
    reason: str | None
    trigger: str
    concurrency_key: str | None = None


@dataclass(frozen=True, slots=True)
class KvWritten:
    """An entry of this task was written or deleted: by a client, a check-point, or another task's run.

    Of what a run of its own has written with its success, `RunEnded` says so.
    """

    task_id: Id


@value_class()
class TaskChanged:
    """A task was `what` (created, updated, paused, resumed, completed, cancelled), by whom, and why if it is known.

    `name` is the task's, where it is at hand, so that nobody has to look it up.
    """

    task_id: Id
    what: str
    by: str
    reason: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """A running run is to be cancelled."""

    run_id: Id


@dataclass(frozen=True, slots=True)
class TaskDeleted:
    """A task is gone; its rows wait to be removed."""

    task_id: Id


@dataclass(frozen=True, slots=True)
class BackfillBegun:
    """A backfill has fire times to make runs of."""


Effect = (
    DueSooner
    | RunsReady
    | KeysFreed
    | RunsConstrained
    | RunEnded
    | CancelAsked
    | TaskChanged
    | TaskDeleted
    | BackfillBegun
    | KvWritten
)
