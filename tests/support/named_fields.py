"""Fields of a JSON Schema that hold names, found by the pattern of their values or by how they are called."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

_CALLED = re.compile(r"(.*_)?(tasks?|queues?|predecessors?|successors?)")
Path = tuple[str, ...]


def named_fields(schema: Mapping[str, Any], *patterns: str) -> set[Path]:
    """Return the paths to fields that hold names; `*` is each item of a list, or each field of any name."""
    return set(_found(schema, schema, (), patterns, ()))


def _found(
    schema: Any, root: Mapping[str, Any], path: Path, patterns: Path, within: Path
) -> Iterator[Path]:
    if not isinstance(schema, Mapping):
        return
    if "$ref" in schema:
        ref = schema["$ref"]
        if ref not in within:
            yield from _found(_at(root, ref), root, path, patterns, (*within, ref))
        return
    if schema.get("type") == "string" and (
        schema.get("pattern") in patterns or _is_called_so(path)
    ):
        yield path
    for step, each in _inside(schema):
        yield from _found(each, root, (*path, *step), patterns, within)


def _inside(schema: Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
    """Yield the schemas in a schema, with the step to each: none to another form of the same value."""
    for form in ("anyOf", "oneOf", "allOf"):
        yield from (((), each) for each in schema.get(form, ()))
    yield from (((name,), each) for name, each in schema.get("properties", {}).items())
    yield from ((("*",), schema.get(each)) for each in ("items", "additionalProperties"))


def _is_called_so(path: Path) -> bool:
    called = next((step for step in reversed(path) if step != "*"), "")
    return _CALLED.fullmatch(called) is not None


def _at(root: Mapping[str, Any], ref: str) -> Any:
    found: Any = root
    for step in ref.removeprefix("#/").split("/"):
        found = found[step]
    return found
