"""What it takes to check values against schemas, known before it is done."""

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.domain.json_schema.compiled import (
    JsonSchema,
    TooManyStepsError,
    UnusableSchemaError,
    compiled,
)
from rota.domain.json_schema.pattern_size import pattern_size
from rota.domain.json_schema.weight import MOST_STEPS, TooHeavyError, Weights
from rota.domain.primitives.json import json_text
from tests.support.costs import MOST_GROWTH


def doubling(levels: int, applicator: str = "allOf") -> dict[str, Any]:
    """Return a schema each of whose levels applies the next one twice."""
    rungs = {
        f"d{level}": {applicator: [{"$ref": f"#/$defs/d{level + 1}"}] * 2}
        for level in range(levels)
    }
    return {"$ref": "#/$defs/d0", "$defs": {**rungs, f"d{levels}": {"type": "integer"}}}


def of_items(schema: dict[str, Any]) -> dict[str, Any]:
    return {"items": {"$ref": schema["$ref"]}, "$defs": schema["$defs"]}


def steps(schema: Any, value: Any) -> int:
    return Weights(schema).steps(value)


@pytest.mark.parametrize(
    ("schema", "value", "taken"),
    [
        ({"type": "integer"}, 1, 1),
        (True, 1, 1),
        ({"allOf": [{}, {"not": {}}, {"if": {}, "then": {}, "else": {}}]}, 1, 8),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{}, {}]}}}, 1, 4),
        ({"items": {"anyOf": [{"const": "a"}, {"const": "b"}]}}, [1, 2, 3], 1 + 3 * 3),
        ({"prefixItems": [{}, {"allOf": [{}]}]}, [1, 2], 1 + 2 * 2),
        ({"properties": {"a": {}, "b": {"allOf": [{}]}}}, {"a": 1, "b": 2}, 3 + 2 * 2),
        ({"required": ["a", "b"]}, {}, 3),
        ({"dependentRequired": {"a": ["b", "c"]}}, {}, 4),
        ({"dependentSchemas": {"a": {"allOf": [{}]}}}, {}, 3),
        ({"patternProperties": {"^a": {}, "^b": {}}}, {"a": 1}, 1 + 4),
        ({"enum": [{"a": 1}, "b"]}, 1, 3 + 20),
        ({"const": 1.5}, 1, 1 + 40),
        ({"enum": ["a", 1]}, 1, 1 + 40),
        ({"minimum": 0, "exclusiveMaximum": 9, "multipleOf": 3}, 1, 1 + 2 * 10 + 40),
        ({"format": "date"}, 1, 1 + 20),
        ({"contains": {}, "items": {}}, [1], 1 + 2),
        ({"$defs": {"unused": {"allOf": [{}, {}]}}}, 1, 1),
    ],
)
def test_each_schema_that_looks_at_a_value_is_a_step(schema: Any, value: Any, taken: int) -> None:
    assert steps(schema, value) == taken


#: What a library takes longest for, by schema and item; each is true of the last of many branches, or of all of them.
SLOWEST: list[tuple[Any, Any]] = [
    ({"anyOf": [{"const": index} for index in range(100)]}, 99),
    ({"anyOf": [{"const": index + 0.5} for index in range(100)]}, 99.5),
    ({"anyOf": [{"enum": ["a", index, None]} for index in range(100)]}, 99),
    ({"enum": [{"a": index} for index in range(100)]}, {"a": 99}),
    ({"anyOf": [{"const": [*range(100), index]} for index in range(20)]}, [*range(100), 19]),
    ({"contains": {"const": 5}}, [0] * 99 + [5]),
    ({"minimum": 10**30}, 10**40),
    ({"multipleOf": 0.01}, 1.05),
    ({"allOf": [{"format": "idn-hostname"}] * 20}, "a.example.com" * 5),
    ({"allOf": [{"format": "uri"}] * 20}, "http://a.example.com/" + "x" * 1_000),
    ({"anyOf": [{"type": "string"}] * 99 + [{"type": "integer"}]}, 99),
]


_PEAK = """
import resource, sys
from rota.domain.json_schema.compiled import JsonSchema
from rota.domain.primitives.json import json_text
schema = JsonSchema(json_text.canonical({"items": {"anyOf": [{"required": ["a"]}] * 100}}), masked=True)
value = [{"b": index} for index in range(int(sys.argv[1]))]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert len(schema.misfits(value)) == 1
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def peak_of(count: int) -> int:
    """Return by how many KiB a process grows that checks so many items, none of which fits any of 100 branches.

    What the library takes is not Python's, so that only the system knows.
    """
    command = [sys.executable, "-c", _PEAK, str(count)]
    return int(subprocess.run(command, check=True, capture_output=True).stdout)


def test_a_check_of_four_times_as_much_takes_five_times_the_memory_at_most() -> None:
    assert peak_of(4 * 4_000) <= MOST_GROWTH * max(peak_of(4_000), 2_048)


@pytest.mark.parametrize(("schema", "item"), SLOWEST)
def test_no_step_takes_much_longer_than_others(schema: Any, item: Any) -> None:
    """A check keeps all other threads of Python waiting: one of as many steps as there may be, for well under a second.

    The bound is far above the 25 ns of a step, as far below the 1.3 µs of a number that was compared in one.
    """
    checked = JsonSchema(json_text.canonical({"items": schema}), masked=True)
    count = 1 + 200_000 // steps({"items": schema}, [item])
    value = [item] * count
    taken = []
    for _ in range(5):
        began = time.thread_time()
        assert not checked.misfits(value)
        taken.append(time.thread_time() - began)

    assert min(taken) / steps({"items": schema}, value) < 200e-9


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}},
        {
            "anyOf": [
                {"items": {"$ref": "#"}},
                {"additionalProperties": {"$ref": "#"}},
                {"type": "string"},
            ]
        },
    ],
)
def test_a_schema_of_trees_costs_the_same_at_each_depth(schema: Any) -> None:
    tree: Any = "leaf"
    taken = []
    for _ in range(40):
        tree = {"left": tree} if "properties" in schema else [tree]
        taken.append(steps(schema, tree))

    assert taken[30] - taken[29] == taken[11] - taken[10]


def test_what_several_schemas_lead_to_is_counted_as_often() -> None:
    schema = {"allOf": [{"items": {"$ref": "#"}}, {"items": {"$ref": "#"}}]}
    deep: Any = 1
    for _ in range(30):
        deep = [deep]

    assert steps(schema, [[1]]) < 100
    assert steps(schema, deep) > MOST_STEPS


@pytest.mark.parametrize(
    "schema",
    [
        doubling(14),
        doubling(40),
        doubling(40, "anyOf"),
        doubling(1_500),
        {"properties": {"a": doubling(20)["$defs"]["d0"]}, "$defs": doubling(20)["$defs"]},
        {"allOf": [{}] * 10_000},
        {"required": ["a"] * 10_000},
        {"allOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {"pattern": "[ab]{10001}"},
        {"pattern": "((a{30}){30}){30}"},
        {"allOf": [{"pattern": f"a{{600}}{n}"} for n in range(20)]},
        {"patternProperties": {"^a{20000}": {}}},
    ],
)
def test_a_schema_that_takes_too_much_is_refused(schema: Any) -> None:
    with pytest.raises(TooHeavyError):
        Weights(schema)
    with pytest.raises(UnusableSchemaError):
        compiled(json_text.canonical(schema), masked=True)


def test_the_refusal_says_where_and_what_the_limit_is() -> None:
    with pytest.raises(TooHeavyError) as refused:
        Weights({"properties": {"a/b": {"anyOf": [{}] * 10_000}}})

    assert refused.value.pointer == "/properties/a~1b"
    assert "the limit is 10,000" in refused.value.detail


def test_references_are_followed_by_pointer_anchor_and_id() -> None:
    heavy: dict[str, Any] = {"allOf": [{}] * 9}
    anchored = {"$ref": "#big", "$defs": {"x": {"$anchor": "big", **heavy}}}
    named = {
        "$id": "https://example.com/one",
        "$ref": "two#/$defs/y",
        "$defs": {"two": {"$id": "two", "$defs": {"y": heavy}}},
    }
    escaped = {"$ref": "#/$defs/a~1b%25", "$defs": {"a/b%": heavy}}
    inside = {"$ref": "#/properties/p/items", "properties": {"p": {"items": heavy}}}

    assert [steps(each, 1) for each in (anchored, named, escaped)] == [11, 11, 11]
    assert steps(inside, 1) == 12


def test_a_reference_to_the_schema_of_schemas_has_a_price() -> None:
    schema = {"$ref": "https://json-schema.org/draft/2020-12/schema"}

    assert steps(schema, {"type": "integer"}) > 100


@pytest.mark.parametrize(
    ("pattern", "size"),
    [
        ("", 0),
        ("abc", 3),
        ("[ab]*a[ab]{2000}c", 2_004),
        (r"\{3}", 3),
        (r"\p{L}{5}", 5),
        ("[a{5}]", 1),
        ("(ab){3,7}", 21),
        ("a{3}{4}", 12),
        ("(((", 3),
        ("a{0}", 1),
    ],
)
def test_a_pattern_is_as_large_as_what_it_repeats(pattern: str, size: int) -> None:
    assert pattern_size(pattern) == size


@pytest.mark.parametrize("shape", ["[", "(", "{", "(a{9}", "[a", "\\", "a{999999999}", "[\\]"])
def test_the_size_of_a_pattern_is_computed_quickly(shape: str) -> None:
    began = time.process_time()
    pattern_size(shape * 20_000)

    assert time.process_time() - began < 1


TEXT = st.characters(exclude_categories=["Cs"], exclude_characters=["\0"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(TEXT, max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(TEXT, max_size=3), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(
    JSON,
    st.sampled_from([{}, doubling(5), of_items(doubling(4)), {"pattern": "a{30}"}, {"$ref": "#"}]),
)
def test_the_estimate_is_never_below_the_exact_number_of_steps(value: Any, schema: Any) -> None:
    weights = Weights(schema)

    assert weights.bound(json_text.dumps(value).encode()) >= weights.steps(value)


def refused_in_time(schema: Any, value: Any) -> float:
    began = time.process_time()
    ready = JsonSchema(json_text.canonical(schema), masked=True)
    with suppress(TooManyStepsError):
        assert ready.misfits(value)
    return time.process_time() - began


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"items": {"anyOf": [{"const": 0}] * 3_000}}, ["x"] * 1_500),
        ({"items": {"anyOf": [{"const": 0}] * 3_000}}, ["x"] * 60_000),
        ({"anyOf": [{"items": {"const": 0}}] * 300}, ["x"] * 5_000),
        (of_items(doubling(10)), ["x"] * 5_000),
        ({"oneOf": [{"items": {"type": "null"}}] * 100}, ["x"] * 10_000),
        ({"pattern": "[ab]*a[ab]{2000}c"}, "ab" * 60_000),
        ({"items": {"enum": [{"a": n} for n in range(3_000)]}}, [{"a": -1}] * 5_000),
    ],
)
def test_a_value_that_does_not_fit_is_refused_in_time(schema: Any, value: Any) -> None:
    assert refused_in_time(schema, value) < 4


@pytest.mark.parametrize(
    "make",
    [
        lambda n: ({"items": {"anyOf": [{"const": 0}] * 500}}, ["x"] * (n * 100)),
        lambda n: ({"items": {"anyOf": [{"const": 0}] * (n * 60)}}, ["x"] * 400),
        lambda n: ({"anyOf": [{"items": {"const": 0}}] * (n * 10)}, ["x"] * 3_000),
        lambda n: (
            {
                "items": {"$ref": "#/$defs/r0"},
                "$defs": {f"r{k}": {"$ref": f"#/$defs/r{k + 1}"} for k in range(n * 150)}
                | {f"r{n * 150}": {"type": "null"}},
            },
            ["x"] * 50,
        ),
    ],
    ids=["values", "schemas", "branches", "references"],
)
def test_four_times_as_much_costs_about_four_times_as_much(
    make: Callable[[int], tuple[Any, Any]],
) -> None:
    small, large = (min(refused_in_time(*make(size)) for _ in range(3)) for size in (4, 16))

    assert large < 5 * small + 0.1


@pytest.mark.parametrize(
    ("schema", "value", "pointer", "message"),
    [
        ({"items": {"anyOf": [{"const": 0}] * 30}}, [0] * 500 + ["x"], "/500", "'anyOf'"),
        ({"items": {"oneOf": [{"const": 0}] * 30}}, [0] * 500, "/0", "'oneOf'"),
        ({"items": {"type": "integer"}}, [1] * 5_000 + ["x", "y"], "/5000", "integer"),
        (
            {"properties": {"a": {"items": {"$ref": "#/$defs/i"}}}, "$defs": {"i": {"maximum": 3}}},
            {"a": [1] * 3_000 + [4]},
            "/a/3000",
            "maximum of 3",
        ),
    ],
)
def test_the_first_fault_of_a_large_value_is_reported(
    schema: Any, value: Any, pointer: str, message: str
) -> None:
    (found,) = JsonSchema(json_text.canonical(schema), masked=True).misfits(value)

    assert found.pointer == pointer
    assert message in found.detail


@pytest.mark.parametrize(
    "schema",
    [
        {"items": {"anyOf": [{"const": 0}] * 30}, "unevaluatedItems": False},
        {
            "allOf": [{"$ref": "#/anyOf/0"}],
            "anyOf": [{"items": {"const": 0}}, {"items": {"const": 1}}],
        },
    ],
)
def test_the_fault_of_a_large_value_cannot_always_be_located(schema: Any) -> None:
    (found,) = JsonSchema(json_text.canonical(schema), masked=True).misfits(["x"] * 3_000)

    assert (found.pointer, found.detail) == ("", "it does not fit the schema")


@given(JSON)
def test_large_values_have_faults_only_if_they_do_not_fit(value: Any) -> None:
    schema = {
        "anyOf": [{"type": "null"}, {"items": {"oneOf": [{"type": "string"}, {"maximum": 3}]}}],
        "properties": {"a": {"not": {"anyOf": [{"const": 1}]}}},
    }
    ready = JsonSchema(json_text.canonical(schema), masked=True)
    many = [value] * 1_000

    whole = JsonSchema(json_text.canonical({"items": schema}), masked=True)
    assert bool(whole.misfits(many)) == bool(ready.misfits(value))
