"""Compiled JSON Schemas: their cost is bounded when they are declared, and when a value is checked.

Nothing is read from outside: a `$ref` that leads out of the schema is refused. A value is first checked, and only then
are faults collected, of a large value only the first one: collecting the messages of each branch of each `anyOf` for
each item would take gigabytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import jsonschema_rs

from rota.domain.json_schema.weight import MOST_STEPS, TooHeavyError, Weights
from rota.domain.primitives.bounded_cache import BoundedCache
from rota.domain.primitives.json import json_text
from rota.domain.primitives.json.json_text import pointer_to
from rota.errors import AppError

_MOST_FAULTS = 20
# With so many steps all faults are collected: each may come with as many others.
_COLLECTED = 2_000
_MOST_WORDS = 500
_MOST_POINTER = 1_000
# What one character of a pattern needs, compiled, beside one of the schema's text.
_OF_PATTERN = 10
_VALUES = frozenset(["const", "enum", "default", "examples", "dependentRequired"])
_BRANCHES = ("anyOf", "oneOf")


class UnusableSchemaError(ValueError):
    """It is no JSON Schema, reaches out of itself, or takes too much; `pointer` says where in it."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(detail)
        self.pointer = pointer
        self.detail = detail


class TooManyStepsError(ValueError):
    """A value and a schema are too large together to be checked."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why a value does not fit: `pointer` into it, for who sent it; `reason` says nothing of what it holds."""

    pointer: str
    detail: str
    reason: str


class JsonSchema:
    """One schema, compiled."""

    def __init__(self, text: str, *, masked: bool) -> None:
        """Take canonical JSON; raises UnusableSchemaError.

        `masked`: messages do not show the value, and patterns take linear time.
        """
        schema = json_text.loads(text)
        self.text = text
        self._masked = masked
        self.weights = _weighed(schema)
        self._validator = _validator(schema, masked=masked)

    def misfits(self, value: Any, steps: int | None = None) -> Sequence[Misfit]:
        """Return why a value does not fit, at most 20 faults; of a large value the first. Raises TooManyStepsError.

        `steps`: how many it takes at most, where that is known.
        """
        steps = self.weights.steps(value) if steps is None else steps
        if steps > MOST_STEPS:
            raise TooManyStepsError(
                f"it is too large for the schema: to check it would take more than {MOST_STEPS:,} steps"
            )
        if self._validator.is_valid(value):
            return ()
        if steps <= _COLLECTED:
            errors = self._validator.iter_errors(value)
            return [_to_misfit(error) for error in islice(errors, _MOST_FAULTS)]
        return (self._first(value),)

    def _first(self, value: Any) -> Misfit:
        """Return the first fault of a value of which one is known."""
        terse = _terse_validator(json_text.loads(self.text), masked=self._masked)
        if terse is not None:
            try:
                terse.validate(value)
            except jsonschema_rs.ValidationError as error:
                return _to_misfit(error)
        return Misfit("", "it does not fit the schema", "it does not fit the schema")


_COMPILED: Final = BoundedCache[JsonSchema]()


def compiled(text: str, *, masked: bool) -> JsonSchema:
    """Return a schema (as canonical JSON) to check with; raises UnusableSchemaError."""
    key = (masked, text)
    found: JsonSchema | None = _COMPILED.get(key)
    if found is None:
        found = JsonSchema(text, masked=masked)
        _COMPILED.put(key, found, size_of(text, found))
    return found


def is_compiled(text: str, *, masked: bool) -> bool:
    """Return whether a schema is in the cache."""
    return _COMPILED.get((masked, text)) is not None


def size_of(text: str, schema: JsonSchema) -> int:
    """Return as how many bytes of text a compiled schema counts."""
    return len(text) + _OF_PATTERN * schema.weights.patterns


def _weighed(schema: Any) -> Weights:
    try:
        return Weights(schema)
    except TooHeavyError as error:
        raise UnusableSchemaError(error.pointer, error.detail) from None


def _validator(schema: Any, *, masked: bool) -> Any:
    options: dict[str, Any] = {"validate_formats": True, "offline": True}
    if masked:
        options |= {"mask": "the value", "pattern_options": jsonschema_rs.RegexOptions()}
    try:
        return jsonschema_rs.validator_for(schema, **options)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
        path = pointer_to(getattr(error, "instance_path", ()))
        why = str(getattr(error, "message", error)).partition("\n")[0][:300]
        raise UnusableSchemaError(path, why) from None
    except (AppError, ValueError) as error:
        raise UnusableSchemaError("", str(error)[:300]) from None


def _terse_validator(schema: Any, *, masked: bool) -> Any:
    """Return a validator that finds the same, and says nothing of the branches of `anyOf` and `oneOf`; None if none.

    Branches are put inside a double `not`. That hides from `unevaluatedProperties` what the branches have evaluated, so
    there is no such validator for a schema with those.
    """
    if "unevaluated" in json_text.render(schema):
        return None
    try:
        return _validator(_terse(schema), masked=masked)
    except UnusableSchemaError:  # a `$ref` leads into a branch
        return None


def _terse(value: Any) -> Any:
    if isinstance(value, list):
        return [_terse(item) for item in value]
    if not isinstance(value, dict):
        return value
    branches = [keyword for keyword in _BRANCHES if _are_branches(value.get(keyword))]
    made = {
        name: item if name in _VALUES else _terse(item)
        for name, item in value.items()
        if name not in branches
    }
    if branches:
        hidden = [{"not": {"not": {keyword: value[keyword]}}} for keyword in branches]
        made["allOf"] = [*made.get("allOf", []), *hidden]
    return made


def _are_branches(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, (dict, bool)) for each in value)


# Whose messages name fields of the value.
_REVEALING = {
    "additionalProperties": "it has fields that are not allowed",
    "unevaluatedProperties": "it has fields that are not allowed",
    "propertyNames": "it has a field whose name is not allowed",
}


def _to_misfit(error: Any) -> Misfit:
    pointer, where = pointer_to(error.instance_path), pointer_to(error.schema_path)
    if len(pointer) > _MOST_POINTER:  # a key may be as long as the value that it is in
        pointer = pointer[:_MOST_POINTER].rpartition("/")[0]
    message: str = _of_branches(error) or error.message
    reason = _REVEALING.get(error.kind.name, message[:300])
    return Misfit(pointer, message[:_MOST_WORDS], f"{reason} (schema: {where or '/'})")


def _of_branches(error: Any) -> str | None:
    """Return what is wrong where a `not` is in place of the branches of another keyword."""
    hidden = getattr(error.kind, "schema", None) if error.kind.name == "not" else None
    inner = hidden.get("not") if isinstance(hidden, dict) else None
    if not isinstance(inner, dict) or len(inner) != 1 or next(iter(inner)) not in _BRANCHES:
        return None
    if "anyOf" in inner:
        return "the value is not valid under any of the schemas listed in the 'anyOf' keyword"
    return "the value is valid under none, or more than one, of the schemas listed in the 'oneOf' keyword"
