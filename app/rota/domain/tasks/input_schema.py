"""Inputs of handlers, checked against the JSON Schema that a handler has announced."""

from collections.abc import Mapping
from typing import Any

from rota.domain.json_schema.compiled import (
    JsonSchema,
    TooManyStepsError,
    UnusableSchemaError,
    compiled,
)
from rota.domain.primitives import json_text
from rota.errors import Fault

# So many steps (some 2 ms) are taken wherever an input is met.
_FEW = 20_000


def compile_schema(schema: Mapping[str, Any]) -> JsonSchema:
    """Return what `input_faults` checks with. Raises UnusableSchemaError, also for one that reads from elsewhere."""
    return compiled(json_text.canonical(schema), masked=False)


def usable_schema(schema: Mapping[str, Any]) -> JsonSchema | Fault:
    """The same, but return what is wrong with a schema that is none, for whoever registers a task."""
    try:
        return compile_schema(schema)
    except UnusableSchemaError as error:
        at = f" at {error.pointer}" if error.pointer else ""
        return Fault("/handler", f"the handler's input schema is not usable{at}: {error.detail}")


def input_faults(validator: JsonSchema, input: Any) -> list[Fault]:
    """Return what a handler does not take of an input, with pointers below `/input`; at most 20 faults."""
    try:
        found = validator.misfits(input)
    except TooManyStepsError as error:
        return [Fault("/input", str(error))]
    return [Fault(f"/input{each.pointer}", each.detail) for each in found]


def takes_long(validator: JsonSchema, input: Any) -> bool:
    """Tell whether it is worth a thread to check an input."""
    return validator.weights.steps(input) > _FEW
