"""Tasks, as they are read and listed."""

from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field

from rota.client.models.base import Model


class LastRun(Model):
    """The run that finished last."""

    schema_name: ClassVar[str] = "LastRunOut"

    id: str
    status: str
    scheduled_for: datetime
    finished_at: datetime | None


class RunMark(Model):
    """A run, as a list of tasks shows it."""

    schema_name: ClassVar[str] = "RunMarkOut"

    id: str
    status: str
    scheduled_for: datetime
    duration: float | None


class Task(Model):
    """A task in its present state."""

    schema_name: ClassVar[str] = "TaskOut"

    id: str
    name: str
    description: str = ""
    handler: str
    target: dict[str, Any] | None = None
    input: Any = None
    secret_input: bool = False
    schedule: dict[str, Any]
    timeout: float = 300
    heartbeat_timeout: float | None = None
    retry: dict[str, Any] = Field(default_factory=dict)
    misfire_policy: str = "run_once"
    misfire_grace: float | None = None
    overlap_policy: str = "skip"
    queue: str = "default"
    priority: int = 0
    concurrency: dict[str, Any] | None = None
    constraints: tuple[dict[str, Any], ...] = ()
    tags: tuple[str, ...] = ()
    on_failure: dict[str, Any] | str | None = None
    on_success: dict[str, Any] | str | None = None
    on_skipped: dict[str, Any] | str | None = None
    on_late: dict[str, Any] | str | None = None
    expect_every: float | None = None
    retention: dict[str, Any] = Field(default_factory=dict)
    kv_history: int = 20
    kv_grants: tuple[str, ...] = ()
    kv_schema: dict[str, Any] | None = None
    badge: str = "private"
    delete_after: float | None = None
    unreadable: tuple[str, ...] = ()
    status: str
    status_reason: str | None
    status_changed_at: datetime
    status_changed_by: str
    held_by: tuple[str, ...]
    generation: int
    next_fire_at: datetime | None
    last_run: LastRun | None
    last_success_at: datetime | None
    consecutive_failures: int
    created_at: datetime
    updated_at: datetime


class ListedTask(Task):
    """A task in a list."""

    schema_name: ClassVar[str] = "ListedTaskOut"

    latest_runs: tuple[RunMark, ...] = ()


class RefusedTask(Model):
    """A task that the verb could not be applied to, and why: the problem that the verb alone would have returned."""

    schema_name: ClassVar[str] = "RefusedOut"

    task: str
    type: str
    detail: str


class BulkTasks(Model):
    """What was done."""

    schema_name: ClassVar[str] = "BulkOut"

    matched: int
    changed: int
    unchanged: int
    refused: tuple[RefusedTask, ...]
