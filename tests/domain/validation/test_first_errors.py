"""The first of many errors: the same as those of all."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from rota.domain.validation import first_errors
from rota.domain.validation.faults import faults_in, faults_of
from rota.domain.validation.first_errors import MOST_AT_ONCE


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class One(Strict):
    kind: Literal["one"]
    number: int = Field(alias="n")


class Two(Strict):
    kind: Literal["two"]
    inner: "Many | None" = None


class Many(Strict):
    needed: str
    items: list[Annotated[One | Two, Field(discriminator="kind")]] = []
    named: dict[str, int] = {}


MANY = TypeAdapter(Many)
GOOD: dict[str, Any] = {"kind": "one", "n": 1}
BODIES: dict[str, Any] = {
    "empty items": {"items": [{}] * 5_000},
    "items behind good ones": {"needed": "x", "items": [GOOD] * 3_000 + [{"kind": "one"}] * 3_000},
    "good items, but for their ends": {"items": [GOOD] * 20_000 + [0] * 3_000},
    "unknown fields": {"needed": "x"} | {f"m{index}": 0 for index in range(5_000)},
    "unknown fields before known ones": {f"m{index}": 0 for index in range(5_000)} | {"items": 0},
    "unknown fields in items": {"items": [GOOD | {f"m{i}": 0 for i in range(90)}] * 50},
    "names": {"needed": "x", "named": {f"m{index}": "x" for index in range(5_000)}},
    "names that are fields": {"needed": 0, "named": {"items": [], "n": ""} | dict.fromkeys("ab")},
    "what lies deep": {"items": [{"kind": "two", "inner": {"items": [{}] * 5_000}}]},
    "few": {"items": [{}] * 3},
}


def error_of(body: Any) -> ValidationError:
    with pytest.raises(ValidationError) as raised:
        MANY.validate_python(body)
    return raised.value


@pytest.mark.parametrize("what", BODIES)
def test_the_first_faults_and_their_number_are_those_of_all(what: str) -> None:
    body = BODIES[what]
    error = error_of(body)

    found = faults_in(error, body, MANY.core_schema, MANY.validate_python)

    expected = faults_of(error.errors(include_url=False), body, MANY.core_schema)
    assert (found, found.omitted) == (expected, expected.omitted)


@pytest.mark.parametrize("what", [each for each in BODIES if "ends" not in each])
def test_no_more_errors_are_made_than_are_shown(what: str) -> None:
    """To make one of them takes a microsecond or ten, with the interpreter locked."""
    body = BODIES[what]

    made, _ = first_errors.first_errors(
        error_of(body), body, MANY.core_schema, MANY.validate_python
    )

    assert 0 < len(made) <= MOST_AT_ONCE
