"""Which runs a bulk operation is for."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from rota.domain.primitives.texts.names import Name
from rota.domain.primitives.times.instants import Instant
from rota.domain.runs.status import RunStatus, Trigger
from rota.domain.tasks.definition import MOST_TAGS, Tag

_MOST_VALUES = 200
_Reason = Annotated[str, Field(min_length=1, max_length=32)]
_Error = Annotated[str, Field(min_length=1, max_length=200)]


class RunSelector(BaseModel):
    """Which runs to select. Values of one field are OR-ed, fields are AND-ed."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "tags": ["billing"],
                    "status": ["failed"],
                    "finished_from": "2026-11-25T00:00:00Z",
                }
            ]
        },
    )

    task: tuple[Name, ...] = Field(
        (), min_length=1, max_length=_MOST_VALUES, description="Runs of these tasks."
    )
    tags: tuple[Tag, ...] = Field(
        (),
        min_length=1,
        max_length=_MOST_VALUES,
        description="Runs of tasks that have one of these tags.",
    )
    all_tags: tuple[Tag, ...] = Field(
        (),
        min_length=1,
        max_length=MOST_TAGS,
        description="Runs of tasks that have all of these tags.",
    )
    status: tuple[RunStatus, ...] = Field(
        (), min_length=1, max_length=_MOST_VALUES, description="Runs with one of these statuses."
    )
    reason: tuple[_Reason, ...] = Field(
        (), min_length=1, max_length=_MOST_VALUES, description="Runs with one of these reasons."
    )
    error: tuple[_Error, ...] = Field(
        (),
        min_length=1,
        max_length=20,
        description="Runs whose error has one of these types, or one of these texts in its message; upper and lower "
        "case (of A to Z) are the same in a message.",
        examples=[["http.status", "connection refused"]],
    )
    error_text: _Error | None = Field(
        None,
        description="Runs whose error contains this text, whatever its type; upper and lower case are the same.",
        examples=["connection refused"],
    )
    trigger: tuple[Trigger, ...] = Field(
        (), min_length=1, max_length=_MOST_VALUES, description="Runs with one of these triggers."
    )
    scheduled_from: Instant | None = Field(
        None, description="Runs whose `scheduled_for` is not before this."
    )
    scheduled_to: Instant | None = Field(
        None, description="Runs whose `scheduled_for` is not after this."
    )
    finished_from: Instant | None = Field(None, description="Runs that ended, and not before this.")
    finished_to: Instant | None = Field(None, description="Runs that ended, and not after this.")
    all: bool = Field(False, strict=True, description="Every run; excludes the other fields.")

    @model_validator(mode="after")
    def _selects(self) -> Self:
        narrows = bool(self.model_dump(exclude={"all"}, exclude_defaults=True))
        if not narrows and not self.all:
            raise PydanticCustomError(
                "selector",
                "select runs by their fields, such as 'task' or 'status'; for every run send \"all\": true",
            )
        if narrows and self.all:
            raise PydanticCustomError("selector", '"all": true goes without the other fields')
        self._check_span("scheduled", self.scheduled_from, self.scheduled_to)
        self._check_span("finished", self.finished_from, self.finished_to)
        return self

    @staticmethod
    def _check_span(name: str, first: datetime | None, last: datetime | None) -> None:
        if first is not None and last is not None and first > last:
            raise PydanticCustomError("selector", f"'{name}_from' is not after '{name}_to'")
