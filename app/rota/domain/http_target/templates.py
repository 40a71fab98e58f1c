"""Templates: texts with references such as `{{ result.body.next }}`, filled in with JSON values.

    reference = "{{" path ["?"] "}}"      path = name {"." name | "[" number "]" | "[" JSON text "]"}

A name has no white space and none of `. [ ] { } ? "`. A number counts from 0, from the end if it is negative. For
braces themselves there is `{{ "{{" }}`. Nothing is evaluated: a reference is a place in a value, and that is all.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from rota.domain.primitives import json_text
from rota.domain.primitives.bounded_cache import bounded_cache
from rota.errors import Invalid

_NAME = r'[^\s.\[\]{}?"]+'
_TEXT = r'"(?:[^"\\]|\\.)*"'
_STEP = re.compile(rf"\.({_NAME})|\[(-?\d{{1,9}})\]|\[({_TEXT})\]")
_REFERENCE = re.compile(
    rf"\{{\{{\s*(?:(?P<text>{_TEXT})|(?P<root>{_NAME})(?P<steps>(?:{_STEP.pattern})*)(?P<optional>\?)?)\s*\}}\}}"
)
_PLAIN = re.compile(_NAME)
_SHOWN = 60

#: How many references a template may have.
MOST_REFERENCES: Final = 1_000
#: How many bytes its references may come to, as much as the body of a request to Rota.
MOST_FILLED: Final = 1_048_576

#: What a whole value is whose optional reference leads nowhere.
ABSENT: Final = object()


class TemplateError(ValueError):
    """A text is no template; the message says where."""


class MissingError(LookupError):
    """A reference leads nowhere; the message names it, and the point up to which there was something."""


class OverBudgetError(ValueError):
    """What the references of a template come to is too large; the message says what the limit is."""


class Budget:
    """How many bytes the references of one or more templates may still come to.

    They are counted before anything is put together: a few bytes of template can name a large value a thousand times.
    """

    def __init__(self, most: int = MOST_FILLED) -> None:
        self._most = self._left = most
        self._sizes: dict[tuple[str | int, ...], int] = {}

    def take(self, size: int) -> None:
        """Take so many bytes; raises OverBudgetError if there are not so many left."""
        self._left -= size
        if self._left < 0:
            raise OverBudgetError(
                f"its references come to more than {self._most:,} bytes, which is the limit"
            )

    def take_value(self, reference: "Reference", value: Any) -> None:
        """The same, for a value that a reference leads to, as JSON."""
        if reference.path not in self._sizes:
            self._sizes[reference.path] = _bytes(json_text.render(value))
        self.take(self._sizes[reference.path])


@dataclass(frozen=True, slots=True)
class Reference:
    """A place in a value: members by name, items by number; `optional` if it may lead nowhere."""

    path: tuple[str | int, ...]
    optional: bool = False

    def __str__(self) -> str:
        return _spelled(self.path)


def references(template: Any) -> Iterator[Reference]:
    """Yield the references in the texts of a JSON value, not in the names of members; raises TemplateError."""
    match template:
        case str():
            yield from (part for part in _parse(template) if isinstance(part, Reference))
        case list():
            for item in template:
                yield from references(item)
        case dict():
            for item in template.values():
                yield from references(item)


def count_references(template: Any) -> int:
    """Return how many references there are, or more than there may be; raises TemplateError."""
    return sum(1 for _ in islice(references(template), MOST_REFERENCES + 1))


def fill(template: Any, scope: Mapping[str, Any], budget: Budget | None = None) -> Any:
    """Return the JSON value with its texts filled in from `scope`.

    A text that is one reference and no more becomes the value there, of whatever type. In other texts values are put in
    as text: texts as they are, null as nothing, the rest as JSON. An optional reference that leads nowhere leaves its
    member or item out (at the top it gives ABSENT), and counts as nothing within a text.
    Raises MissingError, OverBudgetError, and TemplateError.
    """
    budget = budget or Budget()
    match template:
        case str():
            return _fill_text(template, scope, budget)
        case list():
            filled = [fill(item, scope, budget) for item in template]
            return [item for item in filled if item is not ABSENT]
        case dict():
            made = {name: fill(item, scope, budget) for name, item in template.items()}
            return {name: item for name, item in made.items() if item is not ABSENT}
        case _:
            return template


def to_text(value: Any) -> str:
    """Return a value as it stands within a text."""
    if value is None or value is ABSENT:
        return ""
    return value if isinstance(value, str) else json_text.render(value)


def _fill_text(template: str, scope: Mapping[str, Any], budget: Budget) -> Any:
    parts = _parse(template)
    if len(parts) == 1 and isinstance(parts[0], Reference):
        value = _look_up(parts[0], scope)
        if value is not ABSENT:
            budget.take_value(parts[0], value)
        return value
    texts: list[str] = []
    for part in parts:
        if isinstance(part, Reference):
            texts.append(to_text(_look_up(part, scope)))
            budget.take(_bytes(texts[-1]))
        else:
            texts.append(part)
    return "".join(texts)


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _look_up(reference: Reference, scope: Mapping[str, Any]) -> Any:
    here: Any = scope
    for index, step in enumerate(reference.path):
        if not _has(here, step):
            if reference.optional:
                return ABSENT
            raise MissingError(_missing(reference, index, here))
        here = here[step]
    return here


def _has(value: Any, step: str | int) -> bool:
    if isinstance(step, int):
        return isinstance(value, list) and -len(value) <= step < len(value)
    return isinstance(value, Mapping) and step in value


def _missing(reference: Reference, reached: int, value: Any) -> str:
    message = f"there is no {reference}"
    if not reached:
        return message
    there, step = _spelled(reference.path[:reached]), reference.path[reached]
    match value:
        case dict() if isinstance(step, str):
            return f"{message}: {there} has no member {step[:_SHOWN]!r}"
        case list() if isinstance(step, int):
            return f"{message}: {there} has {len(value)} items"
        case _:
            return f"{message}: {there} is {json_text.kind_of(value)}"


@bounded_cache(len)
def _parse(text: str) -> tuple[str | Reference, ...]:
    """Return the parts of a template, in order; raises TemplateError."""
    if text.count("{{") > 2 * MOST_REFERENCES:  # the braces themselves are written in braces, too
        raise TemplateError(f"it has more than {MOST_REFERENCES:,} references, which is the limit")
    parts: list[str | Reference] = []
    at = 0
    while (begin := text.find("{{", at)) >= 0:
        match = _REFERENCE.match(text, begin)
        if match is None:
            raise TemplateError(f"{_excerpt(text, begin)} is no reference such as {_EXAMPLE}")
        parts += [text[at:begin], _read(match)] if begin > at else [_read(match)]
        at = match.end()
    return (*parts, text[at:]) if text[at:] or not parts else tuple(parts)


_EXAMPLE = "'{{ result.body.next }}'"


def _read(match: re.Match[str]) -> str | Reference:
    if match["text"] is not None:
        return _unquoted(match["text"])
    steps = (_step(*each.groups()) for each in _STEP.finditer(match["steps"]))
    return Reference((match["root"], *steps), match["optional"] is not None)


def _step(name: str | None, number: str | None, text: str | None) -> str | int:
    if name is not None:
        return name
    return int(number) if number is not None else _unquoted(text or "")


def _unquoted(text: str) -> str:
    try:
        return str(json_text.loads(text))
    except Invalid:
        raise TemplateError(f"{text[:_SHOWN]} is not a JSON text") from None


def _excerpt(text: str, begin: int) -> str:
    end = text.find("}}", begin)
    return repr(text[begin : end + 2 if end >= 0 else None][:_SHOWN])


def _spelled(path: tuple[str | int, ...]) -> str:
    root, *steps = path
    return str(root) + "".join(map(_spelled_step, steps))


def _spelled_step(step: str | int) -> str:
    if isinstance(step, str) and _PLAIN.fullmatch(step):
        return f".{step}"
    return f"[{json.dumps(step)}]"
