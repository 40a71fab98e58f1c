"""Templates: texts with references such as `{{ result.body.next }}`, filled in with JSON values.

Nothing is evaluated: a reference is a place in a value, and what its filters make of it. The grammar is in
`grammar.py`.
"""

from collections.abc import Mapping
from typing import Any, Final

from rota.domain.http_target.templates.filters import ABSENT, FilterError, apply, to_text
from rota.domain.http_target.templates.grammar import (
    MOST_REFERENCES,
    Reference,
    TemplateError,
    parse,
    references,
)
from rota.domain.primitives.json import json_text

__all__ = [
    "ABSENT",
    "CANNOT_BE_FILLED",
    "MOST_FILLED",
    "MOST_REFERENCES",
    "Budget",
    "FilterError",
    "MissingError",
    "OverBudgetError",
    "Reference",
    "TemplateError",
    "fill",
    "fill_reference",
    "references",
    "to_text",
]

#: How many bytes its references may have together, as much as the body of a request to Rota.
MOST_FILLED: Final = 1_048_576
_SHOWN = 60


class MissingError(LookupError):
    """A reference leads nowhere; the message names it, and the point up to which there was something."""


class OverBudgetError(ValueError):
    """The values of the references of a template are too large together; the message says what the limit is."""


#: What `fill` raises.
CANNOT_BE_FILLED: Final = (MissingError, OverBudgetError, FilterError, TemplateError)


class Budget:
    """How many bytes the references of one or more templates may still have.

    They are counted before anything is put together: a few bytes of template can name a large value a thousand times.
    """

    def __init__(self, most: int = MOST_FILLED) -> None:
        self._most = self._left = most
        self._sizes: dict[tuple[str | int, ...], int] = {}

    def check(self, size: int) -> None:
        """Raise OverBudgetError if there are not so many bytes left."""
        if size > self._left:
            raise OverBudgetError(
                f"its references come to more than {self._most:,} bytes, which is the limit"
            )

    def take(self, size: int) -> None:
        """Take so many bytes; raises OverBudgetError if there are not so many left."""
        self.check(size)
        self._left -= size

    def take_value(self, reference: Reference, value: Any) -> None:
        """The same, for a value that a reference leads to, as JSON."""
        if reference.filters:
            self.take(_bytes(json_text.render(value)))
            return
        if reference.path not in self._sizes:
            self._sizes[reference.path] = _bytes(json_text.render(value))
        self.take(self._sizes[reference.path])


def fill(template: Any, scope: Mapping[str, Any], budget: Budget | None = None) -> Any:
    """Return the JSON value with its texts filled in from `scope`.

    A text that is one reference and no more becomes the value there, of whatever type. In other texts values are put in
    as text: texts as they are, null as nothing, the rest as JSON. An optional reference that leads nowhere leaves its
    field or item out (at the top it gives ABSENT), and counts as nothing within a text.
    Raises MissingError, OverBudgetError, FilterError, and TemplateError.
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


def fill_reference(reference: Reference, scope: Mapping[str, Any], budget: Budget) -> Any:
    """Return the value of a reference, with its filters applied; ABSENT if it may lead nowhere and does.

    Takes nothing of the budget, but raises OverBudgetError for what would not fit in.
    """
    value = _look_up(reference, scope)
    for each in reference.filters:
        try:
            value = apply(each, value, budget.check)
        except FilterError as error:
            raise FilterError(f"{reference.brief}: {error}") from None
    return value


def _fill_text(template: str, scope: Mapping[str, Any], budget: Budget) -> Any:
    parts = parse(template)
    if len(parts) == 1 and isinstance(parts[0], Reference):
        value = fill_reference(parts[0], scope, budget)
        if value is not ABSENT:
            budget.take_value(parts[0], value)
        return value
    filled: list[str] = []
    for part in parts:
        if isinstance(part, Reference):
            filled.append(to_text(fill_reference(part, scope, budget)))
            budget.take(_bytes(filled[-1]))
        else:
            filled.append(part)
    return "".join(filled)


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _look_up(reference: Reference, scope: Mapping[str, Any]) -> Any:
    here: Any = scope
    for index, step in enumerate(reference.path):
        if not _has(here, step):
            if reference.may_be_missing:
                return ABSENT
            raise MissingError(_missing(reference, index, here))
        here = here[step]
    return here


def _has(value: Any, step: str | int) -> bool:
    if isinstance(step, int):
        return isinstance(value, list) and -len(value) <= step < len(value)
    return isinstance(value, Mapping) and step in value


def _missing(reference: Reference, reached: int, value: Any) -> str:
    message = f"there is no {reference.brief}"
    if not reached:
        return message
    there = Reference(reference.path[:reached]).brief
    step = reference.path[reached]
    match value:
        case dict() if isinstance(step, str):
            return f"{message}: {there} has no field {step[:_SHOWN]!r}"
        case list() if isinstance(step, int):
            return f"{message}: {there} has {len(value)} items"
        case _:
            return f"{message}: {there} is {json_text.kind_of(value)}"
