"""Runs, with their attempts and logs."""

from datetime import datetime
from typing import Any, ClassVar

from rota.client.models.base import Model


class ErrorResponse(Model):
    """The response of a target to a call that failed."""

    schema_name: ClassVar[str] = "ErrorResponseOut"

    status: int
    headers: dict[str, str]
    body: str | None
    truncated: bool
    url_path: str | None


class RunError(Model):
    """What went wrong in an attempt."""

    schema_name: ClassVar[str] = "ErrorOut"

    type: str
    message: str
    traceback: str | None
    response: ErrorResponse | None
    phase: str | None
    timings: dict[str, float] | None


class Progress(Model):
    """The progress that a run has reported."""

    schema_name: ClassVar[str] = "ProgressOut"

    fraction: float | None
    message: str | None


class Attempt(Model):
    """One attempt of a run; `outcome` is null while it is running."""

    schema_name: ClassVar[str] = "AttemptOut"

    attempt: int
    outcome: str | None
    counted: bool
    started_at: datetime
    finished_at: datetime | None
    error: RunError | None
    timings: dict[str, float] | None = None


class LinkedRun(Model):
    """A run that has led to another one, or has followed from it."""

    schema_name: ClassVar[str] = "LinkedRunOut"

    id: str
    task: str
    kind: str


class RunSummary(Model):
    """A run as lists show it."""

    schema_name: ClassVar[str] = "RunSummaryOut"

    id: str
    task: str
    task_generation: int
    trigger: str
    rerun_of: str | None
    backfill_id: str | None
    chain_id: str
    scheduled_for: datetime
    scheduled_until: datetime | None
    count: int
    status: str
    reason: str | None
    waiting_on: tuple[str, ...]
    lease_expires_at: datetime | None = None
    queue: str
    priority: int
    not_before: datetime | None
    input: Any
    secret_input: bool = False
    result: Any
    truncated: bool = False
    unreadable: tuple[str, ...] = ()
    error: RunError | None
    progress: Progress | None
    attempt: int
    failures: int
    cancel_requested_at: datetime | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    lateness: float | None
    duration: float | None
    traceparent: str | None


class Run(RunSummary):
    """A run with its attempts."""

    schema_name: ClassVar[str] = "RunOut"

    attempts: tuple[Attempt, ...]
    fed_by: tuple[LinkedRun, ...]
    fed: tuple[LinkedRun, ...]


class LogLine(Model):
    """A line that a handler printed (`stdout`, `stderr`) or logged (`debug` to `error`)."""

    schema_name: ClassVar[str] = "LogLineOut"

    attempt: int
    line: int
    at: datetime
    level: str
    message: str
