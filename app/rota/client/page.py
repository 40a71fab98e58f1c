"""One page of a list."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """The `items` of a page, and how to get the next one; `members` is all that was returned (`total`)."""

    items: Sequence[T]
    next_cursor: str | None
    members: Mapping[str, Any]
