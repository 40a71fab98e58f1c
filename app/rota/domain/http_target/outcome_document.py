"""Outcome documents: the JSON with which the target of the `http` handler reports an outcome (API.md, section 5)."""

from datetime import timedelta
from typing import Annotated, Any, Final, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from rota.domain.kv.operation_requests import OperationIn
from rota.domain.primitives.json import json_text
from rota.domain.primitives.times.durations import Duration
from rota.domain.validation.faults import faults_in
from rota.errors import Invalid

#: As many as a transaction may have (API.md, section 4).
MOST_OPERATIONS = 1_000
#: A target that asks for more, with `Retry-After` or `retry.after`, gets this: it may be wrong, or hostile.
LONGEST_WAIT: Final = timedelta(days=1)


def _bounded(wait: timedelta) -> timedelta:
    return min(wait, LONGEST_WAIT)


class RetryIn(BaseModel):
    """Another attempt, `after` a while of a day at most, or when the task's `retry` says."""

    model_config = ConfigDict(extra="forbid")

    after: Annotated[Duration, AfterValidator(_bounded)] | None = Field(
        None,
        description="At most a day; a longer time is shortened. Null: as the task's `retry` says.",
        examples=[30],
    )
    reason: str = Field("the target asked for another attempt", examples=["rate limited"])


class FailIn(BaseModel):
    """No other attempt: the run has failed."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(
        "the target said that trying again is of no use", examples=["no such customer"]
    )


class OutcomeIn(BaseModel):
    """What an attempt comes to: a result with writes to the task's kv, another attempt, or the end of the run."""

    model_config = ConfigDict(extra="forbid")

    result: Any = Field(None, description="Any JSON: the result of the run.", examples=[{"new": 3}])
    kv: list[OperationIn] = Field(
        default_factory=list,
        max_length=MOST_OPERATIONS,
        description="Operations on the task's kv, which commit with the success.",
        examples=[[{"op": "set", "key": "cursor", "value": "8812"}]],
    )
    retry: RetryIn | None = Field(None, description="Another attempt; it stands alone.")
    fail: FailIn | None = Field(None, description="No other attempt; it stands alone.")

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if (self.retry or self.fail) and len(self.model_fields_set) > 1:
            raise PydanticCustomError("outcome", "'retry' and 'fail' stand alone")
        return self


def read_outcome(document: bytes) -> OutcomeIn:
    """Return the outcome in a document. Raises TooLarge, or Invalid with the pointer (`/kv/1/by`) of the fault."""
    value = json_text.loads(document, json_text.MOST_VALUES)
    try:
        return OutcomeIn.model_validate(value)
    except ValidationError as error:
        schema = OutcomeIn.__pydantic_core_schema__
        faults = faults_in(error, value, schema, OutcomeIn.model_validate)
        first = faults[0]
        raise Invalid(
            f"{first.pointer or 'the document'}: {first.detail}", *faults, omitted=faults.omitted
        ) from None
