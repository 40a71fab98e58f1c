"""What schedules have in common: a type, bounds, exclusions, jitter, a time zone and its changes of the clocks."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from rota.domain.primitives.bounds import STORED, is_stored
from rota.domain.primitives.times.durations import Duration
from rota.domain.primitives.times.instants import Instant
from rota.domain.schedules.exclusions import AnyExclusion, Exclusions, normalised
from rota.domain.time_zones.zone import check_zone

MOST_JITTER = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class Anchor:
    """What fire times are computed from besides the rule."""

    #: When the schedule was registered: what a delay, and an interval without an anchor, count from.
    at: datetime
    #: The task's name: the seed of jitter and flex, so that previews are true and replicas agree.
    name: str = ""


class ScheduleBase(BaseModel):
    """The base of every schedule."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_max_length=300)

    type: str


def _check_zone(name: str, info: ValidationInfo) -> str:
    # What is stored was checked once: a zone that the system no longer knows makes a task unplannable, not unreadable.
    if info.context == STORED:
        return name
    try:
        return check_zone(name)
    except ValueError as error:
        raise PydanticCustomError("timezone", "{reason}", {"reason": str(error)}) from None


Timezone = Annotated[str, AfterValidator(_check_zone)]


class Dst(BaseModel):
    """How local times are treated that a change of the clocks leaves out (gap) or repeats (fold)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gap: Literal["shift", "skip"] | None = Field(
        None,
        description="`shift`: fires once, at the first instant after the gap; "
        "`skip`: is recorded as a skipped run (`dst_gap`).",
    )
    fold: Literal["first", "both"] | None = Field(
        None,
        description="`first`: fires at the first of two equal local times only; `both`: at both.",
    )


def _none_if_empty(dst: Dst | None) -> Dst | None:
    return None if dst == Dst() else dst


DstRule = Annotated[
    Dst | None,
    AfterValidator(_none_if_empty),
    Field(
        description="What is left out is as with crontab: a fixed time fires once on both days (`shift`, `first`); "
        "a cron expression with a wildcard in its minute or hour follows the time that passes.",
        examples=[{"gap": "skip", "fold": "first"}],
    ),
]


class Bounded(ScheduleBase):
    """A schedule that may have a beginning and an end."""

    start_at: Instant | None = Field(
        None, description="Nothing fires before; the phase is not moved by it."
    )
    end_at: Instant | None = Field(None, description="Nothing fires after it.")
    max_runs: int | None = Field(
        None,
        strict=True,
        ge=1,
        le=1_000_000_000,
        description="After so many runs of the schedule the task is completed; what is skipped does not count.",
    )

    @field_validator("end_at")
    @classmethod
    def _ends_after_its_start(
        cls, end_at: datetime | None, info: ValidationInfo
    ) -> datetime | None:
        start_at = info.data.get("start_at")
        if end_at is not None and start_at is not None and end_at < start_at:
            raise PydanticCustomError(
                "bounds", "this never fires: 'end_at' comes before 'start_at'"
            )
        return end_at


class Timed(Bounded):
    """A schedule that has fire times of its own."""

    jitter: Duration | None = Field(
        None,
        description="Each fire time is delayed by less than this, always by the same for one task and time, "
        "and never as far as the next one. At most 31 days.",
    )
    exclude: Exclusions | None = Field(
        None,
        description="Dates (in the schedule's timezone, else UTC), spans, and named calendars "
        "(`PUT /v1/calendars/{name}`). Fire times in them are recorded as skipped runs.",
        examples=[
            [
                "2026-12-25",
                {"from": "2026-12-24", "to": "2027-01-02"},
                {"calendar": "holidays-berlin"},
            ]
        ],
    )

    @field_validator("jitter")
    @classmethod
    def _within_a_month(cls, jitter: timedelta | None, info: ValidationInfo) -> timedelta | None:
        if jitter is not None and jitter > MOST_JITTER and not is_stored(info):
            raise PydanticCustomError("jitter", "a jitter is at most 31 days")
        return jitter or None

    @field_validator("exclude")
    @classmethod
    def _in_order(cls, exclude: tuple[AnyExclusion, ...] | None) -> tuple[AnyExclusion, ...] | None:
        return None if exclude is None else normalised(exclude)
