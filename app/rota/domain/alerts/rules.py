"""The rules of a task: which condition notifies which other task."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from rota.domain.primitives.texts.names import Name
from rota.domain.primitives.times.durations import Duration
from rota.domain.reasons import SkipReason

SHORTEST_WITHIN = timedelta(seconds=1)
MOST_IN_A_ROW = 1_000
#: How many runs back a failure rate looks.
MOST_IN_A_RATE = 100

#: Instead of a rule: no alert of this kind, whatever the default of the service is.
Off = Literal["off"]


class AlertKind(StrEnum):
    """What is alerted on: each kind is raised, and recovers, by itself."""

    FAILURES = "failures"  # on_failure.after: failed runs in a row
    FAILURE_RATE = "failure_rate"  # on_failure.rate
    NO_SUCCESS = "no_success"  # on_failure.success_within
    NO_PING = "no_ping"  # expect_every: neither a ping nor a success
    SUCCESS = "success"  # on_success
    SKIPPED = "skipped"  # on_skipped
    LATE = "late"  # on_late


def long_enough(within: timedelta) -> timedelta:
    """Return a time that can be watched; raises PydanticCustomError for a shorter one."""
    if within < SHORTEST_WITHIN:
        raise PydanticCustomError("within", "the shortest time is 1 second")
    return within


class _Rule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    task: Name = Field(
        description="The task that is run, with the event as its input.", examples=["alert-ops"]
    )


class FailureRate(BaseModel):
    """So many failures among the latest finished runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    failed: int = Field(strict=True, ge=1, le=MOST_IN_A_RATE, examples=[5])
    of: int = Field(
        strict=True,
        ge=1,
        le=MOST_IN_A_RATE,
        description="The latest runs that succeeded or failed.",
        examples=[20],
    )

    @model_validator(mode="after")
    def _at_most_all(self) -> Self:
        if self.failed > self.of:
            raise PydanticCustomError("rate", "'failed' is more than 'of': it is never reached")
        return self


class FailureRule(_Rule):
    """Notify once when a task begins to fail, and once when it has recovered."""

    after: int | None = Field(
        None,
        strict=True,
        ge=1,
        le=MOST_IN_A_ROW,
        description="After so many failed runs in a row; 1 if no other condition is given.",
        examples=[3],
    )
    rate: FailureRate | None = None
    success_within: Duration | None = Field(
        None,
        description="When no run has succeeded for so long; a task that has never succeeded counts from its "
        "registration.",
        examples=["26h"],
    )
    recovery: bool = Field(True, strict=True, description="Notify of the recovery as well.")

    @field_validator("success_within")
    @classmethod
    def _takes_time(cls, within: timedelta | None) -> timedelta | None:
        return within if within is None else long_enough(within)

    @model_validator(mode="after")
    def _has_a_condition(self) -> Self:
        if self.after is None and self.rate is None and self.success_within is None:
            self.__dict__["after"] = 1  # the model is frozen otherwise
        return self


class SuccessRule(_Rule):
    """Notify of each run that succeeds."""


class SkippedRule(_Rule):
    """Notify once when fire times begin to be skipped; an executed run re-arms it."""

    reasons: tuple[SkipReason, ...] | None = Field(
        None,
        min_length=1,
        description="Only of these; by default of all but `paused`, `excluded`, `dst_gap` and `predecessor`, which are "
        "intended.",
        examples=[["misfire", "overlap"]],
    )


class LateRule(_Rule):
    """Notify once when a run has not started in time, and once when runs start in time again."""

    after: Duration = Field(
        description="How long after its fire time a run is late if it has not started.",
        examples=["5m"],
    )
    recovery: bool = Field(True, strict=True, description="Notify of the recovery as well.")

    @field_validator("after")
    @classmethod
    def _takes_time(cls, after: timedelta) -> timedelta:
        return long_enough(after)


class RaisedKind(StrEnum):
    """The kinds of alerts that stay raised until they are over."""

    FAILURES = AlertKind.FAILURES
    FAILURE_RATE = AlertKind.FAILURE_RATE
    NO_SUCCESS = AlertKind.NO_SUCCESS
    NO_PING = AlertKind.NO_PING
    SKIPPED = AlertKind.SKIPPED
    LATE = AlertKind.LATE


OnFailure = Annotated[
    FailureRule | Off | None,
    Field(description="Null: the default of the service (ROTA_ON_FAILURE); `off`: none."),
]
OnSuccess = Annotated[
    SuccessRule | Off | None,
    Field(description="Null: the default of the service (ROTA_ON_SUCCESS); `off`: none."),
]
OnSkipped = Annotated[
    SkippedRule | Off | None,
    Field(description="Null: the default of the service (ROTA_ON_SKIPPED); `off`: none."),
]
OnLate = Annotated[
    LateRule | Off | None,
    Field(description="Null: the default of the service (ROTA_ON_LATE); `off`: none."),
]
