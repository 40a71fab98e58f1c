"""Constraints: what must hold before a run of a task may start."""

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StrictFloat,
    StrictInt,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from rota.domain.constraints.base import NAME, BaseConstraint, ConstraintName, is_none
from rota.domain.constraints.kv import Kv
from rota.domain.constraints.workmanager import refuse_workmanager
from rota.domain.hosts.spelling import fault_of, fault_of_host
from rota.domain.primitives.bounds import STORED, is_stored
from rota.domain.primitives.byte_sizes import Bytes
from rota.domain.primitives.texts.urls import has_credentials, is_http_url
from rota.domain.time_zones.zone import check_zone

MOST_CONSTRAINTS = 16
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = get_args(Day)
_TIME = r"([01]\d|2[0-3]):[0-5]\d"
_MINUTES = 60


def _refuse(fault: str | None) -> None:
    if fault is not None:
        raise PydanticCustomError("url", "{fault}", {"fault": fault})


class Reachable(BaseConstraint):
    """Something answers on the network: a port takes a connection, or a URL answers with a status below 500."""

    type: Literal["reachable"]
    name: ConstraintName = Field("reachable", description=NAME)
    host: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,253}$")] | None = Field(
        None,
        exclude_if=is_none,
        description="A name or an address; with `port`.",
        examples=["db.example.com"],
    )
    port: int | None = Field(
        None, exclude_if=is_none, strict=True, ge=1, le=65_535, examples=[5432]
    )
    url: str | None = Field(
        None,
        exclude_if=is_none,
        max_length=8_000,
        description="Asked with GET; redirects are not followed.",
        examples=["https://app.example.com/healthz"],
    )

    @field_validator("host")
    @classmethod
    def _is_written_plainly(cls, host: str | None, info: ValidationInfo) -> str | None:
        _refuse(None if host is None or is_stored(info) else fault_of(host))
        return host

    @field_validator("url")
    @classmethod
    def _can_be_asked(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url is not None and (not is_http_url(url) or has_credentials(url)):
            raise PydanticCustomError(
                "url",
                "give an absolute http or https URL without credentials, such as 'https://app.example.com/healthz'",
            )
        _refuse(None if url is None or is_stored(info) else fault_of_host(url))
        return url

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        missing = {self.host is None, self.port is None}
        if missing != {self.url is not None}:
            raise PydanticCustomError("reachable", "give either 'host' and 'port', or 'url'")
        return self


class MinFreeDisk(BaseConstraint):
    """A disk has so much room left for the service."""

    type: Literal["min_free_disk"]
    name: ConstraintName = Field("min_free_disk", description=NAME)
    bytes: Bytes
    path: Annotated[str, StringConstraints(min_length=1, max_length=4_096)] = Field(
        ".",
        description="Any path on that disk, as the service sees it; its working directory if left out.",
        examples=["/data"],
    )


class MaxLoad(BaseConstraint):
    """The machine is not busy: its load average of one minute, per processor, is not above `load`."""

    type: Literal["max_load"]
    name: ConstraintName = Field("max_load", description=NAME)
    load: StrictInt | StrictFloat = Field(
        gt=0, le=1_000, description="1 means as much work as there are processors.", examples=[0.7]
    )


class Window(BaseConstraint):
    """The local time of a zone lies from `from` until just before `to`."""

    type: Literal["window"]
    name: ConstraintName = Field("window", description=NAME)
    days: tuple[Day, ...] = Field(
        DAYS, min_length=1, max_length=70, description="The days on which it opens."
    )
    opens: str = Field(
        "00:00", alias="from", pattern=rf"^{_TIME}$", description="Local time.", examples=["08:00"]
    )
    closes: str = Field(
        "24:00",
        alias="to",
        pattern=rf"^({_TIME}|24:00)$",
        description="Local time; one before `from` is on the day after.",
        examples=["18:00"],
    )
    timezone: str = Field("UTC", description="IANA name.", examples=["Europe/Berlin"])

    @field_validator("days")
    @classmethod
    def _each_day_once(cls, days: tuple[Day, ...]) -> tuple[Day, ...]:
        return tuple(day for day in DAYS if day in days)

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, name: str, info: ValidationInfo) -> str:
        # What is stored was checked once: a zone that the system no longer knows keeps the window shut, not unreadable.
        if info.context == STORED:
            return name
        try:
            return check_zone(name)
        except ValueError as error:
            raise PydanticCustomError("timezone", "{reason}", {"reason": str(error)}) from None

    @model_validator(mode="after")
    def _has_length(self) -> Self:
        if self.opens == self.closes:
            raise PydanticCustomError(
                "window", "'from' and 'to' are the same; leave both out for the whole day"
            )
        return self

    @property
    def span(self) -> tuple[int, int]:
        """The minutes of the day at which it opens and closes."""
        return _minutes(self.opens), _minutes(self.closes)


def _refuse_mobile_set(value: Any) -> Any:
    """WorkManager's constraints are one object; ours are a list."""
    return refuse_workmanager(value) if isinstance(value, dict) else value


def _distinct(constraints: tuple[Any, ...]) -> tuple[Any, ...]:
    names = [each.name for each in constraints]
    for index, name in enumerate(names):
        if name in names[:index]:
            message = PydanticCustomError(
                "constraint_name",
                "another constraint is called '{name}'; give this one a 'name' of its own",
                {"name": name},
            )
            fault = InitErrorDetails(type=message, loc=(index, "name"), input=name)
            raise ValidationError.from_exception_data("constraints", [fault])
    return constraints


Constraint = Reachable | MinFreeDisk | MaxLoad | Window | Kv
#: All of them must be met. A JSON list of at most 16, discriminated by `type`.
Constraints = Annotated[
    tuple[
        Annotated[
            Annotated[Constraint, Field(discriminator="type")], BeforeValidator(refuse_workmanager)
        ],
        ...,
    ],
    Field(max_length=MOST_CONSTRAINTS),
    BeforeValidator(_refuse_mobile_set),
    AfterValidator(_distinct),
]


def _minutes(time: str) -> int:
    hour, minute = time.split(":")
    return int(hour) * _MINUTES + int(minute)
