"""What a test sees of runs: JSON as values."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.domain import values
from app.domain.runs import Progress, Run, RunError


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """A run as it stands; the members are those of API.md, `input` and `result` are plain values."""

    id: UUID
    task: str
    status: str
    reason: str | None
    trigger: str
    scheduled_for: datetime
    scheduled_until: datetime | None
    count: int
    waiting_on: tuple[str, ...]
    not_before: datetime | None
    input: Any
    result: Any
    error: RunError | None
    progress: Progress | None
    attempt: int
    failures: int
    started_at: datetime | None
    finished_at: datetime | None


def view(run: Run) -> RunView:
    """Return what a test sees of a run."""
    return RunView(
        id=run.id,
        task=run.task,
        status=str(run.status),
        reason=run.reason,
        trigger=str(run.trigger),
        scheduled_for=run.scheduled_for,
        scheduled_until=run.scheduled_until,
        count=run.count,
        waiting_on=run.waiting_on,
        not_before=run.not_before,
        input=values.loads(run.input),
        result=None if run.result is None else values.loads(run.result),
        error=run.error,
        progress=run.progress,
        attempt=run.attempt,
        failures=run.failures,
        started_at=run.started_at,
        finished_at=run.finished_at,
    )
