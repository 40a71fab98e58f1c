"""The tasks that a key is limited to, as conditions of statements."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, false, or_, true

from rota.db.tables import task
from rota.domain.access.names import NameLimit

# By another name, since the statement around it may read tasks itself.
_OWNER = task.alias("owner")


def covers(limit: NameLimit, column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that a column has a name that a key may use: ranges, which an index can serve.

    Without a limit it is always true, and leaves no trace in a WHERE beside other conditions.
    """
    if limit.prefixes is None or "" in limit.prefixes:
        return true()
    ranges = [starts_with(column, prefix) for prefix in _distinct(limit.prefixes)]
    if not ranges:
        return false()
    # Several are within one range as well, since a planner may not look up each of them.
    first, last = ranges[0][0], ranges[-1][1]
    return and_(first, last, or_(*(and_(*each) for each in ranges)))


def ranges_of(limit: NameLimit, column: ColumnElement[Any]) -> list[ColumnElement[bool]] | None:
    """Return the ranges of names that a key may use, which do not overlap; None without a limit."""
    if limit.prefixes is None or "" in limit.prefixes:
        return None
    return [and_(*starts_with(column, prefix)) for prefix in _distinct(limit.prefixes)]


def of_covered_task(limit: NameLimit, task_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that a column has the id of a task that a key may use: one look-up for each row."""
    if limit.is_unlimited:
        return true()
    return exists().where(_OWNER.c.id == task_id, covers(limit, _OWNER.c.name))


def starts_with(column: Any, prefix: str) -> tuple[Any, Any]:
    """Return the conditions that a text column starts with `prefix`: a range, which an index can serve."""
    return column >= prefix, column < prefix[:-1] + chr(ord(prefix[-1]) + 1)


def _distinct(prefixes: tuple[str, ...]) -> Iterator[str]:
    """Yield the prefixes in order, without those that a shorter one includes: no two ranges overlap."""
    last: str | None = None
    for prefix in sorted(prefixes):
        if last is None or not prefix.startswith(last):
            last = prefix
            yield prefix
