"""Registrations by runs: they are committed with the success of the run, or not at all."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rota.domain.access.names import UNLIMITED, NameLimit
from rota.domain.kv.operations import SetOnce
from rota.domain.primitives.json import json_text
from rota.domain.primitives.texts.names import Name
from rota.domain.tasks.definition import OnConflict, TaskDefinition
from rota.domain.tasks.seeds import Seeds, from_operations, to_operations
from rota.domain.validation.faults import faults_in
from rota.errors import AppError

_Model = TypeVar("_Model", bound=BaseModel)

#: How many tasks one run may register, and how many bytes of JSON they may have in all.
MOST_REGISTRATIONS = 100
MOST_BYTES = 1_048_576


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRegistration:
    """A task to be registered; fields of the definition that were not given count as not set."""

    name: str
    definition: TaskDefinition
    on_conflict: OnConflict = OnConflict.UPDATE
    paused: bool = False
    seeds: tuple[SetOnce, ...] = ()
    #: The tasks that whoever registers it may see: no error or warning names another one.
    limit: NameLimit = UNLIMITED


class _Given(BaseModel):
    """The fields of a registration beside the definition."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    on_conflict: OnConflict = OnConflict.UPDATE
    paused: Annotated[bool, Field(strict=True)] = False
    kv: Seeds = Field(default_factory=dict)


def read_registration(document: Mapping[str, Any]) -> TaskRegistration:
    """Return the registration in a JSON object: fields of the task, and `name`, `on_conflict`, `paused`, `kv`.

    Raises ValueError with a JSON pointer (RFC 6901) and a suggestion.
    """
    own = {name: value for name, value in document.items() if name in _Given.model_fields}
    fields = {name: value for name, value in document.items() if name not in own}
    given = _validated(_Given, own)
    definition = _validated(TaskDefinition, fields)
    _check_json(definition.input)
    return TaskRegistration(
        name=given.name,
        definition=definition,
        on_conflict=given.on_conflict,
        paused=given.paused,
        seeds=_seeds(given.kv),
    )


def write_registration(made: TaskRegistration) -> dict[str, Any]:
    """Return what `read_registration` reads."""
    return {
        **made.definition.model_dump(mode="json", exclude_unset=True),
        "name": made.name,
        "on_conflict": str(made.on_conflict),
        "paused": made.paused,
        "kv": from_operations(made.seeds),
    }


def size_of(made: TaskRegistration) -> int:
    """Return how many bytes of JSON a registration has."""
    return len(json_text.render(write_registration(made)).encode())


def _check_json(input: Any) -> None:
    try:
        json_text.dumps(input)
    except AppError as error:
        raise ValueError(f"/input: {error.detail}") from None


def _seeds(given: Mapping[str, Any]) -> tuple[SetOnce, ...]:
    try:
        return to_operations(given)
    except AppError as error:
        raise ValueError(error.detail) from None


def _validated(model: type[_Model], document: Mapping[str, Any]) -> _Model:
    try:
        return model.model_validate(document)
    except ValidationError as error:
        schema = model.__pydantic_core_schema__
        faults = faults_in(error, document, schema, model.model_validate)
        raise ValueError(f"{faults[0].pointer or 'The task'}: {faults[0].detail}") from None
