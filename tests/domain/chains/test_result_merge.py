"""Merging the results of predecessors into an input."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rota.domain.chains.result_merge import (
    MOST_INPUT_BYTES,
    RUN_FIELDS,
    foreseen_faults,
    merged,
    without_runs,
    write_merged,
)
from rota.domain.primitives.json import json_text
from rota.domain.runs.errors import RunError
from rota.domain.schedules.definitions import After, Merge
from rota.domain.tasks.input_schema import compile_schema

RESULTS = [("extract", {"rows": 3, "at": "noon"}), ("price", {"rows": 9}), ("note", "none")]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
all_results = st.lists(
    st.tuples(st.text("abcd", min_size=1, max_size=3), json_values),
    min_size=1,
    max_size=5,
    unique_by=lambda each: each[0],
)
merges = st.sampled_from(["by_task", "overwrite", "collect"])


@pytest.mark.parametrize(
    ("merge", "expected"),
    [
        ("by_task", {"kind": "daily", "results": dict(RESULTS)}),
        ("collect", {"kind": "daily", "results": [result for _, result in RESULTS]}),
        ("overwrite", {"kind": "daily", "rows": 9, "at": "noon"}),
    ],
)
def test_results_are_merged_as_the_schedule_says(merge: Merge, expected: Any) -> None:
    assert merged({"kind": "daily"}, RESULTS, merge) == expected


@pytest.mark.parametrize("merge", ["by_task", "overwrite", "collect"])
@pytest.mark.parametrize("own", [[1], "text", 5, None])
def test_an_input_that_is_no_object_stands_beside_the_results(own: Any, merge: Merge) -> None:
    assert merged(own, RESULTS, merge)["input"] == own


def test_of_an_own_input_with_results_those_of_the_runs_are_taken() -> None:
    assert merged({"results": "mine"}, [("a", 1)], "by_task") == {"results": {"a": 1}}


RUN = dict.fromkeys(RUN_FIELDS) | {"id": "1", "status": "failed"}


@pytest.mark.parametrize("merge", ["by_task", "overwrite", "collect"])
def test_the_runs_stand_beside_the_results_unless_the_name_is_taken(merge: Merge) -> None:
    runs = {"a": RUN}

    assert merged({"own": 1}, [("a", 1)], merge, runs)["runs"] == runs
    assert merged({"runs": 9}, [("a", 1)], merge, runs)["runs"] == 9


def test_in_an_overwritten_input_a_result_may_have_runs_of_its_own() -> None:
    assert merged({}, [("a", {"runs": 9})], "overwrite", {"a": RUN}) == {"runs": 9}


def test_only_the_runs_of_predecessors_are_taken_out_for_a_handler_that_refuses_them() -> None:
    made = merged({"own": 1}, [("a", 1)], "by_task", {"a": RUN})

    assert without_runs(made) == {"own": 1, "results": {"a": 1}}
    assert without_runs({"runs": {"gone": None}}) == {}
    others: list[Any] = [
        None,
        [],
        {"runs": {}},
        {"runs": {"a": {"id": 1}}},
        {"runs": 9},
        {"own": 1},
    ]
    for other in others:
        assert without_runs(other) is None


@settings(deadline=None)
@given(own=json_values, results=all_results, merge=merges)
def test_merging_loses_nothing_that_its_rule_keeps(
    own: Any, results: list[tuple[str, Any]], merge: Merge
) -> None:
    before = deepcopy([own, results])

    made = merged(own, results, merge)

    assert [own, results] == before, "what is merged is not changed"
    if merge == "by_task":
        assert list(made["results"].items()) == results
    elif merge == "collect":
        assert made["results"] == [result for _, result in results]
    else:
        _check_overwritten(made, own, [result for _, result in results if isinstance(result, dict)])


def _check_overwritten(made: dict[str, Any], own: Any, objects: list[dict[str, Any]]) -> None:
    layers = [own if isinstance(own, dict) else {"input": own}, *objects]
    assert made.keys() == {key for layer in layers for key in layer}
    for key, value in made.items():
        assert value == next(layer[key] for layer in reversed(layers) if key in layer)


def test_an_input_of_a_mebibyte_can_be_kept_and_a_larger_one_not() -> None:
    empty = len('{"a":""}')

    largest = write_merged({"a": "x" * (MOST_INPUT_BYTES - empty)})
    larger = write_merged({"a": "x" * (MOST_INPUT_BYTES - empty + 1)})

    assert isinstance(largest, str)
    assert len(largest) == MOST_INPUT_BYTES
    assert isinstance(larger, RunError)
    assert larger.type == "input_too_large"


def test_an_input_that_is_too_deep_once_it_is_merged_cannot_be_kept() -> None:
    deep: Any = 0
    for _ in range(json_text.MAX_DEPTH):
        deep = [deep]

    made = write_merged(merged({}, [("a", deep)], "by_task"))

    assert isinstance(made, RunError)
    assert made.type == "input_too_deep"


@pytest.mark.parametrize(
    ("field", "pointers"),
    [("results", []), ("results_limit", ["/input/results_limit"]), ("kind", ["/input/kind"])],
)
def test_of_a_handler_s_schema_all_is_checked_but_the_results(
    field: str, pointers: list[str]
) -> None:
    validator = compile_schema({"type": "object", "properties": {field: {"type": "integer"}}})
    schedule = After(type="after", tasks=("extract",))

    faults = foreseen_faults(validator, schedule, {field: "none"})

    assert [fault.pointer for fault in faults] == pointers


@pytest.mark.parametrize(
    ("schema", "own", "pointers"),
    [
        ({"properties": {"results": {}}, "additionalProperties": False}, {}, []),
        ({"required": ["results", "runs"]}, {}, []),
        ({"properties": {"runs": {"type": "integer"}}}, {}, []),
        ({"properties": {"runs": {"type": "integer"}}}, {"runs": "x"}, ["/input/runs"]),
        ({"required": ["runs", "kind"]}, {}, ["/input"]),
    ],
)
def test_a_schema_may_take_the_runs_or_refuse_them(
    schema: dict[str, Any], own: Any, pointers: list[str]
) -> None:
    validator = compile_schema({"type": "object"} | schema)

    faults = foreseen_faults(validator, After(type="after", tasks=("extract",)), own)

    assert sorted({fault.pointer for fault in faults}) == pointers
