"""Many rows in one statement on SQLite: VALUES with a row of parameters for each."""

from collections.abc import Sequence
from itertools import compress, count
from typing import Any

from sqlalchemy import Connection

from rota.db.bulk_dialects.statements import SIZES, Shape, Together


class Values(Together):
    """Parameters: first the shared values, then those of each row."""

    def _execute_most(
        self, connection: Connection, shape: Shape, shared: list[Any], own: list[list[Any]]
    ) -> tuple[int, int]:
        number = len(own[0])
        done, changed = 0, 0
        for size in SIZES:
            while number - done >= size:
                flat = _flat([values[done : done + size] for values in own], size)
                done += size
                parameters = (*shared, *flat)
                changed += connection.exec_driver_sql(self.sql(size, shape), parameters).rowcount
        return done, changed

    def _write(self, size: int, shape: Shape) -> str:
        # Only the parameters of the first row are numbered, and later ones continue from there: from Python 3.12 on the
        # driver requests the name of each parameter, for which SQLite searches all numbered ones.
        numbers = count(1)
        shared = {at: f"?{next(numbers)}" for at in compress(count(), shape)}
        written = [at for at in range(len(shape)) if self._inserts or at not in shared]
        first = [shared.get(at) or f"?{next(numbers)}" for at in written]
        rows = [first] + [[shared.get(at, "?") for at in written]] * (size - 1)
        values = "VALUES " + ", ".join(f"({', '.join(row)})" for row in rows)
        return (
            self._insert(values) if self._inserts else self._update(f"({values}) AS given", shared)
        )


def _flat(columns: Sequence[Sequence[Any]], rows: int) -> tuple[Any, ...]:
    """Return the rows of these columns, one after the other."""
    values: list[Any] = [None] * (rows * len(columns))
    for position, given in enumerate(columns):
        values[position :: len(columns)] = given
    return tuple(values)
