"""Texts of a target that may not be sent as they were meant: literal braces, and values that are encoded twice."""

from collections.abc import Iterator
from typing import Any

from rota.domain.http_target.body_formats import BodyFormat
from rota.domain.http_target.target import Target
from rota.domain.http_target.templates.grammar import (
    OPENS,
    FilterName,
    TemplateError,
    references_in,
    texts,
)
from rota.domain.primitives.finding import Finding
from rota.domain.primitives.json.json_text import pointer_to
from rota.domain.primitives.texts import english
from rota.domain.primitives.texts.sealed import SealedText

_TAG = "{%"
_MOST_NAMED = 3
_Path = tuple[str | int, ...]


def target_texts(target: Target, task_input: Any) -> Iterator[Finding]:
    """Yield what of a target, and of the input that is its body, is sent as it stands although it looks otherwise."""
    parts = {
        "url": target.url,
        "headers": target.headers,
        "query": target.query,
        "body": target.body,
    }
    names = list(_names({"query": target.query, "body": target.body}))
    if names:
        yield _literal(names, OPENS, "as names are never filled in. Put what changes into values.")
    tags = [path for path, text in _all_texts(parts) if _TAG in text]
    if tags:
        yield _literal(
            tags, _TAG, "as there are references and filters, and no tags such as loops."
        )
    if target.sends_input and not isinstance(task_input, SealedText):
        inside = [("input", *path) for path, _ in texts(task_input)]
        if inside:
            why = "as the input is data. Give a target.body with the references instead."
            yield _literal(inside, OPENS, why, within="")
    twice = list(_encoded_twice(target))
    if twice:
        yield Finding(
            "encoded_twice",
            f"{_shown(twice, '/target')} {_verb(twice)} percent-encoded twice: by 'urlencode', and as a value of a "
            "query or of a form. Leave 'urlencode' out, unless the receiver decodes twice.",
        )


def _encoded_twice(target: Target) -> Iterator[_Path]:
    encoded = {"query": target.query}
    if target.body_format is BodyFormat.FORM:
        encoded["body"] = target.body
    for path, text in texts(encoded):
        if FilterName.URLENCODE in _last_filters(text):
            yield path


def _last_filters(text: str) -> list[FilterName]:
    try:
        return [each.filters[-1].name for each in references_in(text) if each.filters]
    except TemplateError:  # of a definition that is older than what is checked today
        return []


def _literal(places: list[_Path], what: str, why: str, within: str = "/target") -> Finding:
    stands = "it stands" if len(places) == 1 else "they stand"
    message = f"'{what}' in {_shown(places, within)} {_verb(places)} sent as {stands}, {why}"
    return Finding("literal_template", message)


def _shown(places: list[_Path], within: str) -> str:
    shown = english.and_list([within + pointer_to(place) for place in places[:_MOST_NAMED]])
    more = f" and {len(places) - _MOST_NAMED} more" if len(places) > _MOST_NAMED else ""
    return shown + more


def _verb(places: list[_Path]) -> str:
    return "is" if len(places) == 1 else "are"


def _names(value: Any, path: _Path = ()) -> Iterator[_Path]:
    """Yield where in a JSON value names of fields have `{{`."""
    for step, inner in _fields(value):
        if isinstance(step, str) and OPENS in step:
            yield (*path, step)
        yield from _names(inner, (*path, step))


def _all_texts(value: Any, path: _Path = ()) -> Iterator[tuple[_Path, str]]:
    if isinstance(value, str):
        yield path, value
    for step, inner in _fields(value):
        yield from _all_texts(inner, (*path, step))


def _fields(value: Any) -> Iterator[tuple[str | int, Any]]:
    match value:
        case dict():
            yield from value.items()
        case list():
            yield from enumerate(value)
