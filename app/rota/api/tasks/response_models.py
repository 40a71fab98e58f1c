"""Response models of tasks, for the documentation page."""

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
)

from rota.api.runs.response_models import RunSummaryOut
from rota.api.tasks.request_models import EXAMPLE
from rota.domain.explain.model import VERDICTS, Verdict
from rota.domain.primitives.instants import Instant
from rota.domain.runs.status import RunStatus
from rota.domain.schedules.definitions import Schedule, Unreadable
from rota.domain.tasks.definition import Applied, Registered, TaskDefinition, TaskStatus


class LastRunOut(BaseModel):
    """The run that finished last."""

    id: str
    status: RunStatus
    scheduled_for: Instant
    finished_at: Instant | None


class TaskOut(TaskDefinition):
    """A task as it stands."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**EXAMPLE, "id": "01a20bd8-3c05-7058-ab7c-c61199886531"}]}
    )

    schedule: Schedule | Unreadable  # type: ignore[assignment]  # what is stored may be from another version
    unreadable: list[str] = Field(
        [], description="`input`, where it is null because what is stored was changed past Rota."
    )
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
    """Something that may not be meant. The task is registered all the same."""

    code: str = Field(
        description="`both_day_fields`, `dst_fold`, `dst_gap`, `every_second`, `excluded`, `handler_missing`, "
        "`in_the_past`, `literal_template`, `month_end`, `never_fires`, `no_retry`, `plain_secret`, "
        "`predecessor_cancelled`, `predecessor_completed`, `predecessor_missing`, `predecessor_paused`, "
        "`reversed_offset`, `timeout_longer_than_interval`, `too_costly`, "
        "`uneven_interval`, `unplannable`.",
        examples=["dst_gap"],
    )
    message: str = Field(description="What happens, and what to do about it.")
    at: Instant | None = Field(None, description="When it happens first.")


class FireTimeOut(BaseModel):
    """When a schedule fires."""

    at: Instant
    local: str = Field(
        description="The same on the clock of the schedule's zone, with its offset from UTC.",
        examples=["2026-11-25T09:00:00.000+01:00"],
    )


class PreviewOut(BaseModel):
    """What a schedule means."""

    fire_times: list[FireTimeOut] = Field(
        description="The next ones that run; those that are left out are told by `warnings`."
    )
    description: str = Field(examples=["At 09:00 from Monday to Friday, Europe/Berlin"])
    warnings: list[WarningOut]


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


class ExplanationOut(BaseModel):
    """Why a task is not running, did not run, or will not run."""

    at: Instant = Field(description="The time asked about; now, if none was given.")
    expected: bool = Field(
        description="The schedule has a fire time then and means it to run; of now: a run is unfinished or due."
    )
    verdict: Verdict = Field(description=VERDICTS)
    reason: str | None = Field(
        description="What narrows the verdict down: that of the run, or what it waits for.",
        examples=["overlap"],
    )
    message: str = Field(description="The answer in words, with what to do.")
    run: RunSummaryOut | None = Field(description="The run that answers the question.")
    warnings: list[WarningOut]
