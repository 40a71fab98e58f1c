"""The document that the documentation page reads: that of `/openapi.json`, made short and quick to show.

Swagger UI resolves a document of OpenAPI 3.1 as a whole, again with each operation that is opened; of one of 3.0 it
resolves that operation only. And an operation would list 13 to 15 responses, of which ten are the same everywhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any, Final

from rota.api.openapi.document import GENERAL
from rota.api.openapi.version_3_0 import VERSION, as_3_0
from rota.api.problems.problem import MEDIA_TYPE
from rota.api.problems.types import PROBLEM_TYPES

_PROBLEMS: Final = "/guide/reference/service/problems"
_NOTE: Final = f"""
To keep this page short, an operation lists its own problems, and as `default` the general ones, which are
[explained in the guide]({_PROBLEMS}). [openapi.json](/openapi.json) lists all of them for each operation: generate
clients from that.
"""


def page_document(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document of OpenAPI 3.0 with the same operations; general problems are in `default` responses."""
    made = deepcopy(dict(document))
    made["openapi"] = VERSION
    made["info"]["description"] += _NOTE
    responses = _Responses()
    for item in made["paths"].values():
        for operation in item.values():
            operation["responses"] = dict(_folded(operation["responses"], responses))
            for parameter in operation.get("parameters", ()):
                _describe_example(parameter)
    as_3_0(made)
    made["components"]["responses"] = responses.named
    return made


def _describe_example(parameter: dict[str, Any]) -> None:
    """Put the example of a parameter into its description: the page would fill it in, and filter by it."""
    examples = parameter["schema"].pop("examples", ())
    if not examples or "example" in parameter:
        return
    [example] = examples
    listed = example if isinstance(example, list) else [example]
    shown = ", ".join(f"`{each}`" for each in listed)
    parameter["description"] = f"{parameter.get('description', '')} For example {shown}.".strip()


class _Responses:
    """Responses that operations refer to: equal ones are kept once."""

    def __init__(self) -> None:
        self.named: dict[str, Any] = {}

    def reference(self, name: str, response: Mapping[str, Any]) -> dict[str, str]:
        """Keep a response under a name, with a number if another one has it; return a reference to it."""
        number, free = 1, name
        while self.named.setdefault(free, response) != response:
            number += 1
            free = f"{name}-{number}"
        return {"$ref": f"#/components/responses/{free}"}


def _folded(
    of_operation: Mapping[str, Mapping[str, Any]], responses: _Responses
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the responses of an operation by status, and last what it can return as any other can."""
    general: dict[str, Any] = {}
    for status, response in of_operation.items():
        examples = response.get("content", {}).get(MEDIA_TYPE, {}).get("examples", {})
        own = [slug for slug in examples if slug not in GENERAL]
        general |= {slug: shown for slug, shown in examples.items() if slug in GENERAL}
        if not examples:
            yield status, response
        elif own:
            yield status, responses.reference(f"{status}-{'-'.join(own)}", _only(response, own))
    yield "default", responses.reference("general", _general(general))


def _only(response: Mapping[str, Any], slugs: Sequence[str]) -> dict[str, Any]:
    """Return a response with some of its problems."""
    [(media_type, content)] = response["content"].items()
    meanings = (
        paragraph
        for paragraph in response["description"].split("\n\n")
        if paragraph.startswith(tuple(f"`{slug}`: " for slug in slugs))
    )
    shown = {slug: content["examples"][slug] for slug in slugs}
    return {
        "description": "\n\n".join(meanings),
        "content": {media_type: content | {"examples": shown}},
    }


def _general(examples: Mapping[str, Any]) -> dict[str, Any]:
    by_status: dict[int, list[str]] = {}
    for slug in examples:
        by_status.setdefault(PROBLEM_TYPES[slug][0], []).append(f"`{slug}`")
    listed = "; ".join(f"{status} {', '.join(by_status[status])}" for status in sorted(by_status))
    return {
        "description": f"A [general problem]({_PROBLEMS}): {listed}.",
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": dict(examples),
            }
        },
    }
