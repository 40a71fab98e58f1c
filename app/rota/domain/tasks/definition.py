"""Tasks: what a client declares (`TaskDefinition`) and what the service adds to it (`Task`)."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from rota.domain.alerts.rules import OnFailure, OnLate, OnSkipped, OnSuccess, long_enough
from rota.domain.constraints.definitions import Constraints
from rota.domain.http_target.target import Target, check_input
from rota.domain.kv.schemas import KvSchemas, check_kv_schema
from rota.domain.policies import (
    MOST_BUFFERED,
    MOST_CAUGHT_UP,
    SKIP_GRACE,
    Concurrency,
    MisfirePolicy,
    OverlapPolicy,
    Retention,
    RetryPolicy,
)
from rota.domain.primitives.bounds import DEFAULT_TIMEOUT, contradiction, is_stored, settle
from rota.domain.primitives.texts.names import Name
from rota.domain.primitives.times.durations import Duration
from rota.domain.schedules.definitions import Schedule, fires_unscheduled

SMALLEST_GRACE = timedelta(seconds=1)
SHORTEST_SILENCE = timedelta(seconds=1)
HTTP_HANDLER = "http"

#: How many tags a task has at most.
MOST_TAGS = 32
Tag = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@~-]{0,63}$")]


class TaskStatus(StrEnum):
    """The lifecycle of a task."""

    ACTIVE = "active"  # registered, resumed, or given a future fire time
    PAUSED = "paused"  # by a client, or because it cannot be planned; leaves by `resume`
    COMPLETED = "completed"  # no fire time left
    CANCELLED = "cancelled"  # by a client; leaves by a registration


class Applied(StrEnum):
    """When a registration takes effect."""

    IMMEDIATELY = "immediately"
    NEXT_RUN = "next_run"  # a run with the earlier definition is running


class Registered(StrEnum):
    """What a registration did."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    KEPT = "kept"
    REPLACED = "replaced"


class OnConflict(StrEnum):
    """What a registration does if a task with its name exists."""

    REJECT = "reject"
    KEEP = "keep"
    UPDATE = "update"
    REPLACE = "replace"


class BadgeAudience(StrEnum):
    """Who may see the badge of a task."""

    PRIVATE = "private"  # who may read its runs
    PUBLIC = "public"  # anyone, without a key


class TaskDefinition(BaseModel):
    """What a client declares. Two definitions are the same if they are equal once defaults are filled in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str = Field("", max_length=2_000)
    handler: str = Field(
        min_length=1,
        max_length=128,
        description="A Python handler, or `http`. `GET /v1/handlers` lists them.",
        examples=["http"],
    )
    target: Target | None = Field(
        None, description="The request to make; with handler `http` only."
    )
    input: Any = Field(
        default_factory=dict, description="Any JSON; checked against the handler's schema."
    )
    secret_input: bool = Field(
        default=False,
        strict=True,
        description="Keep the input, of the task and of its runs, encrypted (ROTA_ENCRYPTION_KEYS), and never show it. "
        "Null or no input in a registration keeps the present one.",
    )
    schedule: Schedule
    timeout: Duration = Field(
        DEFAULT_TIMEOUT,
        description="For one attempt. Defaults to the handler's, else 300 s, and not to less than `target.timeout`.",
    )
    heartbeat_timeout: Duration | None = Field(
        None,
        description="Of an attempt that continues outside of Rota (`target.async`): how long it may go without a "
        "heartbeat. Null: as long as `timeout`, which no heartbeat extends.",
        examples=[60],
    )
    retry: RetryPolicy = RetryPolicy()
    misfire_policy: MisfirePolicy = Field(
        MisfirePolicy.RUN_ONCE,
        description="Of fire times that passed while no replica could fire them: `run_once` runs the last one, "
        f"`run_all` the last {MOST_CAUGHT_UP}, oldest first, `skip` none that is later than `misfire_grace`.",
    )
    misfire_grace: Duration | None = Field(
        None,
        description="A fire time that passed longer ago is not made up for. "
        f"With `skip`: how late one still counts as on time and runs ({int(SKIP_GRACE.total_seconds())} s).",
    )
    overlap_policy: OverlapPolicy = Field(
        OverlapPolicy.SKIP,
        description="Of a fire time that comes while an earlier run is unfinished: `skip` it, `buffer` it behind "
        f"that run (at most {MOST_BUFFERED}), `allow` both, or `replace` the earlier run.",
    )
    queue: Name = "default"
    priority: int = Field(
        0, strict=True, ge=-32_768, le=32_767, description="Higher runs first within its queue."
    )
    concurrency: Concurrency | None = Field(
        None, description="At most so many runs with this key run at once."
    )
    constraints: Constraints = Field(
        (), description="All of them must be met before an attempt starts; until then it waits."
    )
    tags: tuple[Tag, ...] = Field((), max_length=MOST_TAGS)
    on_failure: OnFailure = None
    on_success: OnSuccess = None
    on_skipped: OnSkipped = None
    on_late: OnLate = None
    expect_every: Duration | None = Field(
        None,
        description="A success, or a ping (`POST /v1/tasks/{name}/ping`), is expected at least so often: its absence "
        "counts as a failure for `on_failure`.",
        examples=["1h"],
    )
    retention: Retention = Retention()
    kv_history: int = Field(
        20,
        strict=True,
        ge=0,
        le=1_000,
        description="How many versions of each of its kv entries are kept, the present one included; 0: none.",
    )
    kv_grants: tuple[Name, ...] = Field(
        (),
        max_length=100,
        description="The tasks whose runs may write to the kv of this task (`ctx.kv.of(…)`); all may read it.",
        examples=[["invoice-digest"]],
    )
    kv_schema: KvSchemas | None = Field(
        None,
        description="JSON Schemas that values of its kv must fit to be stored, by key or by pattern (`user:*`). An "
        "exact key comes first, then the pattern that says most; `*: false` refuses keys that nothing else matches.",
        examples=[{"cursor": {"type": "integer", "minimum": 0}, "*": False}],
    )
    badge: BadgeAudience = Field(
        BadgeAudience.PRIVATE,
        description="Who may see its badge (`GET /v1/tasks/{name}/badge.svg`): `private`, keys that may read its runs; "
        "`public`, anyone, without a key.",
        examples=["public"],
    )
    delete_after: Duration | None = Field(
        None,
        description="How long after its end a completed or cancelled task that was not made with `PUT` is removed. "
        "Null: as long as ROTA_DELETE_AFTER says (7 days).",
    )

    @property
    def fires_unscheduled(self) -> bool:
        """Whether it can run without a fire time of its schedule, and so never completes."""
        return fires_unscheduled(self.schedule)

    @property
    def completes_later(self) -> bool:
        """Whether its target may take a run on, and report the outcome later."""
        return self.target is not None and self.target.async_

    @field_validator("timeout")
    @classmethod
    def _takes_time(cls, timeout: timedelta) -> timedelta:
        if not timeout:
            raise PydanticCustomError("timeout", "a run needs a timeout above 0")
        return timeout

    @field_validator("heartbeat_timeout")
    @classmethod
    def _silence_takes_time(cls, silence: timedelta | None) -> timedelta | None:
        if silence is not None and silence < SHORTEST_SILENCE:
            raise PydanticCustomError("heartbeat_timeout", "the shortest one is 1 second")
        return silence

    @field_validator("expect_every")
    @classmethod
    def _can_be_watched(cls, every: timedelta | None) -> timedelta | None:
        return every if every is None else long_enough(every)

    @field_validator("misfire_grace")
    @classmethod
    def _grace_is_some_time(cls, grace: timedelta | None) -> timedelta | None:
        if grace is not None and grace < SMALLEST_GRACE:
            raise PydanticCustomError("misfire_grace", "the smallest grace is 1 second")
        return grace

    @field_validator("tags", "kv_grants")
    @classmethod
    def _each_once(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(given))

    @model_validator(mode="after")
    def _target_with_http_only(self) -> Self:
        if self.handler == HTTP_HANDLER and self.target is None:
            raise PydanticCustomError(
                "target",
                "the handler 'http' needs a target: {example}",
                {"example": '{"url": "https://app.example.com/jobs"}', "field": "target"},
            )
        if self.handler != HTTP_HANDLER and self.target is not None:
            raise PydanticCustomError(
                "target",
                "a target goes with the handler 'http', not with {handler}",
                {"handler": repr(self.handler), "field": "target"},
            )
        return self

    @model_validator(mode="after")
    def _input_can_be_the_body(self, info: ValidationInfo) -> Self:
        given = "input" in self.model_fields_set and not (self.secret_input and self.input is None)
        if self.target is not None and given and not is_stored(info):
            check_input(self.target, self.input)
        return self

    @model_validator(mode="after")
    def _timeouts_agree(self, info: ValidationInfo) -> Self:
        """The default of one timeout gives way to a given value of the other.

        If the target reports the outcome later, the attempt outlasts the call, whose timeout has its own default.
        """
        if self.target is None:
            return self
        call, attempt = self.target.timeout, self.timeout
        call_given = "timeout" in self.target.model_fields_set
        given = "timeout" in self.model_fields_set
        if call_given and given and call > attempt and not is_stored(info):
            raise contradiction(("target", "timeout"), ("timeout",), (call, attempt))
        if call_given and not given:
            settle(self, timeout=max(call, attempt))
        elif call > attempt or (
            given and not (call_given or self.completes_later or is_stored(info))
        ):
            settle(self, target=self.target.model_copy(update={"timeout": attempt}))
        return self

    @model_validator(mode="after")
    def _kv_schema_can_be_checked_with(self, info: ValidationInfo) -> Self:
        # What is stored could be when it was declared.
        if self.kv_schema is not None and not is_stored(info):
            check_kv_schema(self.kv_schema)
        return self
