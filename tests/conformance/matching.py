"""What is expected, compared with what is there. Expectations are data, with `$name` and `<placeholder>` in texts."""

import re
from collections.abc import Callable, Iterator
from typing import Any

Variables = dict[str, Any]

ABSENT = object()

_PLACEHOLDER = re.compile(r"<([a-z]+)(?: (\w+))?>")
_VARIABLE = re.compile(r"\$(\w+)")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def fill(value: Any, variables: Variables) -> Any:
    """Return a value with its `$name`s replaced; a text that is nothing else takes on the type of what it names."""
    match value:
        case str():
            whole = _VARIABLE.fullmatch(value)
            if whole:
                return variables[whole[1]]
            return _VARIABLE.sub(lambda found: str(variables[found[1]]), value)
        case dict():
            return {fill(name, variables): fill(each, variables) for name, each in value.items()}
        case list():
            return [fill(each, variables) for each in value]
    return value


def differences(
    expected: Any, actual: Any, variables: Variables, *, exact: bool = False, at: str = ""
) -> Iterator[str]:
    """Say where a value is not what is expected, and keep what `<save name>` represents.

    `exact`: the outermost object has no fields but those expected.
    """
    found = _PLACEHOLDER.fullmatch(expected) if isinstance(expected, str) else None
    if found:
        yield from _unfit(found[1], found[2], actual, variables, at)
    else:
        filled = fill(expected, variables) if isinstance(expected, str) else expected
        yield from _unequal(filled, actual, variables, exact=exact, at=at)


def _unfit(
    kind: str, name: str | None, actual: Any, variables: Variables, at: str
) -> Iterator[str]:
    if not _FITS[kind](actual):
        yield f"{at or 'it'} is {_shown(actual)}, and not <{kind}>"
    elif name:
        variables[name] = actual


def _unequal(
    expected: Any, actual: Any, variables: Variables, *, exact: bool, at: str
) -> Iterator[str]:
    if actual is ABSENT:
        yield f"{at or 'it'} is missing"
    elif isinstance(expected, dict) and "<one of>" in expected:
        yield from _one_of(expected["<one of>"], actual, variables, at)
    elif isinstance(expected, dict) and isinstance(actual, dict):
        yield from _fields(expected, actual, variables, exact=exact, at=at)
    elif isinstance(expected, list) and isinstance(actual, list):
        yield from _items(expected, actual, variables, at)
    elif not _equal(expected, actual):
        yield f"{at or 'it'} is {_shown(actual)}, and not {_shown(expected)}"


def _fields(
    expected: dict[str, Any],
    actual: dict[str, Any],
    variables: Variables,
    *,
    exact: bool,
    at: str,
) -> Iterator[str]:
    for raw, each in expected.items():
        name = fill(raw, variables)
        yield from differences(each, actual.get(name, ABSENT), variables, at=f"{at}/{name}")
    if exact:
        names = {fill(raw, variables) for raw in expected}
        yield from (f"{at}/{name} is not expected" for name in actual if name not in names)


def _items(expected: list[Any], actual: list[Any], variables: Variables, at: str) -> Iterator[str]:
    if len(expected) != len(actual):
        yield f"{at or 'it'} has {len(actual)} items, and not {len(expected)}: {_shown(actual)}"
        return
    for index, pair in enumerate(zip(expected, actual, strict=True)):
        yield from differences(*pair, variables, at=f"{at}/{index}")


def _one_of(options: list[Any], actual: Any, variables: Variables, at: str) -> Iterator[str]:
    for option in options:
        if not list(differences(option, actual, variables, exact=True)):
            return
    yield f"{at or 'it'} is {_shown(actual)}, and none of {_shown(options)}"


_FITS: dict[str, Callable[[Any], bool]] = {
    "any": lambda actual: True,
    "absent": lambda actual: actual is ABSENT,
    "text": lambda actual: isinstance(actual, str) and actual != "",
    "integer": lambda actual: isinstance(actual, int) and not isinstance(actual, bool),
    "uuid": lambda actual: isinstance(actual, str) and _UUID.fullmatch(actual) is not None,
    "time": lambda actual: isinstance(actual, str) and _TIME.fullmatch(actual) is not None,
    "save": lambda actual: actual is not ABSENT,
}


def _equal(expected: Any, actual: Any) -> bool:
    """Compare as JSON does: `true` is not 1, 1.0 is."""
    if isinstance(expected, bool) or isinstance(actual, bool):
        return expected is actual
    return bool(expected == actual)


def _shown(value: Any) -> str:
    return "missing" if value is ABSENT else repr(value)[:300]
