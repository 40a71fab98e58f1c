"""Constraints: what must hold before a run of a task may start."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from rota.domain.constraints.workmanager import refuse_workmanager
from rota.domain.hosts.spelling import fault_of, fault_of_host
from rota.domain.primitives.bounds import STORED, is_stored
from rota.domain.primitives.byte_sizes import Bytes
from rota.domain.primitives.durations import Duration
from rota.domain.primitives.names import READABLE_KEY_PATTERN, Name
from rota.domain.primitives.unset import UNSET
from rota.domain.primitives.urls import has_credentials, is_http_url
from rota.domain.time_zones.zone import check_zone

MOST_CONSTRAINTS = 16
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = get_args(Day)
#: What a run waits for until its constraints have been evaluated; no constraint can have this name.
PENDING = "pending"

_TIME = r"([01]\d|2[0-3]):[0-5]\d"
_MINUTES = 60


def _is_unset(value: Any) -> bool:
    return value is UNSET


def _is_none(value: Any) -> bool:
    return value is None


def _check_name(name: str) -> str:
    if name == PENDING:
        raise PydanticCustomError(
            "name",
            "'pending' stands for constraints that have not been checked yet; choose another name",
        )
    return name


ConstraintName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._~-]{0,63}$"),
    AfterValidator(_check_name),
]
_NAME = "Shown in `waiting_on` as `constraint:<name>`; distinct within a task."
_DEADLINE = (
    "A run that has not started is skipped (`constraint_deadline`) if this is not met so long after its "
    "`scheduled_for`, or after it was made if that was later. Without it the run waits without end."
)


class _Constraint(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)

    deadline: Duration | None = Field(None, description=_DEADLINE, examples=["30m"])


def _refuse(fault: str | None) -> None:
    if fault is not None:
        raise PydanticCustomError("url", "{fault}", {"fault": fault})


class Reachable(_Constraint):
    """Something answers on the network: a port takes a connection, or a URL answers with a status below 500."""

    type: Literal["reachable"]
    name: ConstraintName = Field("reachable", description=_NAME)
    host: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,253}$")] | None = Field(
        None,
        exclude_if=_is_none,
        description="A name or an address; with `port`.",
        examples=["db.example.com"],
    )
    port: int | None = Field(
        None, exclude_if=_is_none, strict=True, ge=1, le=65_535, examples=[5432]
    )
    url: str | None = Field(
        None,
        exclude_if=_is_none,
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


class MinFreeDisk(_Constraint):
    """A disk has so much room left for the service."""

    type: Literal["min_free_disk"]
    name: ConstraintName = Field("min_free_disk", description=_NAME)
    bytes: Bytes
    path: Annotated[str, StringConstraints(min_length=1, max_length=4_096)] = Field(
        ".",
        description="Any path on that disk, as the service sees it; its working directory if left out.",
        examples=["/data"],
    )


class MaxLoad(_Constraint):
    """The machine is not busy: its load average of one minute, per processor, is not above `load`."""

    type: Literal["max_load"]
    name: ConstraintName = Field("max_load", description=_NAME)
    load: StrictInt | StrictFloat = Field(
        gt=0, le=1_000, description="1 means as much work as there are processors.", examples=[0.7]
    )


class Window(_Constraint):
    """The local time of a zone lies from `from` until just before `to`."""

    type: Literal["window"]
    name: ConstraintName = Field("window", description=_NAME)
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


_Bound = Annotated[
    StrictInt | StrictFloat | StrictStr | None,
    Field(
        None,
        exclude_if=_is_none,
        description="Numbers are compared with numbers, texts with texts.",
    ),
]
#: Members of `kv` of which exactly one is given.
Predicate = Literal[
    "exists", "equals", "not_equals", "less_than", "at_most", "greater_than", "at_least"
]
_PREDICATES: tuple[Predicate, ...] = get_args(Predicate)
_ANY_JSON = ("equals", "not_equals")


class Kv(_Constraint):
    """An entry of a task's key-value table is as one predicate says."""

    type: Literal["kv"]
    name: ConstraintName = Field("kv", description=_NAME)
    task: Name | None = Field(
        None,
        exclude_if=_is_none,
        description="Whose entry; this task's if left out. It need not be there yet.",
    )
    key: Annotated[str, StringConstraints(pattern=READABLE_KEY_PATTERN)] = Field(
        description="Rota's own can be read as well: `_result` is the last successful result.",
        examples=["ready"],
    )
    exists: StrictBool | None = Field(None, exclude_if=_is_none)
    equals: Any = Field(
        default_factory=lambda: UNSET,
        exclude_if=_is_unset,
        description="Any JSON, null as well.",
        examples=[True],
    )
    not_equals: Any = Field(
        default_factory=lambda: UNSET,
        exclude_if=_is_unset,
        description="Any JSON; met also where there is no entry.",
        examples=["busy"],
    )
    less_than: _Bound
    at_most: _Bound
    greater_than: _Bound
    at_least: _Bound

    @model_validator(mode="after")
    def _one_predicate(self) -> Self:
        if len(list(self._given())) != 1:
            raise PydanticCustomError(
                "kv", "give exactly one of {names}", {"names": ", ".join(_PREDICATES)}
            )
        return self

    @property
    def predicate(self) -> tuple[Predicate, Any]:
        """Which predicate is given, and what it compares with."""
        return next(self._given())

    def _given(self) -> Iterator[tuple[Predicate, Any]]:
        for name in _PREDICATES:
            value = getattr(self, name)
            if value is not (UNSET if name in _ANY_JSON else None):
                yield name, value


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
