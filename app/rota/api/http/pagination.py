"""Cursors: opaque, stable positions in a stated order."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import Query

from rota.api.http.validation import invalid_parameter
from rota.domain.primitives import json_text
from rota.errors import Invalid

DEFAULT_LIMIT = 50
MOST = 200
#: A page ends where its items have more, whatever the limit is.
MOST_BYTES = 1_048_576

T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=MOST, description="How many items at the most.")]
Cursor = Annotated[
    str | None, Query(max_length=600, description="`next_cursor` of the page before this one.")
]


def encode_cursor(position: list[Any]) -> str:
    """Return the cursor for the position after an item."""
    return base64.urlsafe_b64encode(json_text.dumps(position).encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None, length: int) -> list[str] | None:
    """Return the `length` strings of a position, or None for the first page; raises Invalid for anything else."""
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        position = json_text.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, Invalid):
        position = None
    if not isinstance(position, list) or [type(part) for part in position] != [str] * length:
        raise foreign_cursor()
    return position


def foreign_cursor() -> Invalid:
    """Return the error for a cursor that the list has not given."""
    detail = "this cursor is not one that this list gave; start again without it"
    return invalid_parameter("cursor", detail, "invalid-cursor")


def fitting(items: Sequence[T], size: Callable[[T], int]) -> Sequence[T]:
    """Return the first items, as many as fit in `MOST_BYTES`, but one at least; `size` tells the bytes of one."""
    total = 0
    for number, item in enumerate(items):
        total += size(item)
        if total > MOST_BYTES:
            return items[: max(number, 1)]
    return items


def split(given: list[str] | None) -> tuple[str, ...]:
    """Return the values of a filter, repeated or comma-separated."""
    return tuple(part for each in given or () for part in each.split(",") if part)
