"""Requests for bulk verbs on tasks, and the response."""

from typing import Annotated, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from rota.api.http.request_model import RequestModel
from rota.api.tasks.request_models import PauseIn, ResumeIn
from rota.domain.primitives.texts.names import NAME_PREFIX_PATTERN
from rota.domain.tasks.definition import Tag, TaskStatus

#: How many refusals a response shows.
REFUSALS_SHOWN = 10
_MOST_VALUES = 200
_NARROWING = ("tags", "all_tags", "handler", "queue", "name_prefix", "status")
# Handlers of replicas can have other names than tasks.
_AnyName = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class SelectorIn(RequestModel):
    """Which tasks to select. Values of one field are OR-ed, fields are AND-ed."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"tags": ["billing"], "status": ["active"]}]}
    )

    tags: tuple[Tag, ...] = Field(
        (),
        min_length=1,
        max_length=_MOST_VALUES,
        description="Tasks that have one of these tags.",
    )
    all_tags: tuple[Tag, ...] = Field(
        (),
        min_length=1,
        max_length=_MOST_VALUES,
        description="Tasks that have all of these tags.",
    )
    handler: tuple[_AnyName, ...] = Field(
        (),
        min_length=1,
        max_length=_MOST_VALUES,
        description="Tasks that name one of these handlers.",
    )
    queue: tuple[_AnyName, ...] = Field(
        (), min_length=1, max_length=_MOST_VALUES, description="Tasks of one of these queues."
    )
    name_prefix: str = Field(
        "", pattern=NAME_PREFIX_PATTERN, description="Tasks whose names have this prefix."
    )
    status: tuple[TaskStatus, ...] = Field(
        (),
        min_length=1,
        max_length=_MOST_VALUES,
        description="Tasks that have one of these statuses.",
    )
    all: bool = Field(
        False,
        strict=True,
        description="Every task; excludes the other fields.",
    )

    @model_validator(mode="after")
    def _selects(self) -> Self:
        narrows = any(getattr(self, name) for name in _NARROWING)
        if not narrows and not self.all:
            raise PydanticCustomError(
                "selector",
                "select tasks by 'tags', 'all_tags', 'handler', 'queue', 'name_prefix' or 'status'; "
                'for every task send "all": true',
            )
        if narrows and self.all:
            raise PydanticCustomError("selector", '"all": true goes without the other fields')
        return self


class SelectedIn(RequestModel):
    """The tasks that a verb is for."""

    selector: SelectorIn
    dry_run: bool = Field(
        False,
        strict=True,
        description="Return the same response, and change nothing.",
    )


class BulkIn(SelectedIn):
    """The tasks to apply the verb to."""


class BulkPauseIn(SelectedIn, PauseIn):
    """The tasks to pause, and why."""


class BulkResumeIn(SelectedIn, ResumeIn):
    """The tasks to resume, and what to do with the fire times that passed meanwhile."""


class RefusedOut(TypedDict):
    """A task that the verb could not be applied to, and why: the problem that the verb alone would have returned."""

    task: Annotated[str, Field(examples=["invoice-digest"])]
    type: Annotated[str, Field(examples=["/problems/wrong-status"])]
    detail: str


class BulkOut(TypedDict):
    """What was done."""

    matched: Annotated[int, Field(description="Tasks that the selector matched.")]
    changed: Annotated[int, Field(description="Those that the verb changed.")]
    unchanged: Annotated[int, Field(description="Those that needed no change, or were refused.")]
    refused: Annotated[
        list[RefusedOut],
        Field(
            description=f"Those that the verb could not be applied to; the first {REFUSALS_SHOWN}."
        ),
    ]
