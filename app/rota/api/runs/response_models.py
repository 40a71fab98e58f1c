"""Response models of runs, for the documentation page."""

from typing import Any

from pydantic import (
    BaseModel,
    Field,
)

from rota.domain.primitives.instants import Instant
from rota.domain.runs.outcomes import AttemptOutcome
from rota.domain.runs.status import RunStatus, Trigger


class ErrorResponseOut(BaseModel):
    """What a target answered to a call that failed."""

    status: int = Field(examples=[503])
    headers: dict[str, str] = Field(
        description="Chosen headers, never `Set-Cookie`.",
        examples=[{"content-type": "text/plain", "retry-after": "30"}],
    )
    body: str | None = Field(
        description="The first 2 KiB as text; null if it is empty, or no text.",
        examples=["The database is being upgraded."],
    )
    truncated: bool = Field(description="Whether there was more of the body.", examples=[False])


class ErrorOut(BaseModel):
    """What went wrong in an attempt."""

    type: str = Field(examples=["http.status"])
    message: str = Field(examples=["503 from app.example.com"])
    traceback: str | None
    response: ErrorResponseOut | None = Field(
        description="Of an `http` task whose target answered: what it said."
    )


class ProgressOut(BaseModel):
    """How far a run says it is."""

    fraction: float | None
    message: str | None


class AttemptOut(BaseModel):
    """One try of a run; `outcome` is null while it is under way."""

    attempt: int
    outcome: AttemptOutcome | None
    counted: bool
    started_at: Instant
    finished_at: Instant | None
    error: ErrorOut | None


class RunSummaryOut(BaseModel):
    """A run as lists show it."""

    id: str
    task: str
    task_generation: int
    trigger: Trigger
    rerun_of: str | None
    backfill_id: str | None
    scheduled_for: Instant
    scheduled_until: Instant | None = Field(description="With `count`: the span of a gap.")
    count: int
    status: RunStatus
    reason: str | None
    waiting_on: list[str]
    queue: str
    priority: int
    not_before: Instant | None
    input: Any
    secret_input: bool = Field(False, description="Its input is kept secret: `input` is null.")
    result: Any
    truncated: bool = Field(
        False,
        description="A list left `input` or `result` out (null), as it is large: read the run itself.",
    )
    unreadable: list[str] = Field(
        [],
        description="Members that are null because what is stored cannot be read: it was changed past Rota.",
    )
    error: ErrorOut | None
    progress: ProgressOut | None
    attempt: int
    failures: int
    cancel_requested_at: Instant | None
    created_at: Instant
    started_at: Instant | None
    finished_at: Instant | None
    lateness: float | None = Field(
        description="Seconds from the fire time to the start of the first attempt (`started_at`: of the last one)."
    )
    duration: float | None = Field(
        description="Seconds that the last attempt took, by the clock on the wall; 0 if that was set back."
    )


class RunOut(RunSummaryOut):
    """A run with its attempts."""

    attempts: list[AttemptOut]


class RunsOut(BaseModel):
    """A page of runs, newest `scheduled_for` first."""

    items: list[RunSummaryOut]
    next_cursor: str | None


class LogLineOut(BaseModel):
    """A line that a handler printed (`stdout`, `stderr`) or logged (`debug` to `error`)."""

    attempt: int
    line: int
    at: Instant
    level: str
    message: str


class LogsOut(BaseModel):
    """A page of log lines, in the order in which they were said."""

    items: list[LogLineOut]
    next_cursor: str | None
