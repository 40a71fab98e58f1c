"""The document that the documentation page reads: quick to show, short for each operation, and nothing is lost."""

from collections.abc import Iterator
from typing import Any

import pytest

from rota.api.openapi.version_3_0 import schema_3_0
from tests.api.marks import shares_service
from tests.api.openapi.test_pages import operations, problems_of
from tests.api.service import Api

pytestmark = shares_service

#: https://spec.openapis.org/oas/v3.0.3#schema-object
WORDS = {
    *("title", "multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"),
    *("maxLength", "minLength", "pattern", "maxItems", "minItems", "uniqueItems"),
    *("maxProperties", "minProperties", "required", "enum", "type", "allOf", "oneOf", "anyOf"),
    *("not", "items", "properties", "additionalProperties", "description", "format", "default"),
    *("nullable", "discriminator", "readOnly", "writeOnly", "example", "deprecated"),
}


@pytest.fixture
def whole(api: Api) -> dict[str, Any]:
    return api.read("/openapi.json")


@pytest.fixture
def short(api: Api) -> dict[str, Any]:
    return api.read("/docs/openapi.json")


def responses(document: dict[str, Any], operation: dict[str, Any]) -> dict[str, Any]:
    """Return the responses of an operation, with what they refer to."""
    named = document["components"].get("responses", {})
    return {
        status: named[each["$ref"].rpartition("/")[2]] if "$ref" in each else each
        for status, each in operation["responses"].items()
    }


def schemas(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from document["components"]["schemas"].values()
    for _, operation in operations(document):
        yield from (each["schema"] for each in operation.get("parameters", ()))
        for part in (
            operation.get("requestBody", {}),
            *responses(document, operation).values(),
        ):
            yield from (content["schema"] for content in part.get("content", {}).values())


def every_part(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield a schema and those in it."""
    if not isinstance(schema, dict):
        return
    yield schema
    for word in ("items", "additionalProperties", "not"):
        yield from every_part(schema.get(word))
    for each in (
        *schema.get("properties", {}).values(),
        *(one for word in ("anyOf", "oneOf", "allOf") for one in schema.get(word, ())),
    ):
        yield from every_part(each)


def test_the_page_reads_a_document_that_swagger_ui_need_not_resolve_as_a_whole(
    api: Api, whole: dict[str, Any], short: dict[str, Any]
) -> None:
    assert "url: '/docs/openapi.json'" in api.get("/docs").text
    assert (whole["openapi"], short["openapi"]) == ("3.1.0", "3.0.3")
    assert len(api.get("/docs/openapi.json").content) < len(api.get("/openapi.json").content) / 2


def test_its_schemas_have_the_words_of_3_0_only(short: dict[str, Any]) -> None:
    parts = [part for schema in schemas(short) for part in every_part(schema)]

    assert {word for part in parts if "$ref" not in part for word in part} <= WORDS
    assert [part for part in parts if "$ref" in part and len(part) > 1] == []
    types = {"string", "integer", "number", "boolean", "array", "object"}
    assert {part["type"] for part in parts if "type" in part} == types
    assert {type(part["exclusiveMinimum"]) for part in parts if "exclusiveMinimum" in part} == {
        bool
    }
    assert len(parts) > 1_000


def test_it_has_the_operations_parameters_and_presets_of_the_whole_one(
    whole: dict[str, Any], short: dict[str, Any]
) -> None:
    for (name, full), (also, operation) in zip(operations(whole), operations(short), strict=True):
        assert name == also
        assert operation["summary"] == full["summary"]
        assert shown(operation) == shown(full), name
    assert short["tags"] == whole["tags"]
    assert short["components"]["schemas"].keys() == whole["components"]["schemas"].keys()


def shown(operation: dict[str, Any]) -> Any:
    """Return what the page fills in."""
    return [
        [
            (each["name"], each["in"], each.get("example"))
            for each in operation.get("parameters", ())
        ],
        {
            media_type: content.get("examples")
            for media_type, content in operation.get("requestBody", {}).get("content", {}).items()
        },
    ]


def test_the_page_fills_in_no_filters(short: dict[str, Any]) -> None:
    """Swagger UI fills in an example of a schema of 3.0, and `Execute` would list what is between two times only."""
    schemas = [
        part
        for _, operation in operations(short)
        for parameter in operation.get("parameters", ())
        for part in every_part(parameter["schema"])
    ]
    assert [schema for schema in schemas if "example" in schema] == []

    told = {
        each["name"]: each.get("description", "")
        for each in short["paths"]["/v1/runs"]["get"]["parameters"]
    }
    assert told["finished_from"].endswith(" For example `2026-11-25T08:00:00Z`.")
    assert "For example" not in told["cursor"]


def test_an_operation_lists_its_own_responses_and_the_general_problems_as_one(
    whole: dict[str, Any], short: dict[str, Any]
) -> None:
    counts = []
    for (name, full), (_, operation) in zip(operations(whole), operations(short), strict=True):
        listed = responses(short, operation)
        counts.append(len(listed))
        assert list(listed)[-1] == "default"
        assert listed.keys() - {"default"} <= full["responses"].keys()
        told = {(slug, str(each)) for _, slug, each in problems_of({"responses": listed})}
        expected = {(slug, str(each)) for _, slug, each in problems_of(full)}
        assert told == expected, name
        for status, each in listed.items():
            assert each["description"], (name, status)
        for _, slug, each in problems_of({"responses": {"default": listed["default"]}}):
            assert f"{each['status']} " in listed["default"]["description"]
            assert f"`{slug}`" in listed["default"]["description"]
    assert sorted(counts)[len(counts) // 2] <= 4
    assert max(counts) <= 9


def test_a_problem_of_an_operation_is_under_its_status(short: dict[str, Any]) -> None:
    listed = responses(short, short["paths"]["/v1/tasks"]["post"])

    assert set(listed) == {"200", "201", "409", "422", "429", "503", "default"}
    assert "`quota-exceeded`: " in listed["429"]["description"]
    assert "rate-limited" not in listed["429"]["description"]
    assert "429 `rate-limited`" in listed["default"]["description"]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"const": "cron"}, {"enum": ["cron"]}),
        ({"examples": [1, 2]}, {"example": 1}),
        (
            {"type": "number", "exclusiveMinimum": 0},
            {"type": "number", "minimum": 0, "exclusiveMinimum": True},
        ),
        ({"type": "null"}, {"type": "string", "nullable": True, "enum": [None]}),
        (
            {"anyOf": [{"type": "string", "maxLength": 3}, {"type": "null"}], "title": "Until"},
            {"type": "string", "maxLength": 3, "title": "Until", "nullable": True},
        ),
        (
            {"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "null"}], "default": None},
            {"anyOf": [{"type": "string"}, {"type": "number"}], "default": None, "nullable": True},
        ),
        (
            {"anyOf": [{"$ref": "#/a"}, {"type": "null"}], "description": "Which."},
            {"allOf": [{"$ref": "#/a"}], "description": "Which.", "nullable": True},
        ),
        ({"$ref": "#/a"}, {"$ref": "#/a"}),
        (
            {"properties": {"title": {"title": "Title", "type": "string"}}, "title": "Book"},
            {"properties": {"title": {"type": "string"}}, "title": "Book"},
        ),
        (
            {"patternProperties": {"^a": {"type": "null"}}, "additionalProperties": False},
            {"additionalProperties": {"type": "string", "nullable": True, "enum": [None]}},
        ),
        (
            {
                "items": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
                "default": [{"const": 1}],
            },
            {"items": {"type": "boolean", "nullable": True}, "default": [{"const": 1}]},
        ),
        ({"additionalProperties": True}, {"additionalProperties": True}),
        # Not words of any version.
        (
            {"anyOf": [{"type": "integer"}, {"type": "number"}], "gt": 0},
            {"anyOf": [{"type": "integer"}, {"type": "number"}]},
        ),
    ],
)
def test_a_schema_of_3_1_is_one_of_3_0(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    before = repr(schema)

    assert schema_3_0(schema) == expected
    assert repr(schema) == before
