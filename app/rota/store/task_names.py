"""The tasks that a key is limited to, as conditions of statements."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, false, or_, select, true

from rota.db.tables import task, task_tag
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


def has_tags(
    task_id: ColumnElement[Any],
    one_of: Sequence[str],
    all_of: Sequence[str],
    *,
    of_many: bool = False,
) -> list[ColumnElement[bool]]:
    """Return the conditions that a task has one of some tags (if any are given), and each of others.

    `of_many`: for tags of many tasks, which are looked up for each row, and never the way to find the rows.
    """
    wanted = [[tag] for tag in all_of]
    if one_of:
        wanted.append(list(one_of))
    if of_many:
        return [
            exists().where(task_tag.c.task_id == task_id, task_tag.c.tag.in_(tags))
            for tags in wanted
        ]
    return [
        task_id.in_(select(task_tag.c.task_id).where(task_tag.c.tag.in_(tags))) for tags in wanted
    ]


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
