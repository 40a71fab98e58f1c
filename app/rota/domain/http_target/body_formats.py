"""How a body is written: what each format takes, and the content type that it has unless the headers say another."""

import binascii
from base64 import b64decode
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Final, assert_never

from rota.domain.http_target.refusals import Fault
from rota.domain.http_target.templates.grammar import OPENS
from rota.domain.primitives.json import json_text


class BodyFormat(StrEnum):
    """How the value that is the body becomes bytes."""

    JSON = "json"  # as JSON; a text as it is if the headers declare another content type
    TEXT = "text"  # a text, as it is
    FORM = "form"  # an object, as a form: one parameter for each field, several for a list
    BYTES = "bytes"  # the bytes that a text has in base64


CONTENT_TYPES: Final[Mapping[BodyFormat, str]] = {
    BodyFormat.JSON: "application/json",
    BodyFormat.TEXT: "text/plain; charset=utf-8",
    BodyFormat.FORM: "application/x-www-form-urlencoded",
    BodyFormat.BYTES: "application/octet-stream",
}


def faults_in_body(
    body_format: BodyFormat, body: Any, *, template: bool = False
) -> Iterator[Fault]:
    """Yield (place, what would be right) for what cannot be written in a format.

    In a `template` texts with references may become anything; what they have become is checked before it is sent.
    """
    if template and isinstance(body, str) and OPENS in body:
        return
    match body_format:
        case BodyFormat.JSON:
            return
        case BodyFormat.TEXT:
            if not isinstance(body, str):
                yield (
                    (),
                    f"with 'body_format' \"text\" the body is a text, not {json_text.kind_of(body)}",
                )
        case BodyFormat.FORM:
            yield from _faults_in_form(body)
        case BodyFormat.BYTES:
            if not isinstance(body, str) or decoded(body) is None:
                yield (
                    (),
                    "with 'body_format' \"bytes\" the body is a text in base64 with padding, such as 'aGk='",
                )
        case _:
            assert_never(body_format)


def decoded(text: str) -> bytes | None:
    """Return the bytes of a text in base64 (RFC 4648, section 4); None for another text."""
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def form_pairs(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the parameters of a form; null values are left out, and a list gives one for each of its items."""
    for name, value in body.items():
        for item in value if isinstance(value, list) else [value]:
            if item is not None:
                yield name, item if isinstance(item, str) else json_text.render(item)


def _faults_in_form(body: Any) -> Iterator[Fault]:
    if not isinstance(body, dict):
        yield (
            (),
            f"with 'body_format' \"form\" the body is an object, not {json_text.kind_of(body)}",
        )
        return
    for name, value in body.items():
        items = value if isinstance(value, list) else [value]
        wrong = next((each for each in items if isinstance(each, list | dict)), None)
        if wrong is not None:
            yield (
                (name,),
                (
                    "a value of a form is a text, a number, true, false, null or a list of these; "
                    "write others as JSON, as in '{{ input.items | json }}'"
                ),
            )
