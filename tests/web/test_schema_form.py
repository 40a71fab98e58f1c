"""Forms from schemas: the fields, and the input from what was typed in them."""

from typing import Any

import pytest

from rota.web.schema_form import fields_of, read, typed

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
        "more": {"type": "array", "items": {"type": "string"}},
    },
}


def sent(schema: dict[str, Any] | None, **members: str) -> tuple[Any, dict[str, str]]:
    form = {"with": "fields"} | {f"input.{name}": text for name, text in members.items()}
    return read(typed(schema, form))


def test_each_member_has_a_field_that_fits() -> None:
    fields = {each.member: each for each in fields_of(SCHEMA, {"name": "Ada", "count": 2**53 + 1})}

    assert {name: each.control for name, each in fields.items()} == {
        "name": "text",
        "level": "choice",
        "count": "number",
        "share": "number",
        "loud": "choice",
        "more": "json",
    }
    assert (fields["name"].text, fields["name"].required) == ("Ada", True)
    assert fields["count"].text == "9007199254740993"
    assert fields["count"].hint == "integer, from 1, default 3"
    assert fields["level"].choices == ['"low"', '"high"']
    assert fields["share"].nullable


def test_what_was_typed_becomes_the_input_and_what_was_not_is_left_out() -> None:
    input, faults = sent(
        SCHEMA,
        name="Ada\r\nL",
        level='"high"',
        count="9007199254740993",
        share="",
        loud="true",
        more='["a"]',
    )

    assert faults == {}
    assert input == {
        "name": "Ada\nL",
        "level": "high",
        "count": 2**53 + 1,
        "loud": True,
        "more": ["a"],
    }


@pytest.mark.parametrize(
    ("member", "text"),
    [("count", "many"), ("count", "true"), ("share", '"1"'), ("level", ""), ("more", "[")],
)
def test_a_fault_is_that_of_its_field(member: str, text: str) -> None:
    given = {"name": "Ada", "level": '"low"'} | {member: text}

    _, faults = sent(SCHEMA, **given)

    assert list(faults) == [f"input.{member}"]


def test_members_that_the_schema_does_not_name_are_kept() -> None:
    fields = fields_of(SCHEMA, {"name": "Ada", "extra": [1]})

    assert read(fields)[0] == {"name": "Ada", "extra": [1]} | {}
    form = {"with": "fields", "input.name": "Ada", "input.level": '"low"', "input": '{"x": 1}'}
    assert read(typed(SCHEMA, form))[0] == {"name": "Ada", "level": "low", "x": 1}
    assert read(typed(SCHEMA, form | {"input": "[1]"}))[1] == {"input": "give an object"}


def test_a_value_of_another_type_is_typed_as_json_and_stays_so() -> None:
    [name, *_] = fields_of(SCHEMA, {"name": 5})

    assert (name.control, name.text) == ("json", "5")
    form = {"with": "fields", "input.name": "5", "control.input.name": "json"}
    assert read(typed(SCHEMA, form))[0] == {"name": 5}


@pytest.mark.parametrize(
    "schema",
    [
        None,
        {"type": "array"},
        {"type": "object"},
        {"oneOf": [{}, {}], "type": "object", "properties": {"a": {}}},
        {"$ref": "#"},
        {"$ref": "#/$defs/none"},
    ],
)
def test_what_is_no_plain_object_is_one_field_of_json(schema: dict[str, Any] | None) -> None:
    [field] = fields_of(schema, [1, 2**60])

    assert (field.name, field.control) == ("input", "json")
    assert read([field])[0] == [1, 2**60]
    assert read(typed(schema, {"with": "json", "input": "{"}))[1].keys() == {"input"}
