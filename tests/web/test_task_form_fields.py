"""Fields from schemas of any shape, and between what is typed and JSON."""

from collections.abc import Mapping
from typing import Any

import pytest

from rota.web.task_forms.fields import Field
from rota.web.task_forms.patches import can_be_patched, patch_between
from rota.web.task_forms.registration import Handlers, fields_for
from rota.web.task_forms.typed import Reader, fill
from tests.support.openapi import openapi_document

DOCUMENT = openapi_document()
DEEPER = {"type": "object", "properties": {"y": {"type": "number"}}}


def input_field(schema: Any) -> Field:
    handler = {"name": "mine", "description": "", "input_schema": schema}
    fields = fields_for(DOCUMENT, Handlers([handler], are_all=True), "mine")
    return next(each for each in fields if each.path == "/input")


@pytest.mark.parametrize(
    ("schema", "value", "by_fields"),
    [
        ({"properties": {"name": {"type": "string"}}}, {"name": "Ada"}, True),
        ({"properties": {"name": {"type": "string"}}}, {"name": " Ada"}, True),
        ({"properties": {"name": {"type": "string"}}}, {"name": "Ada", "more": 1}, True),
        ({"properties": {"count": {"type": "integer"}}}, {"count": 2**64}, True),
        ({"properties": {"all": {"type": "boolean"}}}, {"all": False}, True),
        ({"properties": {"lines": {"type": "array", "items": {"type": "string"}}}}, {"lines": ["a", "b"]}, True),
        ({"properties": {"lines": {"type": "array", "items": {"type": "string"}}}}, {"lines": ["1"]}, True),
        ({"properties": {"x": {"$ref": "#/$defs/x"}}, "$defs": {"x": DEEPER}}, {"x": {"y": 0.1}}, True),
        ({"properties": {"x": {"$ref": "#/$defs/none"}}}, {"x": 1}, True),
        ({"properties": {"x": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"$ref": "#/$defs/x"}}}, {"x": 1}, True),
        ({"properties": {"x": True}}, {"x": [1]}, True),
        ({"properties": {"x": {"type": ["string", "null"]}}}, {"x": "y"}, True),
        ({"properties": {"x": {"type": "object", "properties": {"y": {}}}}}, {"x": [1]}, True),
        ({"properties": {f"x{n}": {} for n in range(101)}}, {"x1": 1}, False),
        ({"properties": {"a/b~c": {"type": "string"}}}, {"a/b~c": "e"}, True),
        ({"properties": {"a#b": {"type": "string"}}}, {"a#b": "e"}, False),
        ({"properties": 7}, {"x": 1}, False),
        (True, {"x": 1}, False),
        (None, [1, None], False),
    ],
)  # fmt: skip
def test_an_input_is_what_it_was_whatever_the_schema_of_its_handler(
    schema: Any, value: Any, by_fields: bool
) -> None:
    field = input_field(schema)

    typed = fill([field], {"input": value})
    reader = Reader(typed)

    assert reader.members([field]) == {"input": value}
    assert reader.faults == []
    assert ("/input#json" not in typed) == by_fields


def test_a_schema_that_has_itself_in_it_ends_as_json() -> None:
    node: dict[str, Any] = {"properties": {"child": {"$ref": "#/$defs/node"}}, "type": "object"}
    field = input_field({**node, "$defs": {"node": node}})

    assert sum(1 for _ in field.all()) < 10


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1, "b": 2}, {"a": 1}, {"b": None}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"x": 1, "z": 3}}, {"a": {"y": None, "z": 3}}),
        ({"a": [1]}, {"a": [1, 2]}, {"a": [1, 2]}),
        ({"a": 1}, {"a": True}, {"a": True}),
    ],
)
def test_a_patch_is_what_was_changed(
    before: Mapping[str, Any], after: Mapping[str, Any], patch: Mapping[str, Any]
) -> None:
    assert patch_between(before, after) == patch


def test_nulls_that_are_new_cannot_be_patched() -> None:
    assert can_be_patched({"a": {"x": None}}, {"a": {"x": None}, "b": [None]})
    assert not can_be_patched({"a": {"x": 1}}, {"a": {"x": None}})
