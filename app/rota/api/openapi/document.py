"""Additions to the OpenAPI document: the problems of each operation, and requests that can be sent at once."""

from collections.abc import Iterator
from typing import Any

from rota.api.middleware.auth import is_open, takes_token
from rota.api.openapi.presets import MADE_BY, PARAMETERS, PRESETS, READ
from rota.api.problems.problem import MEDIA_TYPE, problem_responses

_SENT_IN_HEADERS = frozenset({"If-Match", "If-None-Match", "Idempotency-Key", "Last-Event-ID"})
# Values of these are checked for more than their form.
_FILTERS = frozenset(
    {
        "status",
        "trigger",
        "backfill_id",
        "type",
        "include",
        "watch",
        "at",
        "last_event_id",
        "result",
    }
)
_MADE_FIRST = (
    "The request that is filled in here is about what that of `PUT {}` makes: send that first."
)
_OF_KEYS = ("unauthorized", "forbidden")
_OF_ALL = (
    *("not-local", "foreign-origin", "wrong-host", "unknown-parameter", "unavailable"),
    *("malformed-request", "request-timeout", "url-too-long", "headers-too-large"),
)
_OF_BODIES = ("malformed-json", "too-large", "unsupported-media-type", "unacceptable-json")
#: Types of problems that say nothing about an operation: they follow from that it is a request, with a key or a body.
GENERAL = frozenset({*_OF_KEYS, "rate-limited", *_OF_ALL, *_OF_BODIES})


def complete(method: str, path: str, operation: dict[str, Any]) -> None:
    """Add the problems that follow from an operation's path, parameters and body, and its presets."""
    _add_problems(path, operation)
    for parameter in operation.get("parameters", ()):
        place = (path, parameter["name"])
        given = PARAMETERS.get(place)
        example = READ.get(place, given) if method == "get" else given
        if example is not None:
            parameter["example"] = example
    for media_type, presets in PRESETS.get((method, path), {}).items():
        content = operation["requestBody"]["content"].setdefault(
            media_type, {"schema": {"type": "string"}}
        )
        content["examples"] = {summary: {"value": value} for summary, value in presets.items()}
        content.pop("example", None)
    if (method, path) in MADE_BY:
        note = _MADE_FIRST.format(MADE_BY[method, path])
        operation["description"] = f"{operation.get('description', '')}\n\n{note}".strip()


def _add_problems(path: str, operation: dict[str, Any]) -> None:
    own = [
        slug
        for response in operation["responses"].values()
        for slug in response.get("content", {}).get(MEDIA_TYPE, {}).get("examples", ())
    ]
    has_body = "requestBody" in operation
    others = {
        status: response
        for status, response in operation["responses"].items()
        if MEDIA_TYPE not in response.get("content", {})
        # FastAPI's own response for requests that can be invalid.
        and status != "422"
    }
    problems = problem_responses([*own, *_general(path, operation)], has_body=has_body)
    operation["responses"] = others | {str(status): each for status, each in problems.items()}


def _general(path: str, operation: dict[str, Any]) -> Iterator[str]:
    """Yield the types of problems that a request can have, whatever the operation does."""
    if not is_open(path):
        yield from _OF_KEYS
    if not takes_token(path):
        yield "rate-limited"
    yield from _OF_ALL
    if "requestBody" in operation:
        yield from _OF_BODIES
    yield from _of_parameters(operation)


def _of_parameters(operation: dict[str, Any]) -> Iterator[str]:
    parameters = operation.get("parameters", ())
    names = {each["name"] for each in parameters}
    if "requestBody" in operation or any(each["in"] != "header" for each in parameters):
        yield "invalid"
    if "cursor" in names:
        yield "invalid-cursor"
    in_query = {each["name"] for each in parameters if each["in"] == "query"}
    if in_query & _FILTERS:
        yield "invalid-filter"
    if names & _SENT_IN_HEADERS:
        yield "invalid-header"
    if "Idempotency-Key" in names:
        yield "idempotency-key-reused"
