"""What the values of a task's kv may be: a JSON Schema for each pattern of keys."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Annotated, Any

from pydantic import AfterValidator, StrictBool, StringConstraints, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from rota.domain.json_schema.checks import Checked, ValueCheck
from rota.domain.json_schema.compiled import Misfit, UnusableSchemaError, compiled
from rota.domain.kv.present import JSON_TYPE, Present
from rota.domain.primitives.json import json_text
from rota.errors import Fault, Invalid

__all__ = ["DoesNotFit", "KvSchema", "KvSchemas", "Misfit", "check_kv_schema"]

#: A key, or how keys look: `*` represents any characters, or none.
PATTERN = r"^[A-Za-z0-9*][A-Za-z0-9._:~*-]{0,254}$"
MOST_PATTERNS = 100
#: Of all schemas of a task, as JSON.
MOST_BYTES = 65_536

_MEDIA_TYPE = "contentMediaType"
_REMARKS = frozenset(["$schema", "$comment", "title", "description", "examples"])


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

    def check(self, key: str, value: Present) -> Checked:
        """Return the check of a value by the schema of its key, or what came out if there is nothing to be checked."""
        rule = self._rule_of(key)
        return () if rule is None else rule.check(value)

    def misfits(self, key: str, value: Present) -> Sequence[Misfit]:
        """Return why a value does not fit the schema of its key; at most 20, none if it fits or there is no schema."""
        found = self.check(key, value)
        return found.misfits() if isinstance(found, ValueCheck) else found

    def _rule_of(self, key: str) -> "_Rule | None":
        if key in self._exact:
            return self._exact[key]
        return next((rule for parts, rule in self._wild if _matches(parts, key)), None)


class _Rule:
    """One schema; compiled when there is something to be checked."""

    def __init__(self, schema: Any) -> None:
        self._takes_all = schema is True or schema == {}
        self._media_type = _media_type(schema)
        self._text = json_text.canonical(schema)
        self._digest = sha256(self._text.encode()).digest()

    def check(self, value: Present) -> Checked:
        if self._media_type is not None or value.content_type != JSON_TYPE:
            return self._misfits_of_type(value.content_type)
        return () if self._takes_all else ValueCheck(self._text, self._digest, value.value)

    def _misfits_of_type(self, given: str) -> Sequence[Misfit]:
        """Bytes fit a schema that takes everything, or that says which type they are to have."""
        if self._takes_all or self._media_type == _without_parameters(given):
            return ()
        detail = f"its value is {given}, not {self._media_type or JSON_TYPE}"
        return (Misfit("", detail, detail),)


def check_schemas(declared: dict[str, Any]) -> dict[str, Any]:
    """Raise PydanticCustomError if there are too many patterns, or their schemas are too large."""
    size = len(json_text.dumps(declared).encode())
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


def check_kv_schema(declared: Mapping[str, Any]) -> None:
    """Raise ValidationError, with the place in the definition, if one of these is no schema that can be checked with.

    To be called when all else is right: to compile a schema costs more than to read it.
    """
    for pattern, schema in declared.items():
        try:
            compiled(json_text.canonical(schema), masked=True)
        except UnusableSchemaError as error:
            raise _no_schema(pattern, error) from None


JsonSchema = dict[str, Any] | StrictBool
KvSchemas = Annotated[
    dict[Annotated[str, StringConstraints(pattern=PATTERN)], JsonSchema],
    AfterValidator(check_schemas),
]


def _no_schema(pattern: str, error: UnusableSchemaError) -> ValidationError:
    at = f" at {error.pointer}" if error.pointer else ""
    fault: InitErrorDetails = {
        "type": PydanticCustomError(
            "json_schema",
            "this JSON Schema cannot be used{at}: {why}",
            {"at": at, "why": error.detail},
        ),
        "loc": ("kv_schema", pattern),
        "input": None,
    }
    return ValidationError.from_exception_data("kv_schema", [fault])


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
    """Return whether a key has these parts in this order, the first at its beginning and the last at its end."""
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
