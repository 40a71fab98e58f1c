"""Request models of secrets."""

from datetime import timedelta
from typing import Annotated, Any

from pydantic import (
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from rota.api.http.request_model import RequestModel, without
from rota.domain.primitives.times.durations import Duration
from rota.domain.secrets.names import SecretName, TaskPatterns
from rota.domain.secrets.origins import Origins
from rota.domain.secrets.values import LONGEST, SHORTEST, SecretValue

LONGEST_OVERLAP = timedelta(days=30)
_DEFAULT_OVERLAP = timedelta(days=1)
_VALUE = f"The secret: {SHORTEST} to {LONGEST:,} characters on one line. It is stored encrypted and never returned."
_OF_THE_VALUE = {"minLength": SHORTEST, "maxLength": LONGEST}

_SERVICE_FIELDS = frozenset(
    {"source", "version", "previous_until", "rotated_at", "created_at", "updated_at", "updated_by"}
)


class SecretIn(RequestModel):
    """A secret, and what it is bound to. A response of `GET` can be sent back: fields of the service are ignored."""

    model_config = ConfigDict(
        hide_input_in_errors=True,
        json_schema_extra={
            "examples": [{"value": "sk_live_51Nx…", "origins": ["https://api.example.com"]}]
        },
    )

    name: SecretName | None = Field(None, description="As in the path; can be left out.")
    value: SecretValue | None = Field(
        None,
        description=f"{_VALUE} Left out, the present value stays; it is needed for a new secret, and to permit more "
        "servers or tasks than before.",
        examples=["sk_live_51Nx…"],
        json_schema_extra={"writeOnly": True, **_OF_THE_VALUE},
    )
    origins: Origins = Field(
        description="The servers that it may be sent to: scheme, host and port. http only for this machine.",
        examples=[["https://api.example.com"]],
    )
    tasks: TaskPatterns = Field(
        ("*",),
        description="The names of tasks that may send it, or beginnings of names with a `*` behind.",
        examples=[["billing-*"]],
    )
    description: Annotated[str, StringConstraints(max_length=1_000)] | None = Field(
        None, description="What it is for. It is shown.", examples=["The key of our CRM"]
    )

    @model_validator(mode="before")
    @classmethod
    def _ignore_fields_of_the_service(cls, body: Any) -> Any:
        return without(body, _SERVICE_FIELDS)

    @field_validator("origins", "tasks")
    @classmethod
    def _each_once(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(given))


class RotateIn(RequestModel):
    """The next value of a secret."""

    model_config = ConfigDict(
        hide_input_in_errors=True,
        json_schema_extra={"examples": [{"value": "sk_live_77Qb…", "overlap": "24h"}]},
    )

    value: SecretValue = Field(
        description=_VALUE,
        examples=["sk_live_77Qb…"],
        json_schema_extra={"writeOnly": True, **_OF_THE_VALUE},
    )
    overlap: Duration = Field(
        _DEFAULT_OVERLAP,
        description="How long the value before stays valid: requests are signed with both. At most 30 days; 0: not at "
        "all.",
        examples=["24h"],
    )

    @field_validator("overlap", mode="wrap")
    @classmethod
    def _is_bounded(cls, given: Any, read: ValidatorFunctionWrapHandler) -> timedelta:
        try:
            overlap: timedelta = read(given)
        except ValidationError:
            # What was given is not quoted: it may be a value in the wrong place.
            message = "give a duration such as '24h', 'PT24H' or 86400"
            raise PydanticCustomError("overlap", "{message}", {"message": message}) from None
        if overlap > LONGEST_OVERLAP:
            raise PydanticCustomError("overlap", "the longest overlap is 30 days")
        return overlap
