"""Runs as tests see them, with JSON as plain values."""

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from rota.domain.primitives.ids import Id
from rota.domain.primitives.json import json_text
from rota.domain.runs.errors import RunError
from rota.domain.runs.model import Progress, Run

_MOST_NAME = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """The current state of a run; the fields are those of the API, `input` and `result` are plain values."""

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
        """Only the main fields, the status first: pytest cuts the representation of a value at 240 characters."""
        error = None if self.error is None else self.error.in_short
        at = f"{self.scheduled_for:%Y-%m-%dT%H:%M:%SZ}"
        return (
            f"RunView(status={self.status!r}, error={error!r}, reason={self.reason!r}, "
            f"task={self.task[:_MOST_NAME]!r}, attempt={self.attempt}, scheduled_for={at!r})"
        )


class RunFailed(AssertionError):
    """The `run` has not succeeded, although the test expects it; the message has its error and the traceback."""

    def __init__(self, run: RunView) -> None:
        super().__init__(_describe(run))
        self.run = run


def _describe(run: RunView) -> str:
    reason = "" if run.reason is None else f" ({run.reason})"
    text = (
        f"the run of {run.task!r} at {run.scheduled_for:%Y-%m-%dT%H:%M:%SZ} is {run.status}{reason}"
    )
    if run.error is None:
        return text
    trace = "" if run.error.traceback is None else f"\n\n{run.error.traceback.rstrip()}"
    return f"{text}: {run.error}{trace}"


def view(run: Run) -> RunView:
    """Return the view of a run."""
    seen = {field.name: getattr(run, field.name) for field in fields(RunView)}
    seen["status"], seen["trigger"] = str(run.status), str(run.trigger)
    seen["input"] = json_text.loads(run.input)
    seen["result"] = None if run.result is None else json_text.loads(run.result)
    return RunView(**seen)
