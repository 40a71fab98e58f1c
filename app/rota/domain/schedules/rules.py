"""The schedules that have fire times of their own, as clients declare them."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from rota.domain.cron import expression as cron
from rota.domain.primitives.times.durations import Duration
from rota.domain.primitives.times.instants import (
    Instant,
    format_instant,
    parse_instant,
    parse_local,
)
from rota.domain.schedules import calendar
from rota.domain.schedules.base import Dst, DstRule, Timed, Timezone

SMALLEST_INTERVAL = timedelta(seconds=1)


class Once(Timed):
    """One fire time: an instant, a local time in a zone, or a delay after the registration."""

    type: Literal["once"]
    timezone: Timezone | None = Field(
        None, description="Only with a local `at`.", examples=["Europe/Berlin"]
    )
    at: str | None = Field(
        None,
        description="RFC 3339 with an offset; or, beside `timezone`, a local time without one.",
        examples=["2026-12-24T17:30:00+01:00"],
    )
    delay: Duration | None = Field(None, description="Counts from the first registration.")
    dst: DstRule = None

    @field_validator("at")
    @classmethod
    def _time_exists(cls, at: str | None, info: ValidationInfo) -> str | None:
        if at is None or "timezone" not in info.data:  # the fault of the zone is reported already
            return at
        if info.data["timezone"] is None:
            return format_instant(parse_instant(at))
        return parse_local(at).isoformat()

    @field_validator("dst")
    @classmethod
    def _clocks_of_a_zone(cls, dst: Dst | None, info: ValidationInfo) -> Dst | None:
        if dst is not None and info.data.get("timezone") is None and "timezone" in info.data:
            raise PydanticCustomError("dst", "'dst' goes with a local 'at' in a 'timezone'")
        return dst

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.at is None) == (self.delay is None):
            raise PydanticCustomError("once", "give exactly one of 'at' and 'delay'")
        if self.delay is not None and self.timezone is not None:
            raise PydanticCustomError("once", "'timezone' goes with a local 'at', not with 'delay'")
        self._fires()
        return self

    def _fires(self) -> None:
        if self.at is None or self.timezone is not None:
            return
        at = parse_instant(self.at)
        if (self.start_at and at < self.start_at) or (self.end_at and at > self.end_at):
            raise PydanticCustomError(
                "bounds", "this never fires: 'at' is not between 'start_at' and 'end_at'"
            )


class Interval(Timed):
    """Every so often, on a grid through `anchor`, or through the registration if there is none."""

    type: Literal["interval"]
    every: Duration = Field(description="At least 1 s.", examples=["15m"])
    anchor: Instant | None = Field(
        None, description="A point of the grid; the first fire time if it lies ahead."
    )
    initial_delay: Duration | None = Field(
        None,
        description="In place of `anchor`: the first fire time is so long after the registration.",
    )
    mode: Literal["fixed_rate", "fixed_delay"] = Field(
        "fixed_rate",
        description="`fixed_rate`: fire times keep their phase. "
        "`fixed_delay`: each comes `every` after the end of the run before.",
    )
    flex: Duration | None = Field(
        None,
        description="Fires at some point in the last `flex` of each period, always the same for one task and period; "
        "the first period begins at the registration, `anchor`, or the end of `initial_delay`.",
    )

    @field_validator("every")
    @classmethod
    def _not_too_often(cls, every: timedelta) -> timedelta:
        if every < SMALLEST_INTERVAL:
            raise PydanticCustomError("interval", "the smallest interval is 1 second")
        return every

    @field_validator("anchor")
    @classmethod
    def _begins_before_its_end(
        cls, anchor: datetime | None, info: ValidationInfo
    ) -> datetime | None:
        end_at = info.data.get("end_at")
        if anchor is not None and end_at is not None and anchor > end_at:
            raise PydanticCustomError("bounds", "this never fires: 'anchor' comes after 'end_at'")
        return anchor

    @field_validator("initial_delay")
    @classmethod
    def _one_origin(cls, delay: timedelta | None, info: ValidationInfo) -> timedelta | None:
        if delay is not None and info.data.get("anchor") is not None:
            raise PydanticCustomError("interval", "give either 'anchor' or 'initial_delay'")
        return delay

    @field_validator("flex")
    @classmethod
    def _part_of_the_period(cls, flex: timedelta | None, info: ValidationInfo) -> timedelta | None:
        if flex is None:
            return None
        if info.data.get("mode") == "fixed_delay":
            raise PydanticCustomError(
                "flex", "'fixed_delay' has no periods that 'flex' could be a part of"
            )
        if info.data.get("jitter") is not None:
            raise PydanticCustomError("flex", "give either 'flex' or 'jitter'")
        if not flex or flex > info.data.get("every", flex):
            raise PydanticCustomError(
                "flex", "'flex' is a part of 'every': above 0 and at most 'every'"
            )
        return flex


class Cron(Timed):
    """A cron expression with crontab's meaning, in a time zone."""

    type: Literal["cron"]
    expression: str = Field(
        description="5 fields (minute, hour, day of the month, month, day of the week), or 6 with the seconds "
        "first, or `@hourly` … `@yearly`.",
        examples=["0 9 * * 1-5"],
    )
    timezone: Timezone = Field("UTC", description="IANA name.", examples=["Europe/Berlin"])
    dst: DstRule = None

    @field_validator("expression")
    @classmethod
    def _can_be_read(cls, expression: str) -> str:
        try:
            return cron.normalise(expression)
        except ValueError as error:
            raise PydanticCustomError("cron", "{reason}", {"reason": str(error)}) from None


_DAYS_SCHEMA = WithJsonSchema(
    {
        "anyOf": [
            {"type": "integer", "minimum": 1, "maximum": 31},
            {"type": "string"},
            {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "string"}]}},
            {"type": "null"},
        ],
        "description": 'One or several. Week: `"mon"` … `"sun"`. Month: 1 to 31, or `"last"`. '
        'Year: `"12-24"` (month-day).',
        "examples": [["mon", "thu"], 31, "last", "12-24"],
        "default": None,
    }
)


class Calendar(Timed):
    """A time of day on every `step`-th day, week, month or year."""

    type: Literal["calendar"]
    unit: calendar.Unit
    step: int = Field(
        1,
        strict=True,
        ge=1,
        le=1_000,
        description="Counts from the period that holds `start_at`, else the registration.",
    )
    day: Annotated[Any, _DAYS_SCHEMA] = Field(None, validate_default=True)
    time: str = Field(
        description="On the clock of `timezone`: `HH:MM` or `HH:MM:SS`.", examples=["09:00"]
    )
    missing_day: Literal["skip", "last"] | None = Field(
        None,
        validate_default=True,
        description="With months and years: when a day does not exist, `skip` (default) leaves it out, `last` takes "
        "the last day of the month.",
    )
    timezone: Timezone = Field("UTC", description="IANA name.", examples=["Europe/Berlin"])
    dst: DstRule = None

    @field_validator("day", mode="before")
    @classmethod
    def _days_of_the_unit(cls, value: Any, info: ValidationInfo) -> Any:
        return calendar.parse_days(value, info.data["unit"]) if "unit" in info.data else None

    @field_validator("time", mode="before")
    @classmethod
    def _time_of_day(cls, value: Any) -> str:
        return calendar.parse_time(value)

    @field_validator("missing_day")
    @classmethod
    def _where_days_may_be_missing(cls, rule: str | None, info: ValidationInfo) -> str | None:
        if info.data.get("unit") not in {"day", "week"}:
            return rule or "skip"
        if rule is not None:
            raise PydanticCustomError(
                "missing_day", "days are never missing in a week: leave this out"
            )
        return None

    @property
    def days(self) -> tuple[calendar.Day, ...]:
        """The days, also if there is one only; none with the unit `day`."""
        if self.day is None:
            return ()
        return self.day if isinstance(self.day, tuple) else (self.day,)

    @property
    def pattern(self) -> calendar.Pattern:
        """The rule, ready to be evaluated."""
        return calendar.Pattern(
            self.unit,
            self.step,
            datetime.fromisoformat(f"2000-01-01T{self.time}").time(),
            self.days,
            keep_missing=self.missing_day == "last",
        )
