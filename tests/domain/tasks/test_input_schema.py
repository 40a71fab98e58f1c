"""Schemas of handlers' inputs: bounded, and read from nowhere else."""

from typing import Any

import pytest

from rota.domain.json_schema.compiled import UnusableSchemaError
from rota.domain.tasks.input_schema import compile_schema, input_faults, takes_long, usable_schema
from rota.errors import MOST_FAULTS, Fault
from tests.support.costs import bytes_of, seconds_of


@pytest.mark.parametrize("place", ["http://127.0.0.1:{port}/schema", "file://{file}"])
@pytest.mark.parametrize("shape", ["$ref", "$schema", "within"])
def test_a_schema_is_read_from_nowhere_else(
    place: str, shape: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "schema.json"
    file.write_text('{"type": "integer"}')
    connected: list[Any] = []
    monkeypatch.setattr("socket.socket.connect", lambda _, address: connected.append(address))
    there = place.format(port=1, file=file)
    schemas: dict[str, Any] = {
        "$ref": {"$ref": there},
        "$schema": {"$schema": there},
        "within": {"properties": {"a": {"items": {"$ref": f"{there}#/$defs/b"}}}},
    }

    with pytest.raises(UnusableSchemaError):
        compile_schema(schemas[shape])
    assert isinstance(usable_schema(schemas[shape]), Fault)
    assert connected == []


def test_a_schema_that_takes_too_much_is_refused_at_its_place() -> None:
    with pytest.raises(UnusableSchemaError) as refused:
        compile_schema({"properties": {"a": {"anyOf": [{}] * 10_001}}})

    assert refused.value.pointer == "/properties/a"


def test_an_input_that_takes_too_much_is_refused() -> None:
    schema = compile_schema({"items": {"anyOf": [{"const": 0}] * 9_000}})

    assert takes_long(schema, [0] * 10)
    assert not takes_long(schema, [0])
    assert input_faults(schema, [0] * 10) == []
    (fault,) = input_faults(schema, [0] * 2_000)
    assert fault.pointer == "/input"
    assert "10,000,000 steps" in fault.detail


def test_faults_point_below_the_input() -> None:
    schema = compile_schema({"properties": {"a": {"items": {"type": "integer"}}}})

    faults = input_faults(schema, {"a": [1, "x", None]})

    assert [fault.pointer for fault in faults] == ["/input/a/1", "/input/a/2"]


NUMBERS = {"type": "array", "items": {"type": "integer"}}


def places(input: Any) -> list[str]:
    return [fault.pointer for fault in input_faults(compile_schema(NUMBERS), input)]


def test_the_first_twenty_faults_of_an_input_are_reported() -> None:
    assert places([1, 2]) == places(list(range(5_000))) == []
    assert places([1, "x", 2, None]) == ["/input/1", "/input/3"]
    assert places(["x"] * 100) == [f"/input/{index}" for index in range(MOST_FAULTS)]


def test_a_large_input_that_does_not_fit_costs_little_more_than_one_that_fits() -> None:
    wrong = ["x"] * 100_000

    assert places([0] * 10 + wrong)[0] == "/input/10"
    assert seconds_of(lambda: places(wrong)) < 0.2
    assert bytes_of(lambda: places(wrong)) < 4_000_000
