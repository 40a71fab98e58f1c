"""Seeds: entries of a task's kv that come with a registration, each written once. No part of the definition."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from rota.domain.kv.operations import SetOnce
from rota.domain.primitives.json import json_text
from rota.domain.primitives.texts.names import WritableKey
from rota.errors import Fault, Invalid, NotJson

Seeds = Annotated[
    dict[WritableKey, Any],
    Field(
        max_length=1_000,
        description="Entries of the task's kv, each written in the commit of the registration if there is none yet. "
        "They are not compared, and not shown with the task.",
        examples=[{"cursor": 0}],
    ),
]


def to_operations(seeds: Mapping[str, Any]) -> tuple[SetOnce, ...]:
    """Return what writes the seeds; raises Invalid for a value that is not JSON."""
    return tuple(SetOnce(key, _encode(key, value)) for key, value in seeds.items())


def from_operations(operations: tuple[SetOnce, ...]) -> dict[str, Any]:
    """Return the seeds that `to_operations` has turned into these."""
    return {each.key: json_text.loads(each.value) for each in operations}


def refused(key: str, detail: str) -> Invalid:
    """Return the error for a seed that cannot be written."""
    pointer = f"/kv/{json_text.escape(key)}"
    return Invalid(f"{pointer}: {detail}.", Fault(pointer, detail))


def _encode(key: str, value: Any) -> bytes:
    try:
        return json_text.dumps(value).encode()
    except NotJson as error:
        raise refused(key, error.detail) from None
