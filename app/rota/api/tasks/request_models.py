"""Request models of tasks."""

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

from rota.api.http.request_model import RequestModel
from rota.domain.policies import MOST_CAUGHT_UP, CatchUp
from rota.domain.primitives import json_text
from rota.domain.primitives.instants import Instant
from rota.domain.primitives.names import Name
from rota.domain.schedules.definitions import Schedule
from rota.domain.tasks.definition import OnConflict, TaskDefinition
from rota.domain.tasks.seeds import Seeds

MOST_IN_A_BATCH = 10_000


#: Of a batch: to compile a schema takes far longer than to read it.
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
        "unreadable",
        "upcoming",
        "updated_at",
        "warnings",
    }
)


class TaskIn(TaskDefinition):
    """A registration. Members that are left out take their defaults."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE, _HTTP_EXAMPLE]})

    name: Name | None = Field(
        None, description="Its identity; made up if left out.", examples=["greet"]
    )
    paused: bool = Field(False, strict=True, description="Register it without firing it.")
    kv: Seeds = Field(default_factory=dict)

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


class BatchIn(RequestModel):
    """Several registrations, all or nothing."""

    items: list[TaskIn] = Field(min_length=1, max_length=MOST_IN_A_BATCH)
    on_conflict: OnConflict = OnConflict.REJECT

    @field_validator("items", mode="before")
    @classmethod
    def _few_kv_schemas(cls, items: Any) -> Any:
        """Refuse a batch whose schemas would take long to compile; the same one counts once."""
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
    """What happens to the fire times that passed while the task was paused."""

    catch_up: CatchUp = Field(
        "none",
        description="`none`: they are one skipped run. `once`: the last of them runs after all. "
        f"`all`: the last {MOST_CAUGHT_UP} of them do, oldest first.",
    )


class RunIn(RequestModel):
    """How to run a task now."""

    input: Any = Field(None, description="Replaces the task's input for this run.")
    scheduled_for: Instant | SkipJsonSchema[None] = Field(
        None, description="The time the run stands for; a later one is waited for."
    )


class PreviewIn(RequestModel):
    """A schedule to be looked at before it is registered."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"schedule": _CRON, "count": 3}]})

    schedule: Schedule
    count: int = Field(5, strict=True, ge=1, le=100, description="How many fire times to tell.")
    begin: Instant | None = Field(
        None,
        alias="from",
        description="As if it were registered then; now, if left out.",
        examples=["2026-03-01T00:00:00Z"],
    )
    name: Name | None = Field(
        None, description="Of the task, which `jitter` and `flex` depend on.", examples=["greet"]
    )
