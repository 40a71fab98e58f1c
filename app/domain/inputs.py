"""Inputs of handlers, checked against the JSON Schema that a handler has announced."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any

import jsonschema_rs

from app.domain import values
from app.domain.values import escape
from app.errors import Fault

_MOST_FAULTS = 20


def compile_schema(schema: Mapping[str, Any]) -> Any:
    """Return what `input_faults` checks with."""
    return _compiled(values.canonical(schema))


def input_faults(validator: Any, input: Any) -> list[Fault]:
    """Return what a handler does not take of an input, with pointers below `/input`; at most 20 faults."""
    return list(islice(_faults(validator, input), _MOST_FAULTS))


def _faults(validator: Any, input: Any) -> Iterator[Fault]:
    for error in validator.iter_errors(input):
        pointer = "".join(f"/{escape(step)}" for step in error.instance_path)
        yield Fault(f"/input{pointer}", error.message[:500])


@lru_cache(maxsize=1_024)
def _compiled(schema: str) -> Any:
    return jsonschema_rs.validator_for(values.loads(schema), validate_formats=True)
