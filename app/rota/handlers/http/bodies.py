"""Bodies of requests: from a filled-in value to the bytes that are sent."""

from collections.abc import Mapping
from typing import Any, Never, assert_never
from urllib.parse import urlencode

from rota.domain.http_target.body_formats import (
    CONTENT_TYPES,
    BodyFormat,
    decoded,
    faults_in_body,
    form_pairs,
)
from rota.domain.http_target.target import Target
from rota.domain.http_target.templates.filling import to_text
from rota.domain.primitives.json import json_text
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Failed
from rota.egress.requests import charset_of, is_json
from rota.handlers.outcomes import EndsWith


def content_type_of(target: Target) -> str:
    """Return the content type of a body whose headers give none."""
    return CONTENT_TYPES[target.body_format]


def encode(target: Target, body: Any, headers: Mapping[str, str]) -> bytes:
    """Return the bytes of a filled-in body, whose headers have a content type; fails the attempt if there are none."""
    declared = next(value for name, value in headers.items() if name.lower() == "content-type")
    if target.body_format is BodyFormat.TEXT and not isinstance(body, list | dict):
        body = to_text(body)
    for path, message in faults_in_body(target.body_format, body):
        _impossible(target, path, message)
    match target.body_format:
        case BodyFormat.JSON if not isinstance(body, str) or is_json(declared):
            return json_text.render(body).encode()
        case BodyFormat.JSON | BodyFormat.TEXT:
            return _in_charset(body, charset_of(declared))
        case BodyFormat.FORM:
            return urlencode(list(form_pairs(body))).encode()
        case BodyFormat.BYTES:
            return decoded(body) or b""
        case _:
            assert_never(target.body_format)


def _in_charset(text: str, charset: str) -> bytes:
    try:
        return text.encode(charset)
    except UnicodeEncodeError:
        message = f"the body cannot be sent: it has characters that {charset} does not have"
        raise EndsWith(Failed(RunError("http.body", message))) from None


def _impossible(target: Target, path: tuple[str | int, ...], message: str) -> Never:
    field = "/input" if target.body is None else "/target/body"
    text = f"the body cannot be sent: {field}{json_text.pointer_to(path)}: {message}"
    raise EndsWith(Failed(RunError("http.body", json_text.printable(text, 2_000))))
