"""What the values of a task's kv may be: a JSON Schema for each pattern of keys."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Annotated, Any

import jsonschema_rs
from pydantic import AfterValidator, StrictBool, StringConstraints, ValidationInfo
from pydantic_core import PydanticCustomError

from app.domain import values
from app.domain.operations import JSON_TYPE, Present
from app.domain.rules import STORED
from app.domain.values import escape
from app.errors import AppError, Fault, Invalid

#: A key, or how keys look: `*` stands for any characters, or none.
PATTERN = r"^[A-Za-z0-9*][A-Za-z0-9._:~*-]{0,254}$"
MOST_PATTERNS = 100
#: Of all schemas of a task, as JSON.
MOST_BYTES = 65_536

_MOST_MISFITS = 20
_MEDIA_TYPE = "contentMediaType"
_REMARKS = frozenset(["$schema", "$comment", "title", "description", "examples"])
# Whose messages name members of the value.
_TELLING = {
    "additionalProperties": "it has members that are not allowed",
    "unevaluatedProperties": "it has members that are not allowed",
    "propertyNames": "it has a member whose name is not allowed",
}


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why a value does not fit: `pointer` into it, for who sent it; `reason` says nothing of what it holds."""

    pointer: str
    detail: str
    reason: str


class DoesNotFit(Invalid):
    """The value that an operation would leave under `key` does not fit its schema; the faults lie below `pointer`."""

    slug = "kv-schema"

    def __init__(self, key: str, pointer: str, misfits: Sequence[Misfit]) -> None:
        faults = [Fault(pointer + misfit.pointer, misfit.detail) for misfit in misfits]
        detail = f"the value of {key!r} does not fit the task's kv_schema: {faults[0].detail}"
        super().__init__(f"{faults[0].pointer}: {detail}. Nothing was written.", *faults)
        self.key = key
        self._misfits = misfits

    def moved(self, pointer: str) -> "DoesNotFit":
        """Return it for a request in which the value stands somewhere else."""
        return DoesNotFit(self.key, pointer, self._misfits)


class KvSchema:
    """The schemas of one task, ready to check with."""

    def __init__(self, declared: Mapping[str, Any]) -> None:
        rules = {pattern: _Rule(schema) for pattern, schema in declared.items()}
        self._exact = {key: rule for key, rule in rules.items() if "*" not in key}
        # The most telling pattern first: an order of its own, since JSON objects have none.
        wild = sorted(rules.keys() - self._exact.keys(), key=lambda each: (-_told(each), each))
        self._wild = [(pattern.split("*"), rules[pattern]) for pattern in wild]

    def misfits(self, key: str, value: Present) -> Sequence[Misfit]:
        """Return why a value does not fit the schema of its key; at most 20, none if it fits or there is no schema."""
        rule = self._rule_of(key)
        return () if rule is None else rule.misfits(value)

    def _rule_of(self, key: str) -> "_Rule | None":
        if key in self._exact:
            return self._exact[key]
        return next((rule for parts, rule in self._wild if _matches(parts, key)), None)


class _Rule:
    """One schema."""

    def __init__(self, schema: Any) -> None:
        self._takes_all = schema is True or schema == {}
        self._media_type = _media_type(schema)
        self._validator = _compiled(values.canonical(schema))

    def misfits(self, value: Present) -> Sequence[Misfit]:
        if self._media_type is not None or value.content_type != JSON_TYPE:
            return self._misfits_of_type(value.content_type)
        errors = self._validator.iter_errors(values.loads(value.value))
        return [_to_misfit(error) for error in islice(errors, _MOST_MISFITS)]

    def _misfits_of_type(self, given: str) -> Sequence[Misfit]:
        """Bytes fit a schema that takes everything, or that says which type they are to have."""
        if self._takes_all or self._media_type == _without_parameters(given):
            return ()
        detail = f"its value is {given}, not {self._media_type or JSON_TYPE}"
        return (Misfit("", detail, detail),)


def check_schemas(declared: dict[str, Any]) -> dict[str, Any]:
    """Raise PydanticCustomError if there are too many patterns, or their schemas are too large."""
    size = len(values.dumps(declared).encode())
    if len(declared) > MOST_PATTERNS or size > MOST_BYTES:
        raise PydanticCustomError(
            "kv_schema",
            "it has {patterns} patterns and {size} bytes; the limits are {most} and {largest}",
            {
                "patterns": len(declared),
                "size": size,
                "most": MOST_PATTERNS,
                "largest": MOST_BYTES,
            },
        )
    return declared


def _check_schema(schema: Any, info: ValidationInfo) -> Any:
    if info.context == STORED:  # it was one when it was declared
        return schema
    try:
        _compiled(values.canonical(schema))
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
        raise _no_schema(error) from None
    except (AppError, ValueError) as error:
        raise PydanticCustomError("json_schema", "{why}", {"why": str(error)[:300]}) from None
    return schema


JsonSchema = Annotated[dict[str, Any] | StrictBool, AfterValidator(_check_schema)]
KvSchemas = Annotated[
    dict[Annotated[str, StringConstraints(pattern=PATTERN)], JsonSchema],
    AfterValidator(check_schemas),
]


def _no_schema(error: Any) -> PydanticCustomError:
    path = "".join(f"/{escape(step)}" for step in getattr(error, "instance_path", ()))
    why = str(getattr(error, "message", error)).partition("\n")[0][:300]
    at = f" at {path}" if path else ""
    return PydanticCustomError(
        "json_schema", "this is no JSON Schema{at}: {why}", {"at": at, "why": why}
    )


def _to_misfit(error: Any) -> Misfit:
    pointer, where = (
        "".join(f"/{escape(step)}" for step in path)
        for path in (error.instance_path, error.schema_path)
    )
    reason = _TELLING.get(error.kind.name, error.message[:300])
    return Misfit(pointer, error.message[:500], f"{reason} (schema: {where or '/'})")


def _media_type(schema: Any) -> str | None:
    """Return the type that bytes are to have, if that is all that a schema says."""
    if isinstance(schema, bool) or schema.keys() - _REMARKS != {_MEDIA_TYPE}:
        return None
    return _without_parameters(str(schema[_MEDIA_TYPE]))


def _without_parameters(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _told(pattern: str) -> int:
    return len(pattern.replace("*", ""))


def _matches(parts: Sequence[str], key: str) -> bool:
    """Tell whether a key has these parts in this order, the first at its beginning and the last at its end."""
    first, *middle, last = parts
    if len(key) < len(first) + len(last) or not (key.startswith(first) and key.endswith(last)):
        return False
    at, end = len(first), len(key) - len(last)
    for part in middle:
        found = key.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


@lru_cache(maxsize=1_024)
def _compiled(schema: str) -> Any:
    """Compile a schema: it is checked in a commit, so it reads nothing from elsewhere and its patterns take no time."""
    return jsonschema_rs.validator_for(
        values.loads(schema),
        validate_formats=True,
        mask="the value",
        pattern_options=jsonschema_rs.RegexOptions(),
        offline=True,
    )
