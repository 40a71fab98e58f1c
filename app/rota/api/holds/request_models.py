"""Requests about holds."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import (
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from rota.api.http.request_model import RequestModel, without
from rota.domain.access.names import NameLimit
from rota.domain.holds.model import HeldFireTimes, HoldSelector
from rota.domain.primitives.texts.names import NAME_PREFIX_PATTERN, Name
from rota.domain.primitives.times.instants import parse_instant
from rota.domain.schedules.base import Timezone
from rota.domain.schedules.requested_times import RequestedTime, parse_requested_time
from rota.domain.tasks.definition import Tag
from rota.errors import Unplannable

_MOST_VALUES = 200
_LONGEST_TIME = 64
_SERVICE_FIELDS = frozenset(
    {"status", "within", "tasks", "created_at", "created_by", "updated_at", "updated_by"}
)
_EXAMPLE: dict[str, Any] = {
    "selector": {"tags": ["billing"]},
    "until": "2026-11-25T12:00:00Z",
    "reason": "the database moves",
    "fire_times": "catch_up",
}
_Time = Annotated[str, StringConstraints(max_length=_LONGEST_TIME)]
_HOW = "RFC 3339 with an offset; or, in `timezone`, a local time or a date"


class HoldSelectorIn(RequestModel):
    """Which tasks to hold, those that are registered later included. Values are OR-ed, fields are AND-ed."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"tags": ["billing"]}]})

    tags: tuple[Tag, ...] = Field(
        (),
        min_length=1,
        max_length=_MOST_VALUES,
        description="Tasks that have one of these tags.",
        examples=[["billing"]],
    )
    name_prefix: str = Field(
        "",
        pattern=NAME_PREFIX_PATTERN,
        description="Tasks whose names have this prefix.",
        examples=["invoices-"],
    )
    queues: tuple[Name, ...] = Field(
        (),
        min_length=1,
        max_length=_MOST_VALUES,
        description="Tasks of one of these queues.",
        examples=[["mail"]],
    )
    all: bool = Field(
        False,
        strict=True,
        description="Every task that the key may see; excludes the other fields.",
        examples=[True],
    )

    @model_validator(mode="after")
    def _selects(self) -> Self:
        narrows = bool(self.tags or self.name_prefix or self.queues)
        if not narrows and not self.all:
            raise PydanticCustomError(
                "selector",
                "select tasks by 'tags', 'name_prefix' or 'queues'; for every task send \"all\": true",
            )
        if narrows and self.all:
            raise PydanticCustomError("selector", '"all": true goes without the other fields')
        return self

    def within(self, limit: NameLimit) -> HoldSelector:
        """Return the selector of a client that may see the tasks of a limit."""
        return HoldSelector(
            tags=frozenset(self.tags),
            name_prefix=self.name_prefix,
            queues=frozenset(self.queues),
            limit=limit,
        )


class HoldIn(RequestModel):
    """A hold. A response of `GET` can be sent back: fields of the service are ignored."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    name: Name | None = Field(
        None, description="As in the path; can be left out.", examples=["deploy"]
    )
    selector: HoldSelectorIn = Field(description="The tasks that are held.")
    timezone: Timezone | None = Field(
        None,
        description="The zone of a `from` or `until` without an offset; it is not kept.",
        examples=["Europe/Berlin"],
    )
    starts_at: _Time | None = Field(
        None,
        alias="from",
        description=f"{_HOW}. Left out: now, or, of a hold that there is already, as it was.",
        examples=["2026-12-24"],
    )
    ends_at: _Time | None = Field(
        None,
        alias="until",
        description=f"{_HOW}, which is held to its end. Null: until the hold is deleted.",
        examples=["2026-12-26"],
    )
    reason: Annotated[str, StringConstraints(max_length=1_000)] | None = Field(
        None,
        description="Why; `explain` shows it for each task.",
        examples=["the database moves"],
    )
    fire_times: HeldFireTimes = Field(
        HeldFireTimes.SKIP,
        description="How the fire times within it are treated: `skip`: skipped runs with the reason `held`; "
        "`catch_up`: once it has ended they were missed, and the `misfire_policy` of each task decides which run.",
        examples=["skip"],
    )

    @model_validator(mode="before")
    @classmethod
    def _ignore_fields_of_the_service(cls, body: Any) -> Any:
        return without(body, _SERVICE_FIELDS)

    @field_validator("starts_at", "ends_at")
    @classmethod
    def _is_a_time(cls, given: str | None, info: ValidationInfo) -> str | None:
        # Without `timezone` among the data, its own fault is reported already.
        if given is not None and "timezone" in info.data:
            _read(given, info.data["timezone"])
        return given

    @property
    def starts(self) -> datetime | None:
        """When it starts; None: now, or as before."""
        return None if self.starts_at is None else _read(self.starts_at, self.timezone).start

    @property
    def ends(self) -> datetime | None:
        """When it ends: of a date, when the next day begins."""
        return None if self.ends_at is None else _read(self.ends_at, self.timezone).end


def _read(given: str, timezone: str | None) -> RequestedTime:
    if timezone is None:
        try:
            at = parse_instant(given)
        except PydanticCustomError as error:
            detail = f"{error.message()}; a date or a local time needs 'timezone'"
            raise PydanticCustomError("instant", "{detail}", {"detail": detail}) from None
        return RequestedTime(at, at)
    try:
        return parse_requested_time(given, timezone)
    except Unplannable as error:
        raise PydanticCustomError("instant", "{detail}", {"detail": error.detail}) from None
