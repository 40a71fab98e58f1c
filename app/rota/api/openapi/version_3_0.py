"""A document of OpenAPI 3.1 as one of 3.0.

The schemas of 3.1 are JSON Schema 2020-12, those of 3.0 have words of their own for some of it
(https://spec.openapis.org/oas/v3.0.3#schema-object).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

VERSION: Final = "3.0.3"
_NULL: Final = {"type": "null"}
# Pydantic leaves these where a bound is one of several types of numbers: no version knows them.
_FOREIGN: Final = ("gt", "ge", "lt", "le")


def as_3_0(document: dict[str, Any]) -> None:
    """Rewrite the schemas of a document in place: those of components, parameters and bodies."""
    schemas = document["components"]["schemas"]
    for name, schema in schemas.items():
        schemas[name] = schema_3_0(schema)
    for item in document["paths"].values():
        for operation in item.values():
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = schema_3_0(parameter["schema"])
            for part in (operation.get("requestBody", {}), *operation["responses"].values()):
                for content in part.get("content", {}).values():
                    content["schema"] = schema_3_0(content.get("schema", {}))


def schema_3_0(schema: Any) -> Any:
    """Return a schema in the words of 3.0; what they cannot express becomes less exact, never wrong."""
    if not isinstance(schema, dict):  # `additionalProperties` may be true or false
        return schema
    made = {word: _inner(word, value) for word, value in schema.items() if word not in _FOREIGN}
    for rewrite in _REWRITES:
        made = rewrite(made)
    return made


def _inner(word: str, value: Any) -> Any:
    """Return the value of a word, with the schemas in it rewritten."""
    match word:
        case "properties" | "patternProperties":
            return {name: _untitled(schema_3_0(each)) for name, each in value.items()}
        case "anyOf" | "oneOf" | "allOf":
            return [each if each == _NULL else schema_3_0(each) for each in value]
        case "items" | "additionalProperties" | "not":
            return schema_3_0(value)
        case _:
            return value


def _untitled(schema: dict[str, Any]) -> dict[str, Any]:
    """Leave out the title of a property, which is its name once more."""
    return {word: value for word, value in schema.items() if word != "title"}


def _example(schema: dict[str, Any]) -> dict[str, Any]:
    examples = schema.pop("examples", ())
    return schema | {"example": examples[0]} if examples else schema


def _constant(schema: dict[str, Any]) -> dict[str, Any]:
    return schema | {"enum": [schema.pop("const")]} if "const" in schema else schema


def _null(schema: dict[str, Any]) -> dict[str, Any]:
    """Make a choice that has null a nullable one; where one is left, there is no choice any more."""
    if schema.get("type") == "null":
        return schema | {"type": "string", "nullable": True, "enum": [None]}
    word = next((word for word in ("anyOf", "oneOf") if _NULL in schema.get(word, ())), None)
    if word is None:
        return schema
    left = [each for each in schema.pop(word) if each != _NULL]
    if len(left) == 1:
        return {**left[0], **schema, "nullable": True}
    return schema | {word: left, "nullable": True}


def _reference(schema: dict[str, Any]) -> dict[str, Any]:
    """Put a reference into a list of one, since 3.0 takes nothing beside it."""
    if "$ref" not in schema or len(schema) == 1:
        return schema
    return {"allOf": [{"$ref": schema.pop("$ref")}]} | schema


def _exclusive(schema: dict[str, Any]) -> dict[str, Any]:
    for word, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if word in schema:
            schema |= {bound: schema[word], word: True}
    return schema


def _patterns(schema: dict[str, Any]) -> dict[str, Any]:
    """Describe the fields of an object without the pattern of their names."""
    patterns: Mapping[str, Any] = schema.pop("patternProperties", {})
    kinds = list(patterns.values())
    if not kinds:
        return schema
    return schema | {"additionalProperties": kinds[0] if len(kinds) == 1 else {"anyOf": kinds}}


_REWRITES: Final[tuple[Callable[[dict[str, Any]], dict[str, Any]], ...]] = (
    *(_example, _constant, _null, _reference, _exclusive, _patterns),
)
