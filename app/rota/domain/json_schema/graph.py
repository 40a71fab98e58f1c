"""JSON Schemas as graphs: which schemas look at the same value, and which at its fields and items, through `$ref`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote, urljoin

from rota.domain.json_schema.pattern_size import pattern_size
from rota.domain.primitives.json.json_text import unescape

Path = tuple[str | int, ...]

_LISTS = ("allOf", "anyOf", "oneOf")
_SINGLE = ("not", "if", "then", "else")
_MAPS = ("dependentSchemas", "dependencies")
_PATTERNS = "patternProperties"
_FIELDS = (_PATTERNS, "unevaluatedProperties", "propertyNames")
_ITEMS = ("contains", "unevaluatedItems")
_DEFINITIONS = ("$defs", "definitions")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_ONE_FIELD = ("properties", "additionalProperties")
_ONE_ITEM = ("prefixItems", "items", "additionalItems")
_APPLYING = frozenset(
    (
        *(*_LISTS, *_SINGLE, *_MAPS),
        *(*_FIELDS, *_ITEMS, *_ONE_FIELD, *_ONE_ITEM),
        *(*_DEFINITIONS, *_REFERENCES),
    )
)
_EMPTY: Final[Mapping[str, Any]] = {}
_NAMED = ("required", "properties", "dependentRequired", "dependencies")
#: Used in place of a schema that is none of these, such as the meta-schema of a draft.
_ELSEWHERE_STEPS: Final = 100
# A library compares so many plain values of an `enum` in one step.
_COMPARED = 16
# What takes much longer than a step (25 ns): numbers as they are written, not as a machine holds them, formats, and
# what lies in lists and objects that are compared.
_EXACT_WORK: Final = 40
_BOUND_WORK: Final = 10
_FORMAT_WORK: Final = 20
_WITHIN_WORK: Final = 10
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


@dataclass(slots=True)
class Node:
    """One schema. What it costs itself: `steps` for any value, `text` for each character of one that is a text."""

    path: Path
    steps: int = 1
    text: int = 0
    #: How many steps more it takes, beyond one for each schema and name.
    work: int = 0
    #: For the same value.
    in_place: list[int] = field(default_factory=list)
    #: For a field: one of `either`, and all of `fields`, beside so many steps and so much text for its name.
    either: list[int] = field(default_factory=list)
    fields: list[int] = field(default_factory=list)
    name_steps: int = 0
    name_text: int = 0
    #: For an item: one of `one_of`, and all of `items`.
    one_of: list[int] = field(default_factory=list)
    items: list[int] = field(default_factory=list)
    #: Whether it depends on what the other schemas for the same value have evaluated.
    unevaluated: bool = False


class Graph:
    """The nodes of a schema; the first is the whole."""

    def __init__(self, schema: Any) -> None:
        self.nodes: list[Node] = []
        self.patterns = 0
        self._known: dict[int, int] = {}
        self._resources: dict[str, Any] = {"": schema}
        self._anchors: dict[tuple[str, str], Any] = {}
        self._paths: dict[int, Path] = {}
        self._waiting: list[tuple[int, Any, str]] = []
        self._references: list[tuple[int, str, str]] = []
        self._elsewhere: int | None = None
        self._node(schema, (), "")
        self._collect()
        while self._references:
            at, base, reference = self._references.pop()
            self.nodes[at].in_place.append(self._target(base, reference))
            self._collect()

    def _node(self, schema: Any, path: Path, base: str) -> int:
        """Return the number of a schema's node; it is looked into later, since schemas may lie deep."""
        known = self._known.get(id(schema)) if isinstance(schema, dict) else None
        if known is not None:
            return known
        number = len(self.nodes)
        self.nodes.append(Node(path))
        if isinstance(schema, dict):
            self._known[id(schema)] = number
            self._waiting.append((number, schema, base))
        return number

    def _collect(self) -> None:
        while self._waiting:
            number, schema, base = self._waiting.pop()
            self._read(self.nodes[number], number, schema, self._rebased(schema, base))

    def _rebased(self, schema: Mapping[str, Any], base: str) -> str:
        """Return what references within a schema are relative to, and note what others may call it."""
        own = schema.get("$id", schema.get("id"))
        if isinstance(own, str) and not own.startswith("#"):
            base = _joined(base, own)
            self._resources.setdefault(base, schema)
        for keyword in ("$anchor", "$dynamicAnchor"):
            if isinstance(name := schema.get(keyword), str):
                self._anchors.setdefault((base, name), schema)
        if isinstance(own, str) and own.startswith("#"):
            self._anchors.setdefault((base, own[1:]), schema)
        return base

    def _read(self, node: Node, number: int, schema: Mapping[str, Any], base: str) -> None:
        self._read_own(node, schema)
        if _APPLYING.isdisjoint(schema):
            return
        for numbers, paths in (
            (node.in_place, _in_place(schema)),
            (node.either, _of_fields(schema)),
            (node.fields, _of_all(schema, _FIELDS)),
            (node.one_of, _of_items(schema)),
            (node.items, _of_all(schema, _ITEMS)),
            (None, _of_mappings(schema, _DEFINITIONS)),
        ):
            for path in paths:
                found = self._node(_look_up(schema, path), (*node.path, *path), base)
                if numbers is not None:
                    numbers.append(found)
        self._references += [
            (number, base, schema[keyword])
            for keyword in _REFERENCES
            if isinstance(schema.get(keyword), str)
        ]

    def _read_own(self, node: Node, schema: Mapping[str, Any]) -> None:
        if isinstance(pattern := schema.get("pattern"), str):
            node.text += self._pattern(pattern)
        for pattern in _mapping(schema, _PATTERNS):
            node.name_steps += 1
            node.name_text += self._pattern(pattern)
        node.steps += sum(_names(schema.get(keyword)) for keyword in _NAMED)
        for compared in (schema.get("enum"), [schema.get("const")]):
            steps = _compared(compared)
            node.steps += steps
            node.work += _WITHIN_WORK * steps + _EXACT_WORK * _has_number(compared)
        node.work += _EXACT_WORK * ("multipleOf" in schema) + _FORMAT_WORK * ("format" in schema)
        node.work += _BOUND_WORK * sum(keyword in schema for keyword in _BOUNDS)
        node.unevaluated = any(keyword.startswith("unevaluated") for keyword in schema)

    def _pattern(self, pattern: str) -> int:
        size = pattern_size(pattern)
        self.patterns += size
        return size

    def _target(self, base: str, reference: str) -> int:
        """Return the node that a reference leads to. One that leads nowhere is refused by who compiles the schema."""
        address, _, fragment = reference.partition("#")
        whole = _joined(base, address) if address else base
        fragment = unquote(fragment)
        if not fragment or fragment.startswith("/"):
            path: Path = tuple(unescape(each) for each in fragment.split("/")[1:])
            schema = _look_up(self._resources.get(whole), path)
        else:
            path, schema = (f"#{fragment}",), self._anchors.get((whole, fragment))
        return self._other() if schema is None else self._node(schema, path, whole)

    def _other(self) -> int:
        if self._elsewhere is None:
            self._elsewhere = number = len(self.nodes)
            self.nodes.append(
                Node((), _ELSEWHERE_STEPS, _ELSEWHERE_STEPS, either=[number], one_of=[number])
            )
        return self._elsewhere


def _in_place(schema: Mapping[str, Any]) -> Iterator[Path]:
    for keyword in _LISTS:
        given = schema.get(keyword)
        if isinstance(given, list):
            yield from ((keyword, index) for index in range(len(given)))
    yield from ((keyword,) for keyword in _SINGLE if keyword in schema)
    for keyword in _MAPS:
        for name, value in _mapping(schema, keyword).items():
            if not isinstance(value, list):  # of names
                yield keyword, name


def _of_fields(schema: Mapping[str, Any]) -> Iterator[Path]:
    """Yield where the schemas are of which at most one looks at a field."""
    several, others = _ONE_FIELD
    yield from _of_mappings(schema, (several,))
    if others in schema:
        yield (others,)


def _of_items(schema: Mapping[str, Any]) -> Iterator[Path]:
    """Yield where the schemas are of which at most one looks at an item."""
    for keyword in _ONE_ITEM:
        given = schema.get(keyword)
        if isinstance(given, list):
            yield from ((keyword, index) for index in range(len(given)))
        elif keyword in schema:
            yield (keyword,)


def _of_all(schema: Mapping[str, Any], keywords: tuple[str, ...]) -> Iterator[Path]:
    """Yield where the schemas are of which each may look at the same field, or item."""
    for keyword in keywords:
        if keyword == _PATTERNS:
            yield from _of_mappings(schema, (keyword,))
        elif keyword in schema:
            yield (keyword,)


def _of_mappings(schema: Mapping[str, Any], keywords: tuple[str, ...]) -> Iterator[Path]:
    for keyword in keywords:
        yield from ((keyword, name) for name in _mapping(schema, keyword))


def _joined(base: str, reference: str) -> str:
    try:
        return urljoin(base, reference).removesuffix("#")
    except ValueError:  # it is no URL: nothing is found there
        return reference


def _mapping(schema: Mapping[str, Any], keyword: str) -> Mapping[str, Any]:
    given = schema.get(keyword)
    return given if isinstance(given, dict) else _EMPTY


def _names(given: Any) -> int:
    """Return how many names of fields a keyword has looked up."""
    if isinstance(given, dict):
        return len(given) + sum(len(each) for each in given.values() if isinstance(each, list))
    return len(given) if isinstance(given, list) else 0


def _compared(given: Any) -> int:
    """Return how many steps it takes to compare a value with those that are given."""
    if not isinstance(given, list):
        return 0
    stack = [each for each in given if isinstance(each, (dict, list))]
    steps = (len(given) - len(stack)) // _COMPARED
    while stack:
        each = stack.pop()
        steps += 1
        within = list(each.values()) if isinstance(each, dict) else each
        steps += len(within)
        stack.extend(item for item in within if isinstance(item, (dict, list)))
    return steps


def _has_number(given: Any) -> bool:
    return isinstance(given, list) and any(type(each) in {int, float} for each in given)


def _look_up(schema: Any, path: Path) -> Any:
    """Return what is at a place of a schema; None if there is nothing."""
    for step in path:
        if isinstance(schema, dict):
            schema = schema.get(step)
        elif isinstance(schema, list) and str(step).isdecimal() and int(step) < len(schema):
            schema = schema[int(step)]
        else:
            return None
    return schema
