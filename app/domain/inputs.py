"""Inputs of handlers, checked against the JSON Schema that a handler has announced."""

from collections.abc import Mapping
from functools import lru_cache
from itertools import islice
from typing import Any

import jsonschema_rs

from app.domain import values
from app.errors import MOST_FAULTS, Fault

# The validator finds all faults before it tells the first one, and quotes what is wrong: in a large input that takes
# many times what the input takes, so that of such an input the first fault is found alone.
_MOST_SEARCHED = 1_000


def compile_schema(schema: Mapping[str, Any]) -> Any:
    """Return what `input_faults` checks with."""
    return _compiled(values.canonical(schema))


def input_faults(validator: Any, input: Any) -> list[Fault]:
    """Return what a handler does not take of an input, with pointers below `/input`.

    At most 20 faults; of an input of more than 1,000 values the first one.
    """
    try:
        validator.validate(input)
    except jsonschema_rs.ValidationError as error:
        if values.is_larger(input, _MOST_SEARCHED):
            return [_fault(error)]
        return [_fault(each) for each in islice(validator.iter_errors(input), MOST_FAULTS)]
    return []


def _fault(error: jsonschema_rs.ValidationError) -> Fault:
    return Fault(f"/input{values.pointer_to(error.instance_path)}", error.message[:500])


@lru_cache(maxsize=1_024)
def _compiled(schema: str) -> Any:
    return jsonschema_rs.validator_for(values.loads(schema), validate_formats=True)
