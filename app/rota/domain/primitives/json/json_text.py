"""JSON as Rota stores it: exact, bounded, the same on every database.

Databases' own JSON types change values (SQLite's turns 5.0 into 5, PostgreSQL's 1e22 into an integer),
so values are text, written and read here only.
"""

import json
import re
from collections.abc import Iterable, Iterator
from math import isfinite
from typing import Any, Never

from rota.errors import Fault, Invalid, MalformedJson, NotJson, TooLarge

MAX_DEPTH = 64
#: How many values one document from outside may have: text of a megabyte can be half a million of them.
MOST_VALUES = 200_000
# The size of the parts, in characters, in which values are counted.
_SLICE = 65_536
_BACKSLASHES = re.compile(r"\\*")
# `json.dumps` makes one for each call.
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))

# What there is nothing to check of, and what holds other values.
_PLAIN = frozenset({int, bool, type(None)})
_CONTAINERS = (dict, list, tuple)
# How much of a key is quoted.
_MOST_SHOWN = 100


class _Repeated(dict[str, Any]):
    """An object in which a key stood twice; kept until the walk finds where."""

    def __init__(self, items: list[tuple[str, Any]]) -> None:
        super().__init__(items)
        seen: set[str] = set()
        # `add` returns None: the first key that had been seen.
        self.key = next(key for key, _ in items if key in seen or seen.add(key))  # type: ignore[func-returns-value]


def loads(data: bytes | str, most: int | None = None) -> Any:
    """Read one JSON document, of at most `most` values.

    Raises MalformedJson for what is not JSON (with the position), Invalid for JSON that Rota does not take:
    repeated keys, NUL, lone surrogates, numbers beyond a float, more than 64 levels (with a pointer); TooLarge, before
    anything is made of it, for a document of too many values.
    """
    text = _decode(data)
    # A value takes two bytes at least, with what parts it from the next one.
    if most is not None and len(text) > 2 * most and _counts_more(text, most):
        raise TooLarge(f"The body has more than {most:,} JSON values.")
    suspects: list[Any] = []
    value = _parse(text, suspects)
    # The walk is for the rare suspect only: an escape may hide a NUL or a lone surrogate.
    if suspects or "\\u" in text or _deep(text):
        _inspect(value)
    return value


def dumps(value: Any) -> str:
    """Write one JSON document, compact; raises NotJson for what JSON (as Rota takes it) cannot carry."""
    try:
        text = _ENCODER.encode(value)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise NotJson(f"not a JSON value: {error}"[:300]) from None
    if "\\u0000" in text or _deep(text):
        try:
            _inspect(value)
        except Invalid as error:
            raise NotJson(error.detail) from None
    if (twin := _twin_key(value)) is not None:
        raise NotJson(
            f"not a JSON value: the key {twin!r} is there twice, once as text and once not"
        )
    return text


def _twin_key(root: Any) -> str | None:
    """Return the text of a key that is not text (1) and stands beside it ("1"): written, they would be the same."""
    stack = [root]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            for key in value:
                if not isinstance(key, str) and (text := json.dumps(key)) in value:
                    return text
            value = value.values()
        elif not isinstance(value, (list, tuple)):
            continue
        stack.extend(item for item in value if isinstance(item, (dict, list, tuple)))
    return None


def render(value: Any) -> str:
    """Return JSON text for values that `loads` has checked; they may be nested deeper now."""
    return _ENCODER.encode(value)


def printable(text: str, limit: int) -> str:
    """Return `text` as any database can keep it, cut to `limit` characters with a mark where it was cut."""
    if len(text) > limit:
        text = f"{text[:limit]}… ({len(text) - limit} characters more)"
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()


def escape(field: str | int) -> str:
    """Return one reference token of a JSON pointer (RFC 6901, section 3)."""
    return str(field).replace("~", "~0").replace("/", "~1")


def pointer_to(path: Iterable[str | int]) -> str:
    """Return the JSON pointer that goes these steps."""
    return "".join(f"/{escape(step)}" for step in path)


def unescape(token: str) -> str:
    """Return the field that a reference token of a JSON pointer names."""
    return token.replace("~1", "/").replace("~0", "~")


def kind_of(value: Any) -> str:
    """Return what a JSON value is, with an article."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case _:
            return "an object"


def _decode(data: bytes | str) -> str:
    if isinstance(data, str):
        return data
    try:
        # A byte order mark says nothing more, and is no part of the document (RFC 8259, section 8.1).
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedJson(f"The body is not UTF-8: byte {error.start} is wrong.") from None


def _parse(text: str, suspects: list[Any]) -> Any:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(items)
        if len(made) < len(items):
            made = _Repeated(items)
            suspects.append(made)
        return made

    def number(digits: str) -> float:
        made = float(digits)
        if not isfinite(made):
            suspects.append(made)
        return made

    try:
        return json.loads(
            text, object_pairs_hook=pairs, parse_float=number, parse_constant=_refuse_constant
        )
    except json.JSONDecodeError as error:
        raise MalformedJson(
            f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from None
    except RecursionError:
        raise Invalid(f"The JSON is nested deeper than {MAX_DEPTH} levels.") from None
    except ValueError as error:  # int() refuses thousands of digits
        raise Invalid(f"A number in the JSON is too long: {error}") from None


def _refuse_constant(name: str) -> Never:
    raise MalformedJson(f"The body is not JSON: {name} is not a JSON number.")


def _deep(text: str) -> bool:
    # Brackets bound the depth from above; strings that hold brackets only cost the walk.
    return text.count("[") + text.count("{") > MAX_DEPTH


def _counts_more(text: str, most: int) -> bool:
    """Return whether a document has more than `most` values; an empty object or list counts as two."""
    count, inside, start = 1, False, 0
    while start < len(text) and count <= most:
        end = start + _SLICE
        if text[end - 1 : end] == "\\":  # what is escaped goes with its backslash
            match = _BACKSLASHES.match(text, end)
            end = (match.end() if match else end) + 1
        found, inside = _count_in(text[start:end], inside=inside)
        count, start = count + found, end
    return count > most


def _count_in(text: str, *, inside: bool) -> tuple[int, bool]:
    """Return how many values begin in a part of a document, and whether it ends within a string."""
    parts = text.replace("\\\\", "").replace('\\"', "").split('"')
    outside = "".join(parts[inside::2])
    # Each value but the first of all comes behind a comma, or as the first of its object or list.
    found = outside.count(",") + outside.count("[") + outside.count("{")
    return found, inside ^ (len(parts) % 2 == 0)


def _inspect(root: Any) -> None:
    """Walk without recursion and raise at the first thing that Rota does not take.

    What is kept is one step for each level: a pointer is written where something is wrong, and nowhere else.
    """
    path: list[str | int] = []
    _check(path, root)
    levels = [_fields(root)]
    while levels:
        for step, value in levels[-1]:
            if type(value) in _PLAIN:
                continue
            path.append(step)
            _check(path, value)
            if isinstance(value, _CONTAINERS):
                levels.append(_fields(value))
                break
            path.pop()
        else:
            levels.pop()
            del path[-1:]


def _fields(value: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, dict):
        return iter(value.items())
    return enumerate(value) if isinstance(value, (list, tuple)) else iter(())


def _check(path: list[str | int], value: Any) -> None:
    if isinstance(value, str):
        _check_text(path, value)
    elif isinstance(value, float) and not isfinite(value):
        raise _refused(path, "the number is beyond what a double can hold")
    elif isinstance(value, _CONTAINERS):
        if len(path) >= MAX_DEPTH:
            raise _refused(path, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, _Repeated):
            key = printable(value.key, _MOST_SHOWN)
            raise _refused([*path, value.key], f"the key {key!r} is given twice")
        for key in value if isinstance(value, dict) else ():
            _check_text(path, str(key))


def _check_text(path: list[str | int], text: str) -> None:
    if "\x00" in text:
        raise _refused(path, "text must not hold the character NUL (U+0000)")
    if not text.isascii() and not _encodes(text):
        raise _refused(path, "text must not hold half of a surrogate pair")


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refused(path: list[str | int], detail: str) -> Invalid:
    pointer = pointer_to(path)
    return Invalid(
        f"{pointer or 'The document'}: {detail}.", Fault(pointer, detail), slug="unacceptable-json"
    )


def canonical(value: Any) -> str:
    """Return JSON text that is the same for the same value, whatever the order of its fields."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def equal(one: Any, other: Any) -> bool:
    """Return whether two JSON values are equal (RFC 8259): fields in any order, numbers by value, at every depth.

    1 is 1.0, true is not 1 (as it is in Python).
    """
    match one, other:
        case dict(), dict():
            return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
        case (list() | tuple(), list() | tuple()):
            return len(one) == len(other) and all(map(equal, one, other))
        case _:
            return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
