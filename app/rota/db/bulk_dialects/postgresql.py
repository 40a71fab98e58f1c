"""Many rows in one statement on PostgreSQL: `unnest` of arrays."""

import re
from itertools import compress, count
from typing import Any

from sqlalchemy import Connection, Dialect
from sqlalchemy.types import TypeEngine

from rota.db.bulk_dialects.statements import Shape, Together


class Arrays(Together):
    """A parameter is a shared value, or an array of the values of all rows; any number of rows has the same SQL."""

    def _execute_most(
        self, connection: Connection, shape: Shape, shared: list[Any], own: list[list[Any]]
    ) -> tuple[int, int]:
        named = {f"p{number}": value for number, value in enumerate([*shared, *own])}
        return len(own[0]), connection.exec_driver_sql(self.sql(0, shape), named).rowcount

    def _write(self, size: int, shape: Shape) -> str:  # noqa: ARG002  # the same for each size
        numbers = count()
        types = [_sql_type(each.type, self._compiled.dialect) for each in self._given]
        # `:p0:` becomes `%(p0)s::` at the end: the compiler would escape a percent sign.
        shared = {at: f":p{next(numbers)}:{types[at]}" for at in compress(count(), shape)}
        own = [at for at in range(len(shape)) if at not in shared]
        arrays = ", ".join(f":p{next(numbers)}:{types[at]}[]" for at in own)
        columns = {at: f"column{number}" for number, at in enumerate(own, 1)}
        given = f"unnest({arrays}) AS given({', '.join(columns.values())})"
        if self._inserts:
            selected = ", ".join(shared.get(at) or columns[at] for at in range(len(shape)))
            sql = self._insert(f"SELECT {selected} FROM {given}")  # noqa: S608  # compiled parts
        else:
            sql = self._update(given, shared)
        return re.sub(r":(p\d+):", r"%(\1)s::", sql)

    def _literal(self, value: str) -> str:
        # The driver requires doubled percent signs, and the compiler doubles them once more.
        return super()._literal(value).replace("%%", "%")


def _sql_type(type_: TypeEngine[Any], dialect: Dialect) -> str:
    """Return the type of a cast: without a length, since a cast would truncate a longer text, and a collation."""
    written = dialect.type_compiler_instance.process(type_)
    return re.sub(r"\(\d+\)| COLLATE .*", "", written)
