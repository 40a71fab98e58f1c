"""The first of many errors that pydantic has found in a value.

It makes all of them or none, with the interpreter locked: of 200,000 that takes longer than to find them. So where
there are many they are looked for once more in the beginning of the value: in as much of it as has some.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

# So many errors are made at once, and so many are looked for where there are more.
MOST_AT_ONCE = 1_000
_WANTED = 250
# Where errors begin behind so many items and fields, looking for them would cost more than to make all.
_LARGEST = 16_384

Errors = Sequence[Mapping[str, Any]]


def first_errors(
    error: ValidationError, value: Any, schema: Any, validate: Callable[[Any], Any]
) -> tuple[Errors, int]:
    """Return the errors on a value, or the first of many, and how many more there are.

    `validate` is what found them, `schema` pydantic's own of it.
    """
    count = error.error_count()
    found = error if count <= MOST_AT_ONCE else _of_beginning(value, validate, _names(schema))
    errors = (found or error).errors(include_url=False)
    return errors, count - len(errors)


def _of_beginning(
    value: Any, validate: Callable[[Any], Any], names: frozenset[str]
) -> ValidationError | None:
    """Return the errors on a beginning of the value that has some, but not many; None if there is none that has."""
    too_small, too_large, size = 0, 0, _WANTED
    while too_small < size <= _LARGEST:
        found = _errors_on(_Cut(size, names).of(value), validate)
        count = 0 if found is None else found.error_count()
        if _WANTED <= count <= MOST_AT_ONCE:
            return found
        if count < _WANTED:
            too_small = size
        else:
            too_large = size
        size = (too_small + too_large) // 2 if too_large else 2 * size
    return None


def _errors_on(value: Any, validate: Callable[[Any], Any]) -> ValidationError | None:
    try:
        validate(value)
    except ValidationError as error:
        return error
    return None


class _Cut:
    """Cuts a value to its first `size` items and fields, at any depth; fields that have a name are not counted."""

    def __init__(self, size: int, names: frozenset[str]) -> None:
        self._left = size
        self._names = names

    def of(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self.of(value[name]) for name in self._fields(value)}
        if isinstance(value, list):
            return [self.of(item) for item in self._items(value)]
        return value

    def _fields(self, value: dict[str, Any]) -> Iterator[str]:
        for name in value:
            if name in self._names:
                yield name
            elif self._left > 0:
                self._left -= 1
                yield name

    def _items(self, value: list[Any]) -> Iterator[Any]:
        for index, item in enumerate(value):
            if (
                index and self._left <= 0
            ):  # the first stays: an empty list may be wrong where this one is not
                return
            self._left -= 1
            yield item


def _names(schema: Any) -> frozenset[str]:
    """Return the names of all fields that any object may have."""
    found: set[str] = set()
    stack = [schema]
    while stack:
        node = stack.pop()
        inner = node.values() if isinstance(node, dict) else node
        stack.extend(each for each in inner if isinstance(each, (dict, list, tuple)))
        if isinstance(node, dict) and node.get("type") == "model-fields":
            for name, field in node["fields"].items():
                found |= {name, str(field.get("validation_alias", name))}
    return frozenset(found)
