"""Pages of lists, and cursors: opaque, stable positions in a stated order."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import Query

from rota.api.http.validation import invalid_parameter
from rota.domain.primitives.json import json_text
from rota.domain.tasks.definition import MOST_TAGS
from rota.errors import Invalid
from rota.store.counting import MOST_COUNTED, Counted

MOST = 200
#: A page ends before its items have more bytes than this, whatever the limit is.
MOST_BYTES = 1_048_576

T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=MOST, description="How many items at most.")]
Cursor = Annotated[
    str | None, Query(max_length=600, description="`next_cursor` of the page before this one.")
]


WithTotal = Annotated[
    bool,
    Query(
        alias="total",
        description=f"Also count all items that the filters leave, exactly up to {MOST_COUNTED:,}.",
    ),
]


def show_total(counted: Counted) -> dict[str, Any]:
    """Return the fields of a page with the number of all items."""
    return {"total": counted.number, "total_is_exact": counted.is_exact}


def encode_cursor(position: list[Any]) -> str:
    """Return the cursor for the position after an item."""
    return base64.urlsafe_b64encode(json_text.dumps(position).encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None, length: int) -> list[str] | None:
    """Return the `length` strings of a position, or None for the first page; raises Invalid for any other cursor."""
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
    """Return the error for a cursor that another list, or nothing, has returned."""
    detail = "this cursor is not one that this list returned; start again without it"
    return invalid_parameter("cursor", detail, "invalid-cursor")


def paginate(
    found: Sequence[T],
    limit: int,
    position: Callable[[T], list[str]],
    size: Callable[[T], int] | None = None,
) -> tuple[Sequence[T], str | None]:
    """Return the items of a page, and the cursor of the next page, if there is one.

    `found` has `limit` + 1 items if there are more than fit. With `size`, the bytes of an item, a page has at most
    `MOST_BYTES`.
    """
    page = found[:limit] if size is None else fitting(found[:limit], size)
    return page, encode_cursor(position(page[-1])) if len(found) > len(page) else None


def fitting(items: Sequence[T], size: Callable[[T], int]) -> Sequence[T]:
    """Return the first items with at most `MOST_BYTES` together, but at least one; `size` returns the bytes of one."""
    total = 0
    for number, item in enumerate(items):
        total += size(item)
        if total > MOST_BYTES:
            return items[: max(number, 1)]
    return items


def split(given: list[str] | None) -> tuple[str, ...]:
    """Return the values of a filter, repeated or comma-separated."""
    return tuple(part for each in given or () for part in each.split(",") if part)


def split_all_tags(given: list[str] | None) -> tuple[str, ...]:
    """Return the tags that a task has to have, each once; raises Invalid for more than a task can have.

    Each is a condition of its own: a database takes a thousand at most, and looks each of them up.
    """
    tags = tuple(dict.fromkeys(split(given)))
    if len(tags) > MOST_TAGS:
        raise invalid_parameter("all_tags", f"give at most {MOST_TAGS} tags: no task has more")
    return tags
