"""Checks of inputs against the JSON Schemas of handlers."""

from collections.abc import Mapping
from typing import Any

from rota.domain.json_schema.compiled import (
    JsonSchema,
    TooManyStepsError,
    UnusableSchemaError,
    compiled,
)
from rota.domain.primitives.json import json_text
from rota.errors import Fault

# Checks of up to so many steps (about 2 ms) are made in the calling thread.
_FEW = 20_000


def compile_schema(schema: Mapping[str, Any]) -> JsonSchema:
    """Return the compiled schema for `input_faults`; raises UnusableSchemaError, also for external references."""
    return compiled(json_text.canonical(schema), masked=False)


def usable_schema(schema: Mapping[str, Any]) -> JsonSchema | Fault:
    """Return the compiled schema, or the fault for the client if it is not usable."""
    try:
        return compile_schema(schema)
    except UnusableSchemaError as error:
        at = f" at {error.pointer}" if error.pointer else ""
        return Fault("/handler", f"the handler's input schema is not usable{at}: {error.detail}")


def input_faults(validator: JsonSchema, input: Any) -> list[Fault]:
    """Return the faults of an input, with pointers below `/input`; at most 20."""
    try:
        found = validator.misfits(input)
    except TooManyStepsError as error:
        return [Fault("/input", str(error))]
    return [Fault(f"/input{each.pointer}", each.detail) for each in found]


def takes_long(validator: JsonSchema, input: Any) -> bool:
    """Return whether a check takes so long that it is made in a thread."""
    return validator.weights.steps(input) > _FEW
