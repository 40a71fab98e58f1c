"""Request models of tasks."""

from datetime import timedelta
from typing import Annotated, Any

from pydantic import (
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    field_validator,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

from rota.api.http.request_model import RequestModel, without
from rota.domain.policies import MOST_CAUGHT_UP, CatchUp
from rota.domain.primitives.json import json_text
from rota.domain.primitives.texts.names import Name
from rota.domain.primitives.times.durations import Duration
from rota.domain.primitives.times.instants import Instant
from rota.domain.schedules.definitions import Schedule
from rota.domain.tasks.definition import OnConflict, TaskDefinition
from rota.domain.tasks.seeds import Seeds
from rota.store.tasks.ping import PingStatus

MOST_IN_A_BATCH = 10_000
#: Characters of a ping's message.
MOST_OF_A_PING = 10_000
LONGEST_WORK = timedelta(days=366)
#: Of a batch: compiling a schema takes much longer than parsing it.
MOST_KV_SCHEMAS = 100
MOST_KV_SCHEMA_BYTES = 262_144

EXAMPLE: dict[str, JsonValue] = {
    "name": "greet",
    "handler": "hello",
    "input": {"name": "Ada"},
    "schedule": {"type": "interval", "every": "15m"},
}
_CRON: dict[str, JsonValue] = {
    "type": "cron",
    "expression": "0 9 * * 1-5",
    "timezone": "Europe/Berlin",
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

#: Fields that only the service sets: ignored where a response of `GET` is sent back.
SERVICE_FIELDS = frozenset(
    {
        "applied",
        "consecutive_failures",
        "held_by",
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
        "unreadable",
        "upcoming",
        "updated_at",
        "warnings",
    }
)


class TaskIn(TaskDefinition):
    """A registration. Fields that are left out take their defaults."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE, _HTTP_EXAMPLE]})

    name: Name | None = Field(
        None, description="Its identity; generated if left out.", examples=["greet"]
    )
    paused: bool = Field(False, strict=True, description="Register it without firing it.")
    kv: Seeds = Field(default_factory=dict)

    @property
    def gives_timeout(self) -> bool:
        """Whether it sets a timeout, even if to the default."""
        return "timeout" in self.model_fields_set

    def definition(self) -> TaskDefinition:
        """Return the definition, without the fields that only a registration has."""
        fields = {name: getattr(self, name) for name in TaskDefinition.model_fields}
        return TaskDefinition.model_construct(**fields)


class DeclaredTaskIn(TaskIn):
    """A registration by `PUT`. A response of `GET` can be sent back: fields of the service are ignored."""

    @model_validator(mode="before")
    @classmethod
    def _ignore_fields_of_the_service(cls, body: Any) -> Any:
        return without(body, SERVICE_FIELDS)


class BatchIn(RequestModel):
    """Several registrations, all or nothing."""

    items: list[TaskIn] = Field(min_length=1, max_length=MOST_IN_A_BATCH)
    on_conflict: OnConflict = OnConflict.REJECT

    @field_validator("items", mode="before")
    @classmethod
    def _few_kv_schemas(cls, items: Any) -> Any:
        """Refuse a batch whose schemas would take long to compile; equal ones count once."""
        given = items if isinstance(items, list) else []
        schemas = [each.get("kv_schema") for each in given if isinstance(each, dict)]
        texts = {json_text.canonical(each) for each in schemas if isinstance(each, dict)}
        size = sum(map(len, texts))
        if len(texts) > MOST_KV_SCHEMAS or size > MOST_KV_SCHEMA_BYTES:
            raise PydanticCustomError(
                "kv_schemas",
                "its items have {count} different kv_schemas with {size} characters; the limits are {most} and "
                "{largest}: register them in several batches",
                {
                    "count": len(texts),
                    "size": size,
                    "most": MOST_KV_SCHEMAS,
                    "largest": MOST_KV_SCHEMA_BYTES,
                },
            )
        return items


class PauseIn(RequestModel):
    """Why a task is paused."""

    reason: Annotated[str, StringConstraints(max_length=1_000)] | None = Field(
        None, examples=["the API is being moved"]
    )


class ResumeIn(RequestModel):
    """What to do with the fire times that passed while the task was paused."""

    catch_up: CatchUp = Field(
        "none",
        description="`none`: they are one skipped run. `once`: the last of them runs after all. "
        f"`all`: the last {MOST_CAUGHT_UP} of them do, oldest first.",
    )


class RunIn(RequestModel):
    """How to run a task now."""

    input: Any = Field(None, description="Replaces the task's input for this run.")
    scheduled_for: Instant | SkipJsonSchema[None] = Field(
        None, description="The fire time of the run; the run waits for it if it is in the future."
    )


class PingIn(RequestModel):
    """How work that Rota does not run has ended."""

    status: PingStatus = Field(
        "succeeded", description="`failed` counts as a failed run of the task.", examples=["failed"]
    )
    message: Annotated[str, StringConstraints(max_length=MOST_OF_A_PING)] | None = Field(
        None,
        description="The result of a success, the error of a failure.",
        examples=["412 files, 3.1 GB"],
    )
    duration: Duration = Field(
        timedelta(), description="How long it took, until now.", examples=[93.5]
    )

    @field_validator("duration")
    @classmethod
    def _took_no_longer(cls, duration: timedelta) -> timedelta:
        if duration > LONGEST_WORK:
            raise PydanticCustomError("duration", "the longest duration is 366 days")
        return duration


class PreviewIn(RequestModel):
    """A schedule to preview before it is registered."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"schedule": _CRON, "count": 3}]})

    schedule: Schedule
    count: int = Field(5, strict=True, ge=1, le=100, description="How many fire times to return.")
    begin: Instant | None = Field(
        None,
        alias="from",
        description="As if it were registered then; now, if left out.",
        examples=["2026-03-01T00:00:00Z"],
    )
    name: Name | None = Field(
        None, description="Of the task, which `jitter` and `flex` depend on.", examples=["greet"]
    )
