"""What a test sees of runs: JSON as values."""

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from app.domain import values
from app.domain.ids import Id
from app.domain.runs import Progress, Run, RunError


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """A run as it stands; the members are those of API.md, `input` and `result` are plain values."""

    id: Id
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
    seen = {member.name: getattr(run, member.name) for member in fields(RunView)}
    seen["status"], seen["trigger"] = str(run.status), str(run.trigger)
    seen["input"] = values.loads(run.input)
    seen["result"] = None if run.result is None else values.loads(run.result)
    return RunView(**seen)
