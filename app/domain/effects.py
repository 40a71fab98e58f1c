"""Effects: what a commit hands on, to be done after it. Data only; who listens is decided in `main`."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class DueSooner:
    """Something is due at `at`, which may be sooner than what the clock is set to."""

    at: datetime


@dataclass(frozen=True, slots=True)
class RunsReady:
    """Runs can be claimed from this queue."""

    queue: str


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The run has reached a final status."""

    run_id: UUID
    task_id: UUID
    status: str


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """A running run is to be cancelled."""

    run_id: UUID


@dataclass(frozen=True, slots=True)
class TaskDeleted:
    """A task is gone; its rows wait to be removed."""


Effect = DueSooner | RunsReady | RunEnded | CancelAsked | TaskDeleted
