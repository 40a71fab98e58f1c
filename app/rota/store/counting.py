"""How many rows there are, counted up to a bound."""

from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, func, select

#: What is beyond is not counted.
MOST_COUNTED = 100_000


class Counted(NamedTuple):
    """How many there are: exactly, or at least."""

    number: int
    is_exact: bool


def count_rows(connection: Connection, wanted: Select[Any], most: int = MOST_COUNTED) -> Counted:
    """Return how many rows a statement finds; of more than `most`, that there are at least so many."""
    some = wanted.limit(most + 1).subquery()
    found: int = connection.execute(select(func.count()).select_from(some)).scalar_one()
    return Counted(min(found, most), found <= most)
