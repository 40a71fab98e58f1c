"""The grammar of templates: from a text to its parts.

    template  = { text | "{{" ( JSON text | reference ) "}}" }
    reference = path ["?"] { "|" filter }
    path      = name { "." name | "[" number "]" | "[" JSON text "]" }
    filter    = "base64" | "iso" | "json" | "urlencode" | "default(" JSON ")"

A name has no white space and none of the characters that expressions are made of elsewhere (`. [ ] ( ) | ' " + =` …),
so that an expression of another language is refused and not taken for a name. A number counts from 0, from the end if
it is negative. For braces themselves there is `{{ "{{" }}`.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from rota.domain.primitives.bounded_cache import bounded_cache
from rota.domain.primitives.json import json_text
from rota.domain.validation.messages import nearest
from rota.errors import Invalid

#: How many references a template may have.
MOST_REFERENCES: Final = 1_000
#: How many filters a reference may have, and how many characters the value of a `default`.
MOST_FILTERS: Final = 8
MOST_DEFAULT: Final = 4_096
OPENS: Final = "{{"

_NAME = r"""[^\s.\[\]{}()?|"'`*+/%=<>!&,;\\]+"""
_TEXT = r'"(?:[^"\\]|\\.)*"'
_STEP = re.compile(rf"\.({_NAME})|\[(-?\d{{1,9}})\]|\[({_TEXT})\]")
# No value has more levels than a document may have.
_PATH = re.compile(rf"({_NAME})((?:{_STEP.pattern}){{0,{json_text.MAX_DEPTH}}})(\?)?")
_LITERAL = re.compile(_TEXT)
_SPACE = re.compile(r"\s*")
_WORD = re.compile(r"\w+")
_PLAIN = re.compile(_NAME)
_SHOWN = 60
_MOST_SHOWN = 200
_EXAMPLE = "'{{ input.customer.id }}'"
_DECODER = json.JSONDecoder()


class TemplateError(ValueError):
    """A text is no template; the message says where, and what would be right."""


class FilterName(StrEnum):
    """What can be done to a value on its way into a text. Each is pure, and its result depends on the value alone."""

    BASE64 = "base64"  # the bytes of the text (UTF-8), with padding
    DEFAULT = "default"  # another value in place of a missing one, and of null
    ISO = "iso"  # a time (seconds since 1970, or RFC 3339) as 2026-11-25T08:00:00.000Z
    JSON = "json"  # the value as JSON text
    URLENCODE = "urlencode"  # percent-encoded, for one segment of a path or one value of a form


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter of a reference; `argument` is the JSON text of a default."""

    name: FilterName
    argument: str = ""


@dataclass(frozen=True, slots=True)
class Reference:
    """A place in a value: fields by name, items by number; `optional` if it may lead nowhere."""

    path: tuple[str | int, ...]
    optional: bool = False
    filters: tuple[Filter, ...] = ()

    def __str__(self) -> str:
        return spelled(self.path)

    @property
    def brief(self) -> str:
        """The reference as errors show it: names in it can be as long as the template."""
        text = str(self)
        return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"

    @property
    def may_be_missing(self) -> bool:
        """Whether the template says what to do if there is nothing at the place."""
        return self.optional or any(each.name is FilterName.DEFAULT for each in self.filters)


def texts(template: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield the texts of a JSON value that have `{{`, with their places; names of fields are none."""
    if isinstance(template, str):
        if OPENS in template:
            yield (), template
    else:
        yield from _texts_in(template, [])


def _texts_in(value: Any, path: list[str | int]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    # The path is written out where there is a text with braces only: a body can have 200,000 values.
    match value:
        case dict():
            items: Iterable[tuple[str | int, Any]] = value.items()
        case list():
            items = enumerate(value)
        case _:
            return
    for step, inner in items:
        if isinstance(inner, str):
            if OPENS in inner:
                yield (*path, step), inner
        elif isinstance(inner, dict | list):
            path.append(step)
            yield from _texts_in(inner, path)
            path.pop()


def references(template: Any) -> Iterator[Reference]:
    """Yield the references in the texts of a JSON value, not in the names of fields; raises TemplateError."""
    for _, text in texts(template):
        yield from references_in(text)


def references_in(text: str) -> Iterator[Reference]:
    """Yield the references of one text; raises TemplateError."""
    return (part for part in parse(text) if isinstance(part, Reference))


def is_filled_in(text: str) -> bool:
    """Return whether a text has references, so that a part of it comes from elsewhere."""
    try:
        return next(references_in(text), None) is not None
    except TemplateError:
        return False


@bounded_cache(len)
def parse(text: str) -> tuple[str | Reference, ...]:
    """Return the parts of a template, in order; raises TemplateError."""
    if text.count(OPENS) > 2 * MOST_REFERENCES:  # the braces themselves are written in braces, too
        raise TemplateError(f"it has more than {MOST_REFERENCES:,} references, which is the limit")
    parts: list[str | Reference] = []
    at = 0
    while (begin := text.find(OPENS, at)) >= 0:
        if begin > at:
            parts.append(text[at:begin])
        part, at = _Expression(text, begin).read()
        parts.append(part)
    return (*parts, text[at:]) if text[at:] or not parts else tuple(parts)


def spelled(path: tuple[str | int, ...]) -> str:
    """Return a path as it is written in a template."""
    root, *steps = path
    return str(root) + "".join(map(_spelled_step, steps))


class _Expression:
    """What is between one pair of braces, read from its beginning."""

    def __init__(self, text: str, begin: int) -> None:
        self._text = text
        self._begin = begin
        self._at = begin + len(OPENS)

    def read(self) -> tuple[str | Reference, int]:
        """Return the part, and where the text continues behind it."""
        self._skip_space()
        literal = _LITERAL.match(self._text, self._at)
        if literal is not None:
            self._at = literal.end()
            part: str | Reference = _unquoted(literal[0])
        else:
            part = self._reference()
        self._skip_space()
        if not self._takes("}}"):
            raise self._malformed()
        return part, self._at

    def _reference(self) -> Reference:
        path = _PATH.match(self._text, self._at)
        if path is None:
            raise self._malformed()
        self._at = path.end()
        steps = (_step(*each.groups()) for each in _STEP.finditer(path[2]))
        filters = tuple(self._filters())
        return Reference((path[1], *steps), path[path.re.groups] is not None, filters)

    def _filters(self) -> Iterator[Filter]:
        count = 0
        self._skip_space()
        while self._takes("|"):
            count += 1
            if count > MOST_FILTERS:
                raise TemplateError(f"{self._excerpt()} has more than {MOST_FILTERS} filters")
            self._skip_space()
            yield self._filter()
            self._skip_space()

    def _filter(self) -> Filter:
        word = _WORD.match(self._text, self._at)
        if word is None:
            raise TemplateError(f"{self._excerpt()} has no filter behind '|'; {_known_filters()}")
        self._at = word.end()
        name = _filter_name(word[0])
        if name is FilterName.DEFAULT:
            return Filter(name, self._argument())
        if self._takes("("):
            raise TemplateError(f"the filter '{name}' takes no argument: write '| {name}'")
        return Filter(name)

    def _argument(self) -> str:
        begin = self._at + 1
        given = self._text[begin : begin + MOST_DEFAULT + 1]
        if not self._takes("("):
            raise _no_default()
        try:
            end = _DECODER.raw_decode(given, _end_of_space(given, 0))[1]
            json_text.loads(given[:end])
        except (ValueError, RecursionError, Invalid):
            raise _no_default() from None
        self._at = begin + end
        self._skip_space()
        if end > MOST_DEFAULT or not self._takes(")"):
            raise _no_default()
        return given[:end].strip()

    def _skip_space(self) -> None:
        self._at = _end_of_space(self._text, self._at)

    def _takes(self, token: str) -> bool:
        found = self._text.startswith(token, self._at)
        self._at += len(token) if found else 0
        return found

    def _malformed(self) -> TemplateError:
        return TemplateError(f"{self._excerpt()} is no reference such as {_EXAMPLE}")

    def _excerpt(self) -> str:
        end = self._text.find("}}", self._begin)
        stop = min(end + 2 if end >= 0 else len(self._text), self._begin + _SHOWN)
        return repr(self._text[self._begin : stop])


def _filter_name(word: str) -> FilterName:
    try:
        return FilterName(word)
    except ValueError:
        hint = nearest(word, [each.value for each in FilterName]) or f"; {_known_filters()}"
        raise TemplateError(f"there is no filter {word[:_SHOWN]!r}{hint}") from None


def _known_filters() -> str:
    return f"the filters are {', '.join(FilterName)}"


def _no_default() -> TemplateError:
    return TemplateError(
        f"'default' takes a JSON value of at most {MOST_DEFAULT:,} characters, such as default(\"none\") or default(0)"
    )


def _end_of_space(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return at if space is None else space.end()


def _step(name: str | None, number: str | None, text: str | None) -> str | int:
    if name is not None:
        if _is_attribute(name):
            raise TemplateError(
                f"'.{name[:_SHOWN]}' looks like an attribute, and values have none; "
                f"a field of that name is written [{json.dumps(name[:_SHOWN])}]"
            )
        return name
    return int(number) if number is not None else _unquoted(text or "")


def _is_attribute(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _unquoted(text: str) -> str:
    try:
        return str(json_text.loads(text))
    except Invalid:
        raise TemplateError(f"{text[:_SHOWN]} is not a JSON text") from None


def _spelled_step(step: str | int) -> str:
    if isinstance(step, str) and _PLAIN.fullmatch(step) and not _is_attribute(step):
        return f".{step}"
    return f"[{json.dumps(step)}]"
