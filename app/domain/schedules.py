"""Schedules: rules that yield fire times. Every function here is pure and works in UTC."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from typing import Annotated, Literal, Self, assert_never

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from app.domain import cron
from app.domain.durations import Duration
from app.domain.instants import Instant, format_instant, parse_instant, parse_local
from app.errors import Unplannable

SMALLEST_INTERVAL = timedelta(seconds=1)
LAST_INSTANT = datetime(9000, 1, 1, tzinfo=UTC)
# The context in which a schedule is validated that comes from the database.
STORED = "stored"


class _Schedule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_max_length=300)


def _check_zone(name: str, info: ValidationInfo) -> str:
    # What is stored was checked once: a zone that the system no longer knows makes a task unplannable, not unreadable.
    if info.context == STORED:
        return name
    try:
        return cron.check_zone(name)
    except ValueError as error:
        raise PydanticCustomError("timezone", str(error)) from None


class Once(_Schedule):
    """One fire time: an instant, a local time in a zone, or a delay after the registration."""

    type: Literal["once"]
    timezone: str | None = Field(
        None, description="Only with a local `at`.", examples=["Europe/Berlin"]
    )
    at: str | None = Field(
        None,
        description="RFC 3339 with an offset; or, beside `timezone`, a local time without one.",
        examples=["2026-12-24T17:30:00+01:00"],
    )
    delay: Duration | None = Field(None, description="Counts from the first registration.")

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, name: str | None, info: ValidationInfo) -> str | None:
        return None if name is None else _check_zone(name, info)

    @field_validator("at")
    @classmethod
    def _time_exists(cls, at: str | None, info: ValidationInfo) -> str | None:
        if at is None or "timezone" not in info.data:  # the zone's own fault is told already
            return at
        if info.data["timezone"] is None:
            return format_instant(parse_instant(at))
        return parse_local(at).isoformat()

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.at is None) == (self.delay is None):
            raise PydanticCustomError("once", "give exactly one of 'at' and 'delay'")
        if self.delay is not None and self.timezone is not None:
            raise PydanticCustomError("once", "'timezone' goes with a local 'at', not with 'delay'")
        return self


class Interval(_Schedule):
    """Every so often, on a grid through `anchor`, or through the registration if there is none."""

    type: Literal["interval"]
    every: Duration = Field(description="At least 1 s.")
    anchor: Instant | None = Field(
        None, description="A point of the grid; the first fire time if it lies ahead."
    )
    mode: Literal["fixed_rate"] = Field("fixed_rate", description="Fire times keep their phase.")

    @field_validator("every")
    @classmethod
    def _not_too_often(cls, every: timedelta) -> timedelta:
        if every < SMALLEST_INTERVAL:
            raise PydanticCustomError("interval", "the smallest interval is 1 second")
        return every


class Cron(_Schedule):
    """A cron expression with crontab's meaning, in a time zone."""

    type: Literal["cron"]
    expression: str = Field(
        description="5 fields, or 6 with the seconds first, or `@hourly` … `@yearly`.",
        examples=["0 9 * * 1-5"],
    )
    timezone: str = Field("UTC", description="IANA name.", examples=["Europe/Berlin"])

    @field_validator("expression")
    @classmethod
    def _can_be_read(cls, expression: str) -> str:
        try:
            return cron.normalise(expression)
        except ValueError as error:
            raise PydanticCustomError("cron", "{reason}", {"reason": str(error)}) from None

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, name: str, info: ValidationInfo) -> str:
        return _check_zone(name, info)


class Manual(_Schedule):
    """No fire times: the task runs when it is told to."""

    type: Literal["manual"]


class Unreadable(_Schedule):
    """What stands for a stored schedule that this version cannot read; planning it says so, so its task is paused."""

    type: Literal["unreadable"] = "unreadable"
    reason: str


Schedule = Annotated[Once | Interval | Cron | Manual, Field(discriminator="type")]


Planned = Once | Interval | Cron | Manual | Unreadable


@dataclass(frozen=True, slots=True)
class Due:
    """The fire times of a span: the first and last of them, how many, and the one after the span."""

    first: datetime
    last: datetime
    before_last: datetime | None
    count: int
    following: datetime | None


def first_fire(schedule: Planned, anchored_at: datetime) -> datetime | None:
    """Return the first fire time of a schedule registered at `anchored_at` (UTC); a past `once` is due now."""
    if isinstance(schedule, Once):
        return _once(schedule, anchored_at)
    return next_fire(schedule, anchored_at, anchored_at)


def next_fire(schedule: Planned, anchored_at: datetime, after: datetime) -> datetime | None:
    """Return the first fire time strictly after `after` (UTC), or None if there is none left."""
    return next(fire_times(schedule, anchored_at, after), None)


def upcoming(
    schedule: Planned, anchored_at: datetime, after: datetime, number: int
) -> list[datetime]:
    """Return up to `number` fire times strictly after `after` (UTC)."""
    return list(islice(fire_times(schedule, anchored_at, after), number))


def fire_times(schedule: Planned, anchored_at: datetime, after: datetime) -> Iterator[datetime]:
    """Yield the fire times strictly after `after`, strictly rising, in UTC.

    `anchored_at` is when the schedule was registered: a delay and an interval without an anchor count from it.
    """
    match schedule:
        case Once():
            at = _once(schedule, anchored_at)
            return iter((at,) if at > after else ())
        case Interval():
            return _grid(schedule, anchored_at, after)
        case Cron():
            return cron.fire_times(schedule.expression, schedule.timezone, after)
        case Manual():
            return iter(())
        case Unreadable():
            raise Unplannable(f"The stored schedule cannot be read: {schedule.reason}.")
        case _:
            assert_never(schedule)


def due(
    schedule: Planned, anchored_at: datetime, first: datetime, until: datetime, most: int
) -> Due:
    """Return the fire times from `first` (one of them) to `until`, at most `most` of them.

    Intervals are counted by arithmetic, so a long outage costs them nothing; others are stepped through.
    """
    if isinstance(schedule, Interval):
        return _due_on_grid(schedule, first, until)
    before_last, last, number, following = None, first, 1, None
    for at in fire_times(schedule, anchored_at, first):
        if at > until or number == most:
            following = at
            break
        before_last, last, number = last, at, number + 1
    return Due(first, last, before_last, number, following)


def _once(schedule: Once, anchored_at: datetime) -> datetime:
    if schedule.delay is not None:
        return anchored_at + schedule.delay
    at = schedule.at or ""
    if schedule.timezone is None:
        return parse_instant(at)
    # zoneinfo with fold=0 shifts a time in a gap forward and takes the first of two in a fold, as crontab does.
    return parse_local(at).replace(tzinfo=cron.zone(schedule.timezone)).astimezone(UTC)


def _grid(schedule: Interval, anchored_at: datetime, after: datetime) -> Iterator[datetime]:
    base, smallest = (anchored_at, 1) if schedule.anchor is None else (schedule.anchor, 0)
    first = max((after - base) // schedule.every + 1, smallest)
    for step in count(first):
        at = base + step * schedule.every
        if at > LAST_INSTANT:
            return
        yield at


def _due_on_grid(schedule: Interval, first: datetime, until: datetime) -> Due:
    steps = max((until - first) // schedule.every, 0)
    last = first + steps * schedule.every
    before_last = last - schedule.every if steps else None
    return Due(first, last, before_last, steps + 1, last + schedule.every)
