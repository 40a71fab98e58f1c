"""The form for an input from the schema of its handler: the fields, and the input from what was typed in them."""

from typing import Any

import pytest

from rota.domain.primitives.json import json_text
from rota.web.task_forms.fields import Field, Kind
from rota.web.task_forms.input_fields import input_field, only
from rota.web.task_forms.layout import Shown, lay_out_one
from rota.web.task_forms.typed import Reader, fill

SCHEMA: dict[str, Any] = {
    "type": "object",
    "$defs": {"Level": {"enum": ["low", "high"]}},
    "required": ["name", "level"],
    "properties": {
        "name": {"type": "string", "description": "Whom."},
        "level": {"$ref": "#/$defs/Level"},
        "count": {"type": "integer", "minimum": 1, "default": 3},
        "share": {"anyOf": [{"type": "number"}, {"type": "null"}], "default": None},
        "loud": {"type": "boolean"},
        "size": {"enum": [1, "1", None]},
        "version": {"const": 2},
        "more": {"type": "array", "items": {"type": "object"}},
    },
}


def read(typed: dict[str, str], schema: Any = SCHEMA) -> tuple[Any, dict[str, str]]:
    """Return the input that was typed, and the faults by the members that they are about."""
    reader = Reader(typed)
    body = reader.members([input_field(schema)])
    faults = {each.pointer.removeprefix("/input/"): each.detail for each in reader.faults}
    return body.get("input"), faults


def sent(**members: str) -> tuple[Any, dict[str, str]]:
    return read({f"/input#fields/{name}": text for name, text in members.items()})


def members_of(schema: Any) -> dict[str, Field]:
    """Return the fields of an input by the names of their members."""
    by_fields = dict(input_field(schema).forms)["fields"]
    return {each.label: each for each in by_fields.fields}


def shown(value: Any, schema: Any = SCHEMA) -> dict[str, Shown]:
    """Return what the form shows of an input, by the names of its members."""
    field = input_field(schema)
    laid_out, _ = lay_out_one(field, fill([field], {"input": value}), ())
    return {each.field.label: each for each in dict(laid_out.forms)["fields"].front}


def test_each_member_has_a_field_that_fits() -> None:
    fields = members_of(SCHEMA)

    assert {name: each.kind for name, each in fields.items()} == {
        "name": Kind.TEXT,
        "level": Kind.SELECT,
        "count": Kind.NUMBER,
        "share": Kind.NUMBER,
        "loud": Kind.BOOLEAN,
        "size": Kind.SELECT_JSON,
        "version": Kind.SELECT_JSON,
        "more": Kind.JSON,
        "Other fields": Kind.REST,
    }
    assert (fields["name"].hint, fields["name"].required) == ("Whom.", True)
    assert fields["count"].limits == "integer, from 1, default 3"
    assert [value for value, _ in fields["level"].options] == ["", "low", "high"]
    assert [value for value, _ in fields["size"].options] == ["", "1", '"1"', "null"]
    assert fields["share"].nullable
    assert shown({"count": 2**53 + 1})["count"].value == "9007199254740993"


def test_what_was_typed_becomes_the_input_and_what_was_not_is_left_out() -> None:
    input, faults = sent(
        name="Ada\r\nL",
        level="high",
        count="9007199254740993",
        share="",
        loud="true",
        size='"1"',
        more='[{"a": 1}]',
    )

    assert faults == {}
    assert input == {
        "name": "Ada\nL",
        "level": "high",
        "count": 2**53 + 1,
        "loud": True,
        "size": "1",
        "more": [{"a": 1}],
    }


def test_a_fault_is_that_of_its_field() -> None:
    assert list(sent(name="Ada", level="low", more="[")[1]) == ["more"]


@pytest.mark.parametrize(("required", "expected"), [(True, {"x": None}), (False, {})])
def test_a_field_left_empty_is_null_only_if_the_member_has_to_be_there(
    required: bool, expected: dict[str, Any]
) -> None:
    nullable = {"type": ["integer", "null"]}
    schema = {"properties": {"x": nullable}, "required": ["x"] if required else []}

    assert read({"/input#fields/x": ""}, schema) == (expected, {})


def test_members_that_the_schema_does_not_name_are_kept() -> None:
    rest = shown({"name": "Ada", "extra": [1]})["Other fields"]

    assert rest.value == '{"extra":[1]}'
    form = {"/input#fields/name": "Ada", "/input#fields/level": "low", rest.field.path: '{"x": 1}'}
    assert read(form) == ({"name": "Ada", "level": "low", "x": 1}, {})
    assert read(form | {rest.field.path: "[1]"})[1] == {"": "give an object"}


def test_a_schema_that_takes_no_other_members_offers_none() -> None:
    closed = SCHEMA | {"additionalProperties": False}

    assert "Other fields" not in members_of(closed)


@pytest.mark.parametrize("name", [5, None, "", " spaces ", {"first": "Ada"}])
def test_a_value_of_another_shape_is_typed_as_json_and_stays_so(name: Any) -> None:
    field = shown({"name": name})["name"]

    assert (field.kind, field.value) == (Kind.JSON, json_text.dumps(name))
    form = {"/input#fields/name": field.value, field.field.as_json: "yes"}
    assert read(form) == ({"name": name}, {})


def test_a_text_of_several_lines_is_typed_on_several() -> None:
    assert shown({"name": "a\nb"})["name"].kind is Kind.LONG


def test_one_member_that_cannot_be_read_does_not_cost_the_others_their_fields() -> None:
    members = {"odd": True, "none": {"$ref": "#/$defs/none"}, "name": {"type": "string"}}

    fields = members_of({"properties": members})

    assert [each.kind for each in fields.values()] == [Kind.JSON, Kind.JSON, Kind.TEXT, Kind.REST]


@pytest.mark.parametrize(
    "schema",
    [
        None,
        True,
        {"type": "array"},
        {"type": "object"},
        {"oneOf": [{}, {}], "type": "object", "properties": {"a": {}}},
        {"properties": {"a#b": {}}},
        {"$ref": "#"},
        {"$ref": "#/$defs/none"},
    ],
)
def test_what_is_no_plain_object_is_one_field_of_json(schema: Any) -> None:
    field = input_field(schema)

    assert [name for name, _ in field.forms] == ["json"]
    typed = fill([field], {"input": [1, 2**60]})
    assert read(typed, schema) == ([1, 2**60], {})
    assert read({"/input#json": "{"}, schema)[1].keys() == {"/input"}


def test_a_root_that_is_a_reference_has_the_fields_of_what_it_names() -> None:
    schema = {"$ref": "#/definitions/In", "definitions": {"In": {"properties": {"a": {}}}}}

    assert list(members_of(schema)) == ["a", "Other fields"]


def test_a_form_that_the_schema_does_not_have_any_more_is_that_for_json() -> None:
    assert [name for name, _ in only(input_field(None), "fields").forms] == ["json"]
    assert [name for name, _ in only(input_field(SCHEMA), "fields").forms] == ["fields"]
