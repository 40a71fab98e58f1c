"""What a test sees of runs: JSON as values."""

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from rota.domain.primitives import json_text
from rota.domain.primitives.ids import Id
from rota.domain.runs.errors import RunError
from rota.domain.runs.model import Progress, Run

_MOST_NAME = 30


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

    def __repr__(self) -> str:
        """What counts, and that first: pytest cuts what it shows of a value at 240 characters."""
        error = None if self.error is None else self.error.in_short
        at = f"{self.scheduled_for:%Y-%m-%dT%H:%M:%SZ}"
        return (
            f"RunView(status={self.status!r}, error={error!r}, reason={self.reason!r}, "
            f"task={self.task[:_MOST_NAME]!r}, attempt={self.attempt}, scheduled_for={at!r})"
        )


class RunFailed(AssertionError):
    """A run that a test expected to succeed did not; `run` is that run. The message has its error and the traceback."""

    def __init__(self, run: RunView) -> None:
        super().__init__(_told(run))
        self.run = run


def _told(run: RunView) -> str:
    reason = "" if run.reason is None else f" ({run.reason})"
    said = (
        f"the run of {run.task!r} at {run.scheduled_for:%Y-%m-%dT%H:%M:%SZ} is {run.status}{reason}"
    )
    if run.error is None:
        return said
    trace = "" if run.error.traceback is None else f"\n\n{run.error.traceback.rstrip()}"
    return f"{said}: {run.error}{trace}"


def view(run: Run) -> RunView:
    """Return what a test sees of a run."""
    seen = {member.name: getattr(run, member.name) for member in fields(RunView)}
    seen["status"], seen["trigger"] = str(run.status), str(run.trigger)
    seen["input"] = json_text.loads(run.input)
    seen["result"] = None if run.result is None else json_text.loads(run.result)
    return RunView(**seen)
