"""Spans of days or of time, their ends not included: merged, and looked up."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import TypeVar

Edge = TypeVar("Edge", date, datetime)


def merged(spans: Iterable[tuple[Edge, Edge]]) -> list[tuple[Edge, Edge]]:
    """Return the spans in order, those that touch as one."""
    found: list[tuple[Edge, Edge]] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def end_of(spans: Sequence[tuple[Edge, Edge]], at: Edge) -> Edge | None:
    """Return the end of the span that holds `at`, or None if none does; the spans are merged ones."""
    index = bisect_right(spans, at, key=lambda span: span[0])
    if index and at < spans[index - 1][1]:
        return spans[index - 1][1]
    return None
