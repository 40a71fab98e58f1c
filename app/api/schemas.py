"""What goes in and out over HTTP. Inputs refuse unknown members; outputs are described for the docs page."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator
from pydantic.json_schema import SkipJsonSchema

from app.domain.durations import Duration
from app.domain.instants import Instant
from app.domain.names import Name
from app.domain.runs import AttemptOutcome, RunStatus, Trigger
from app.domain.schedules import Schedule, Unreadable
from app.domain.tasks import Applied, OnConflict, Registered, TaskDefinition, TaskStatus

MOST_IN_A_BATCH = 10_000

_EXAMPLE: dict[str, JsonValue] = {
    "name": "greet",
    "handler": "hello",
    "input": {"name": "Ada"},
    "schedule": {"type": "interval", "every": "15m"},
}
_HTTP_EXAMPLE: dict[str, JsonValue] = {
    "name": "invoice-digest",
    "handler": "http",
    "target": {"url": "https://app.example.com/jobs/digest"},
    "input": {"kind": "daily"},
    "schedule": {"type": "cron", "expression": "0 9 * * 1-5", "timezone": "Europe/Berlin"},
    "retry": {"max_attempts": 5},
    "tags": ["billing"],
}

#: Members that only the service sets: accepted and ignored where what was read is sent back.
SERVICE_MEMBERS = frozenset(
    {
        "applied",
        "consecutive_failures",
        "created_at",
        "differs",
        "generation",
        "id",
        "last_run",
        "last_success_at",
        "next_fire_at",
        "outcome",
        "status",
        "status_changed_at",
        "status_changed_by",
        "status_reason",
        "upcoming",
        "updated_at",
        "warnings",
    }
)


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TaskIn(TaskDefinition):
    """A registration. Members that are left out take their defaults."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE, _HTTP_EXAMPLE]})

    name: Name | None = Field(
        None, description="Its identity; made up if left out.", examples=["greet"]
    )
    paused: bool = Field(False, strict=True, description="Register it without firing it.")

    def definition(self) -> TaskDefinition:
        """Return what is declared, without what belongs to the registration."""
        fields = {name: getattr(self, name) for name in TaskDefinition.model_fields}
        return TaskDefinition.model_construct(**fields)


class DeclaredTaskIn(TaskIn):
    """A registration by `PUT`. What `GET` returned can be sent back: members of the service are ignored."""

    @model_validator(mode="before")
    @classmethod
    def _ignore_members_of_the_service(cls, body: Any) -> Any:
        if not isinstance(body, dict):
            return body
        return {key: value for key, value in body.items() if key not in SERVICE_MEMBERS}


class BatchIn(_In):
    """Several registrations, all or nothing."""

    items: list[TaskIn] = Field(min_length=1, max_length=MOST_IN_A_BATCH)
    on_conflict: OnConflict = OnConflict.REJECT


class PauseIn(_In):
    """Why a task is paused."""

    reason: Annotated[str, StringConstraints(max_length=1_000)] | None = Field(
        None, examples=["the API is being moved"]
    )


class ResumeIn(_In):
    """What happens to the fire times that passed while the task was paused."""

    catch_up: Literal["none", "once"] = Field(
        "none",
        description="`none`: they are one skipped run. `once`: the last of them runs after all.",
    )


class RunIn(_In):
    """How to run a task now."""

    input: Any = Field(None, description="Replaces the task's input for this run.")
    scheduled_for: Instant | SkipJsonSchema[None] = Field(
        None, description="The time the run stands for; a later one is waited for."
    )


class KvIn(_In):
    """A value to keep."""

    value: Any = Field(description="Any JSON.", examples=[{"last_id": 8812}])
    ttl: Duration | None = Field(None, description="How long it is kept; without it, for good.")


class LastRunOut(BaseModel):
    """The run that finished last."""

    id: str
    status: RunStatus
    scheduled_for: Instant
    finished_at: Instant | None


class TaskOut(TaskDefinition):
    """A task as it stands."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**_EXAMPLE, "id": "01a20bd8-3c05-7058-ab7c-c61199886531"}]}
    )

    schedule: Schedule | Unreadable  # type: ignore[assignment]  # what is stored may be from another version
    id: str
    name: str
    status: TaskStatus
    status_reason: str | None
    status_changed_at: Instant
    status_changed_by: str
    generation: int
    next_fire_at: Instant | None
    last_run: LastRunOut | None
    last_success_at: Instant | None
    consecutive_failures: int
    created_at: Instant
    updated_at: Instant


class WarningOut(BaseModel):
    """Something that may not be meant."""

    code: str
    message: str
    at: Instant | None = None


class RegistrationOut(TaskOut):
    """A task, and what a registration did to it."""

    outcome: Registered
    applied: Applied
    differs: bool = Field(False, description="With `kept`: whether the definition sent is another.")
    upcoming: list[Instant] = Field(description="The next fire times.")
    warnings: list[WarningOut]


class TasksOut(BaseModel):
    """A page of tasks, by name."""

    items: list[TaskOut]
    next_cursor: str | None


class BatchOut(BaseModel):
    """What a batch did."""

    created: int
    updated: int
    unchanged: int
    kept: int
    replaced: int
    names: list[str]


class UpcomingOut(BaseModel):
    """The next fire times of a task, also of a paused one."""

    items: list[Instant]


class ErrorOut(BaseModel):
    """What went wrong in an attempt."""

    type: str = Field(examples=["http.status"])
    message: str = Field(examples=["503 from app.example.com"])
    traceback: str | None


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
    result: Any
    error: ErrorOut | None
    progress: ProgressOut | None
    attempt: int
    failures: int
    cancel_requested_at: Instant | None
    created_at: Instant
    started_at: Instant | None
    finished_at: Instant | None
    lateness: float | None = Field(description="Seconds from the fire time to the first start.")
    duration: float | None = Field(description="Seconds that the last attempt took.")


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


class KvEntryOut(BaseModel):
    """An entry of a task's key-value table."""

    key: str
    value: Any
    version: int
    updated_at: Instant
    updated_by: str
    expires_at: Instant | None


class KvEntriesOut(BaseModel):
    """A page of entries, by key; one snapshot."""

    items: list[KvEntryOut]
    next_cursor: str | None


class HandlerOut(BaseModel):
    """A handler that tasks can name."""

    name: str
    description: str
    input_schema: dict[str, Any] | None
    timeout: float | None
    isolation: str
    updated_at: Instant | None


class HandlersOut(BaseModel):
    """A page of handlers, by name."""

    items: list[HandlerOut]
    next_cursor: str | None
