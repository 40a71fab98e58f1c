"""Request models of API keys."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import PydanticCustomError

from rota.api.http.request_model import RequestModel
from rota.domain.access.scopes import Scope
from rota.domain.primitives.texts.names import NAME_PATTERN
from rota.domain.primitives.times.durations import Duration
from rota.domain.primitives.times.instants import Instant
from rota.store.access.changes import CreateKey

MOST_NAMES = 100
HIGHEST_RATE = 100_000
HIGHEST_QUOTA = 1_000_000_000
MOST_BYTES = 1_000_000_000_000_000
LONGEST_OVERLAP = timedelta(days=30)
DEFAULT_OVERLAP = timedelta(days=1)
_PREFIX = re.compile(NAME_PATTERN)


def _is_prefix(given: str) -> str:
    if _PREFIX.fullmatch(given) is None:
        meant = f"; leave the '*' out: {given[:-1]!r}" if _PREFIX.fullmatch(given[:-1]) else ""
        raise PydanticCustomError(
            "name_prefix", "{message}", {"message": f"a name cannot begin so{meant}"}
        )
    return given


NamePrefix = Annotated[
    str, AfterValidator(_is_prefix), WithJsonSchema({"type": "string", "pattern": NAME_PATTERN})
]
NamePrefixes = Annotated[tuple[NamePrefix, ...], Field(min_length=1, max_length=MOST_NAMES)]
# Without control characters, which terminals would obey.
KeyName = Annotated[
    str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f-\x9f]+$", min_length=1, max_length=100)
]


_Quota = Annotated[int, Field(ge=1, le=HIGHEST_QUOTA, strict=True)]
_ByteQuota = Annotated[int, Field(ge=1, le=MOST_BYTES, strict=True)]


class KeyIn(RequestModel):
    """What a key is for, and what it may do."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "CI of the billing team",
                    "scopes": ["tasks:write", "tasks:read", "runs:read"],
                    "tasks": ["billing-"],
                    "expires_at": "2027-05-25T08:00:00.000Z",
                }
            ]
        }
    )

    name: KeyName = Field(
        description="Who uses it, or what for. Several keys may have the same name.",
        examples=["CI of the billing team"],
    )
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1, max_length=MOST_NAMES)] = Field(
        description="What it may do; `admin` includes all others, and is what it takes to make keys.",
        examples=[["tasks:write", "tasks:read", "runs:read"]],
    )
    tasks: NamePrefixes | None = Field(
        None,
        description="The beginnings of the names of those tasks that it may see and use: for it there are no others. "
        "Left out, all.",
        examples=[["billing-"]],
    )
    queues: NamePrefixes | None = Field(
        None,
        description="The beginnings of the names of those queues that it may lease runs from, and set. Left out, all.",
        examples=[["mail"]],
    )
    rate: Annotated[float, Field(gt=0, le=HIGHEST_RATE, strict=True)] | None = Field(
        None,
        description="Requests that it may make in a second. Left out, any number.",
        examples=[20],
    )
    max_tasks: _Quota | None = Field(
        None,
        description="How many tasks, neither completed nor cancelled, there may be whose names begin as `tasks` says, "
        "whoever has made them: it adds none beyond. Left out, any number.",
        examples=[500],
    )
    max_unfinished_runs: _Quota | None = Field(
        None,
        description="How many unfinished runs of those tasks there may be, with those that backfills have yet to make: "
        "it requests none beyond. Runs that schedules make count, and are made anyway. Left out, any number.",
        examples=[1_000],
    )
    max_kv_bytes: _ByteQuota | None = Field(
        None,
        description="How many bytes the values of all kv entries of those tasks may have: it writes none beyond. Those "
        "that runs write count, and are written anyway. Left out, any number.",
        examples=[100_000_000],
    )
    expires_at: Instant | None = Field(
        None, description="From when on it is not accepted any more. Left out, it does not expire."
    )

    def command(self, by: str) -> CreateKey:
        """Return the command that makes the key; `by`: who asks for it."""
        return CreateKey(
            name=self.name,
            scopes=self.scopes,
            tasks=self.tasks,
            queues=self.queues,
            rate=self.rate,
            max_tasks=self.max_tasks,
            max_unfinished_runs=self.max_unfinished_runs,
            max_kv_bytes=self.max_kv_bytes,
            expires_at=self.expires_at,
            by=by,
        )

    @field_validator("scopes", "tasks", "queues")
    @classmethod
    def _each_once(cls, given: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if given is None else tuple(dict.fromkeys(given))

    @field_validator("tasks", "queues")
    @classmethod
    def _administrators_have_no_limits(
        cls, given: tuple[str, ...] | None, info: ValidationInfo
    ) -> tuple[str, ...] | None:
        if given is not None and Scope.ADMIN in info.data.get("scopes", ()):
            raise PydanticCustomError(
                "limited_administrator",
                "a key with the scope 'admin' can make others without limits, so it has none itself; leave this out, "
                "or give the scopes that it needs",
            )
        return given


class RotateKeyIn(RequestModel):
    """How a key gets its next secret."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"overlap": "24h"}]})

    overlap: Duration = Field(
        DEFAULT_OVERLAP,
        description="How long the secret before is accepted as well. At most 30 days; 0: not at all.",
        examples=["24h"],
    )
    expires_at: Instant | None = Field(
        None, description="From when on it is not accepted any more. Left out, that stays as it is."
    )

    @field_validator("overlap")
    @classmethod
    def _is_bounded(cls, overlap: timedelta) -> timedelta:
        if overlap > LONGEST_OVERLAP:
            raise PydanticCustomError("overlap", "the longest overlap is 30 days")
        return overlap
