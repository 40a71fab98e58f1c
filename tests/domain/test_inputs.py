"""What a handler does not take of an input."""

from typing import Any

from app.domain.inputs import compile_schema, input_faults
from app.errors import MOST_FAULTS
from tests.costs import bytes_of, seconds_of

NUMBERS = compile_schema({"type": "array", "items": {"type": "integer"}})


def places(input: Any) -> list[str]:
    return [fault.pointer for fault in input_faults(NUMBERS, input)]


def test_an_input_that_fits_has_no_fault() -> None:
    assert places([1, 2]) == places(list(range(5_000))) == []


def test_the_first_twenty_faults_of_an_input_are_told() -> None:
    assert places([1, "x", 2, None]) == ["/input/1", "/input/3"]
    assert places(["x"] * 100) == [f"/input/{index}" for index in range(MOST_FAULTS)]


def test_of_a_large_input_the_first_fault_is_told_alone() -> None:
    assert places([0] * 10 + ["x"] * 100_000) == ["/input/10"]


def test_a_large_input_that_does_not_fit_costs_no_more_than_one_that_fits() -> None:
    wrong = ["x"] * 100_000

    assert seconds_of(lambda: places(wrong)) < 0.1
    assert bytes_of(lambda: places(wrong)) < 1_000_000
