"""Statements for many rows: compiled once, and handed to the driver as tuples.

SQLAlchemy builds a dictionary of parameters for each row of an `executemany`; for the statements that every run goes
through, that costs more than the database does. The statements are still its Core.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import itemgetter
from typing import Any

from sqlalchemy import BindParameter, Connection, Dialect
from sqlalchemy.sql.dml import UpdateBase

# The styles in which parameters have a place and no name, by dialect.
_PARAMSTYLES = {"sqlite": "qmark", "postgresql": "format"}


@dataclass(frozen=True, slots=True)
class _Column:
    """Where the values of one parameter come from."""

    name: str | None
    constant: Any
    convert: Callable[[Any], Any] | None

    def of(self, rows: Sequence[Mapping[str, Any]]) -> Iterable[Any]:
        values: Iterable[Any] = (
            repeat(self.constant, len(rows))
            if self.name is None
            else map(itemgetter(self.name), rows)
        )
        return values if self.convert is None else map(self.convert, values)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A statement as a dialect has it, and how a row becomes its parameters."""

    sql: str
    #: For each parameter, in order: the member of a row that it is, or the value that the statement has of itself.
    columns: tuple[_Column, ...]

    def parameters(self, rows: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
        # Column by column: the loops are the interpreter's own, and each value costs no more than its conversion.
        return list(zip(*(column.of(rows) for column in self.columns), strict=True))


class Bulk:
    """An INSERT, UPDATE or DELETE for many rows, given as mappings from its parameters' names."""

    def __init__(self, statement: UpdateBase, names: Sequence[str] | None = None) -> None:
        """`names` are the columns of an INSERT that does not say its values."""
        self._statement = statement
        self._names = None if names is None else list(names)
        self._prepared: dict[str, _Prepared] = {}

    def execute(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
        """Execute it for every row; return how many rows were changed in total."""
        if not rows:
            return 0
        dialect = connection.dialect
        prepared = self._prepared.get(dialect.name)
        if prepared is None:
            prepared = self._prepared[dialect.name] = self._prepare(dialect)
        return connection.exec_driver_sql(prepared.sql, prepared.parameters(rows)).rowcount

    def _prepare(self, dialect: Dialect) -> _Prepared:
        positional = type(dialect)(paramstyle=_PARAMSTYLES[dialect.name])  # type: ignore[call-arg]
        compiled: Any = self._statement.compile(dialect=positional, column_keys=self._names)
        binds = [compiled.binds[name] for name in compiled.positiontup]
        return _Prepared(str(compiled), tuple(_column(bind, dialect) for bind in binds))


def _column(bind: BindParameter[Any], dialect: Dialect) -> _Column:
    return _Column(
        name=bind.key if bind.required else None,
        constant=None if bind.required else bind.effective_value,
        convert=bind.type.dialect_impl(dialect).bind_processor(dialect),
    )
