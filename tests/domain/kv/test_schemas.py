"""Schemas of a task's kv: which one is meant, and what fits it."""

from typing import Any

import pytest
from pydantic import ValidationError

from rota.domain.json_schema.compiled import Misfit
from rota.domain.kv.present import Present
from rota.domain.kv.schemas import KvSchema
from rota.domain.primitives.json import json_text
from rota.domain.tasks.definition import TaskDefinition
from rota.domain.validation.faults import faults_of
from tests.support.factories import define

SECRET = "hunter2-and-more"


def json(value: Any) -> Present:
    return Present(json_text.dumps(value).encode())


def misfits(declared: dict[str, Any], key: str, value: Any) -> list[Misfit]:
    present = value if isinstance(value, Present) else json(value)
    return list(KvSchema(declared).misfits(key, present))


def only(number: int) -> dict[str, int]:
    return {"const": number}


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("user:1", 1),
        ("user:2", 2),
        ("user:2:name", 3),
        ("user:", 2),
        ("users", 4),
        ("an:name", 5),
        (":name", 5),
        ("other", 4),
        ("a:b:c", 6),
        ("a:bc", 4),
    ],
)
def test_an_exact_key_comes_first_then_the_pattern_that_says_most(key: str, meant: int) -> None:
    declared = {
        "*": only(4),
        "user:*": only(2),
        "user:*:name": only(3),
        "user:1": only(1),
        "*:name": only(5),
        "a*:b*:c": only(6),
    }

    assert [number for number in range(1, 7) if not misfits(declared, key, number)] == [meant]


def test_of_patterns_that_say_as_much_the_first_in_the_alphabet_counts() -> None:
    for declared in ({"a*": only(1), "*a": only(2)}, {"*a": only(2), "a*": only(1)}):
        assert misfits(declared, "aa", 2) == []
        assert misfits(declared, "aa", 1)


def test_a_part_of_a_pattern_is_not_counted_twice() -> None:
    assert misfits({"ab*ba": False}, "aba", 1) == []
    assert misfits({"ab*ba": False}, "abba", 1)


def test_many_stars_take_no_time() -> None:
    declared = {"*a" * 100 + "*b": False}

    assert misfits(declared, "a" * 255, 1) == []


def test_keys_that_no_pattern_matches_take_everything() -> None:
    assert misfits({"a": False}, "b", {"anything": [1]}) == []


def test_false_refuses_and_true_takes_everything() -> None:
    declared = {"*": False, "free:*": True}

    assert misfits(declared, "other", 1)
    assert misfits(declared, "free:1", 1) == []
    assert misfits(declared, "free:1", Present(b"\x00", "image/png")) == []


def test_a_misfit_points_into_the_value() -> None:
    declared = {"a": {"properties": {"n/m": {"items": {"type": "integer"}}}}}

    found = misfits(declared, "a", {"n/m": [1, SECRET, 3, None]})

    assert [each.pointer for each in found] == ["/n~1m/1", "/n~1m/3"]
    assert all("integer" in each.detail for each in found)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "integer"}, SECRET),
        ({"enum": [1, 2]}, SECRET),
        ({"pattern": "^a$"}, SECRET),
        ({"maxLength": 2}, SECRET),
        ({"format": "email"}, SECRET),
        ({"not": {"type": "string"}}, SECRET),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, SECRET),
        ({"contains": {"const": 1}}, [SECRET]),
        ({"uniqueItems": True}, [SECRET, SECRET]),
        ({"properties": {"a": {}}, "additionalProperties": False}, {SECRET: 1}),
        ({"unevaluatedProperties": False}, {SECRET: 1}),
        ({"propertyNames": {"maxLength": 2}}, {SECRET: 1}),
        ({"patternProperties": {"^h": {"type": "null"}}}, {SECRET: 1}),
        (False, SECRET),
        ({"dependentRequired": {SECRET[:1]: ["b"]}}, {SECRET[:1]: SECRET}),
    ],
)
def test_the_reason_in_the_log_does_not_contain_the_value(schema: Any, value: Any) -> None:
    found = misfits({"a": schema}, "a", value)

    assert found
    assert all(SECRET not in each.reason for each in found)
    assert all("schema: " in each.reason for each in found)


def test_bytes_fit_a_schema_that_says_their_type_only() -> None:
    declared = {"a": {"contentMediaType": "Image/PNG", "description": "An icon."}}

    assert misfits(declared, "a", Present(b"x", "image/png")) == []
    assert misfits(declared, "a", Present(b"x", "image/png; q=1")) == []
    assert misfits(declared, "a", Present(b"x", "image/gif"))[0].detail == (
        "its value is image/gif, not image/png"
    )
    assert misfits(declared, "a", 1)


def test_bytes_fit_no_schema_of_json() -> None:
    for schema in ({"type": "string"}, {"type": "string", "contentMediaType": "image/png"}, False):
        assert misfits({"a": schema}, "a", Present(b"x", "image/png"))
    assert misfits({"a": {}}, "a", Present(b"x", "image/png")) == []


def test_at_most_twenty_misfits_are_reported() -> None:
    assert len(misfits({"a": {"items": {"type": "null"}}}, "a", list(range(100)))) == 20


def test_references_inside_a_schema_are_followed() -> None:
    schema = {"$ref": "#/$defs/node", "$defs": {"node": {"items": {"$ref": "#/$defs/node"}}}}

    assert misfits({"a": schema}, "a", [[[]]]) == []


def test_a_schema_that_refers_to_itself_ends() -> None:
    assert misfits({"a": {"$ref": "#"}}, "a", 1) == []


def refusal(kv_schema: Any) -> tuple[str, str]:
    with pytest.raises(ValidationError) as refused:
        define(kv_schema=kv_schema)
    errors = refused.value.errors(include_url=False)
    fault = faults_of(errors, {"kv_schema": kv_schema}, TaskDefinition.__pydantic_core_schema__)[0]
    return fault.pointer, fault.detail


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "nope"}, "at /type"),
        ({"properties": {"n": {"minimum": "1"}}}, "at /properties/n/minimum"),
        ({"pattern": "("}, "at /pattern"),
        ({"pattern": "(?=a)b"}, "regex"),
        ({"$ref": "#/$defs/missing"}, "does not exist"),
        ({"$ref": "http://127.0.0.1:1/schema.json"}, "127.0.0.1"),
        ({"$ref": "file:///etc/passwd"}, "passwd"),
        ({"$schema": "https://example.com/unknown"}, "unknown"),
    ],
)
def test_what_is_no_schema_is_refused_at_its_place(schema: Any, why: str) -> None:
    pointer, detail = refusal({"fine": {}, "a:*": schema})

    assert pointer == "/kv_schema/a:*"
    assert why in detail


@pytest.mark.parametrize("schema", [1, "true", None, []])
def test_a_schema_is_an_object_or_a_boolean(schema: Any) -> None:
    assert refusal({"a": schema})[0] == "/kv_schema/a"


@pytest.mark.parametrize("pattern", ["", "_result", "_*", "a b", "a/b", "a" * 256])
def test_what_can_match_no_key_is_no_pattern(pattern: str) -> None:
    assert refusal({pattern: {}})[0] == f"/kv_schema/{pattern.replace('/', '~1')}"


def test_there_are_limits() -> None:
    assert "101 patterns" in refusal({f"k{n}": {} for n in range(101)})[1]
    assert "the limits are" in refusal({"a": {"description": "x" * 66_000}})[1]


def test_the_order_of_patterns_says_nothing() -> None:
    one, other = define(kv_schema={"a*": {}, "b": False}), define(kv_schema={"b": False, "a*": {}})

    assert one == other
