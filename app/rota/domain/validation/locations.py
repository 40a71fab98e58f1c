"""The place of a pydantic error in the given value.

The path of an error also names members of unions (`schedule`, `interval`, `every`: the second is no field of the
schedule), so it is followed through the schema that found the error.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rota.domain.primitives.json.json_text import pointer_to

Step = str | int
Schema = Mapping[str, Any]

# Where schemas keep the one that they add something to.
_INNER = ("schema", "lax_schema", "json_schema")
_FIELDS = "model-fields"


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a value: the steps to it, and what could stand there."""

    path: Sequence[Step] = ()
    #: The fields that are known beside the last step, if it is a field.
    known: Sequence[str] = ()
    #: The discriminator values of the objects that can stand there.
    tags: Sequence[str] = ()

    @property
    def pointer(self) -> str:
        """The JSON pointer to it (RFC 6901): built only for faults that are reported, since keys can be long."""
        return pointer_to(self.path)


def locate(path: Sequence[Step], value: Any, schema: Schema | None) -> Place:
    """Follow the path of an error on `value`, which `schema` has found."""
    inside: list[Step] = []
    known: Sequence[str] = ()
    walk = _Walk(schema)
    for step in path:
        known = walk.fields()
        if walk.enters(step, value):
            inside.append(step)
            value = value[step] if _inside(value, step) else None
    return Place(tuple(inside), known, walk.tags())


class _Walk:
    """The schemas that what is at a place may be checked with: several, where it may be of several types."""

    def __init__(self, schema: Schema | None) -> None:
        self._definitions: dict[str, Schema] = {}
        self._here: list[Schema] = [] if schema is None else [self._bare(schema)]

    def fields(self) -> Sequence[str]:
        """Return the names of the fields of an object here."""
        return [
            _name(name, field)
            for each in self._here
            if each["type"] == _FIELDS
            for name, field in each["fields"].items()
        ]

    def tags(self) -> Sequence[str]:
        """Return the discriminator values of the objects that may be here."""
        return [str(tag) for each in self._here for tag in each.get("choices", {}) if _tagged(each)]

    def enters(self, step: Step, value: Any) -> bool:
        """Follow a step of a path; return whether it leads into the value."""
        inside = _inside(value, step)
        for each in self._here:
            found = self._next(each, step)
            if found is not None:
                into, following = found
                self._here = [self._bare(schema) for schema in following]
                return into
        self._here = []
        return inside

    def _next(self, schema: Schema, step: Step) -> tuple[bool, list[Schema]] | None:
        """Return whether a step leads into the value, and to which schemas; None if this schema knows no such step."""
        match schema["type"]:
            case "tagged-union" if step in schema["choices"]:
                return False, [schema["choices"][step]]
            case "union" if isinstance(step, str):
                return False, [_choice(each) for each in schema["choices"]]
            case "model-fields":
                fields = schema["fields"].items()
                return True, [field for name, field in fields if _name(name, field) == step]
            case "list" | "set" | "frozenset" | "tuple" if isinstance(step, int):
                return True, list(_items(schema))
            case "dict" if step != "[key]":
                return True, list(filter(None, [schema.get("values_schema")]))
            case _:
                return None

    def _bare(self, schema: Schema) -> Schema:
        """Return the schema without what only adds checks, a default or a name to it."""
        while schema["type"] != _FIELDS:
            if schema["type"] == "definitions":
                self._definitions |= {each["ref"]: each for each in schema["definitions"]}
            inner = next((schema[key] for key in _INNER if key in schema), None)
            if schema["type"] == "definition-ref":
                inner = self._definitions.get(schema["schema_ref"])
            if inner is None:
                break
            schema = inner
        return schema


def _name(name: str, field: Schema) -> str:
    return str(field.get("validation_alias", name))


def _tagged(schema: Schema) -> bool:
    return bool(schema["type"] == "tagged-union")


def _choice(choice: Any) -> Schema:
    schema: Schema = choice[0] if isinstance(choice, tuple) else choice
    return schema


def _items(schema: Schema) -> Iterator[Schema]:
    items = schema.get("items_schema", ())
    yield from items if isinstance(items, Sequence) else [items]


def _inside(value: Any, step: Step) -> bool:
    if isinstance(value, Mapping):
        return step in value
    return isinstance(value, (list, tuple)) and isinstance(step, int) and step < len(value)
