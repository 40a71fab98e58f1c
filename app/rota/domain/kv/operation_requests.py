"""Operations on kv entries as clients, and replies to the `http` handler, spell them: JSON with an `op` field."""

from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)
from pydantic_core import PydanticCustomError

from rota.domain.kv.entries import encode
from rota.domain.kv.operations import Append, Check, Delete, Expire, Increment, Max, Set, SetOnce
from rota.domain.primitives.times.durations import Duration


def _some_time(ttl: timedelta | None) -> timedelta | None:
    if ttl is not None and not ttl:
        raise PydanticCustomError(
            "ttl", "give a duration above 0, or null to keep the entry for good"
        )
    return ttl


Ttl = Annotated[Duration | None, AfterValidator(_some_time)]


class _OperationIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    key: str = Field(examples=["cursor"])


class SetIn(_OperationIn):
    """Write a value."""

    op: Literal["set"]
    value: Any
    ttl: Ttl = None

    def operation(self, limit: int) -> Set:
        """Return what it asks for; `limit` is how many bytes a value may have. Raises TooLarge."""
        return Set(self.key, encode(self.key, self.value, limit), self.ttl)


class SetOnceIn(_OperationIn):
    """Write a value if there is none."""

    op: Literal["set_once"]
    value: Any
    ttl: Ttl = None

    def operation(self, limit: int) -> SetOnce:
        """Return what it asks for; `limit` is how many bytes a value may have. Raises TooLarge."""
        return SetOnce(self.key, encode(self.key, self.value, limit), self.ttl)


class DeleteIn(_OperationIn):
    """Remove the entry, if it is there."""

    op: Literal["delete"]

    def operation(self, limit: int) -> Delete:
        """Return what it asks for; `limit` is how many bytes a value may have. Raises TooLarge."""
        return Delete(self.key)


class IncrementIn(_OperationIn):
    """Add to a number; no entry counts as 0."""

    op: Literal["increment"]
    by: StrictInt | StrictFloat = 1

    def operation(self, limit: int) -> Increment:
        """Return what it asks for; `limit` is how many bytes a value may have. Raises TooLarge."""
        return Increment(self.key, self.by)


class AppendIn(_OperationIn):
    """Add an item to a list, of which the last `max_length` are kept; no entry counts as an empty list."""

    op: Literal["append"]
    value: Any
    max_length: int | None = Field(None, strict=True, ge=1, le=100_000)

    def operation(self, limit: int) -> Append:
        """Return what it asks for; `limit` is how many bytes a value may have. Raises TooLarge."""
        return Append(self.key, encode(self.key, self.value, limit), self.max_length)


class MaxIn(_OperationIn):
    """Write a number or a text if it is greater than the present one."""

    op: Literal["max"]
    value: StrictInt | StrictFloat | StrictStr

    def operation(self, limit: int) -> Max:
        """Return what it asks for; `limit` is how many bytes a value may have. Raises TooLarge."""
        return Max(self.key, encode(self.key, self.value, limit))


class ExpireIn(_OperationIn):
    """Have an entry expire, or (`ttl` null) never."""

    op: Literal["expire"]
    ttl: Ttl

    def operation(self, limit: int) -> Expire:
        """Return what it asks for; `limit` is how many bytes a value may have. Raises TooLarge."""
        return Expire(self.key, self.ttl)


class CheckIn(_OperationIn):
    """Fail unless the entry has this version, or this value, or (`absent`) is not there: one of the three."""

    op: Literal["check"]
    version: int | None = Field(None, strict=True, ge=1)
    value: Any = None
    absent: Literal[True] | None = None

    @model_validator(mode="after")
    def _one_of_three(self) -> Self:
        if len({"version", "value", "absent"} & self.model_fields_set) != 1:
            raise PydanticCustomError("check", "give one of 'version', 'value' and 'absent'")
        return self

    def operation(self, limit: int) -> Check:
        """Return what it asks for; `limit` is how many bytes a value may have. Raises TooLarge."""
        value = encode(self.key, self.value, limit) if "value" in self.model_fields_set else None
        return Check(self.key, self.version, value)


OperationIn = Annotated[
    SetIn | SetOnceIn | DeleteIn | IncrementIn | AppendIn | MaxIn | ExpireIn | CheckIn,
    Field(discriminator="op"),
]
