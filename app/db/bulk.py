"""Statements for many rows: compiled once, and handed to the driver as tuples.

SQLAlchemy builds a dictionary of parameters for each row of an `executemany`; for the statements that every run goes
through, that costs more than the database does. The statements are still its Core.

On SQLite a statement for many rows is half the work of as many statements, and holds no other thread up meanwhile:
the driver gives the interpreter back once a statement. PostgreSQL's driver sends all in one go by itself.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Dialect,
    String,
    column,
    literal,
    literal_column,
    null,
    table,
)
from sqlalchemy.sql.dml import Insert, UpdateBase
from sqlalchemy.sql.visitors import replacement_traverse

# The styles in which parameters have a place and no name, by dialect.
_PARAMSTYLES = {"sqlite": "qmark", "postgresql": "format"}
# Rows of one statement, the most first: each size is prepared once, and more rows gain nothing.
_SIZES = (64, 16)
_LITERALLY = {"literal_binds": True}


@dataclass(frozen=True, slots=True)
class _Column:
    """Where the values of one parameter come from."""

    name: str | None
    constant: Any
    convert: Callable[[Any], Any] | None

    def of(self, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        if self.name is None:
            return [self.constant] * len(rows)
        values = map(itemgetter(self.name), rows)
        return list(values if self.convert is None else map(self.convert, values))


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A statement as a dialect has it, and how a row becomes its parameters."""

    sql: str
    #: For each parameter, in order: the member of a row that it is, or the value that the statement has of itself.
    columns: tuple[_Column, ...]

    #: The same for so many rows at a time, the most first.
    together: tuple[tuple[int, str], ...]

    def execute(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
        # Column by column: the loops are the interpreter's own, and each value costs no more than its conversion.
        columns = [column.of(rows) for column in self.columns]
        done, changed = 0, 0
        for size, sql in self.together:
            while len(rows) - done >= size:
                flat = _flat([column[done : done + size] for column in columns], size)
                changed += connection.exec_driver_sql(sql, flat).rowcount
                done += size
        if done == len(rows):
            return changed
        left = list(zip(*(column[done:] for column in columns), strict=True))
        return changed + connection.exec_driver_sql(self.sql, left).rowcount


class Bulk:
    """An INSERT, UPDATE or DELETE for many rows, given as mappings from its parameters' names."""

    def __init__(
        self, statement: UpdateBase, names: Sequence[str] | None = None, *, apart: bool = False
    ) -> None:
        """`names` are the columns of an INSERT that does not say its values.

        `apart`: each row is for a row of the table of its own, so that many may share a statement; of two for the same
        one only one is carried out then.
        """
        self._statement = statement
        self._apart = apart
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
        return prepared.execute(connection, rows)

    def _prepare(self, dialect: Dialect) -> _Prepared:
        positional = type(dialect)(paramstyle=_PARAMSTYLES[dialect.name])  # type: ignore[call-arg]
        compiled: Any = self._statement.compile(dialect=positional, column_keys=self._names)
        binds = [compiled.binds[name] for name in compiled.positiontup]
        sizes = _SIZES if self._apart and dialect.name == "sqlite" else ()
        return _Prepared(
            sql=str(compiled),
            columns=tuple(_column(bind, dialect) for bind in binds),
            together=tuple((size, _together(compiled, size)) for size in sizes),
        )


def _flat(columns: Sequence[Sequence[Any]], rows: int) -> tuple[Any, ...]:
    """Return the rows of these columns, one after the other."""
    values: list[Any] = [None] * (rows * len(columns))
    for place, given in enumerate(columns):
        values[place :: len(columns)] = given
    return tuple(values)


def _together(compiled: Any, size: int) -> str:
    """Return SQLite's statement for `size` rows, with the parameters of one after those of the other."""
    row = f"({', '.join('?' * len(compiled.positiontup))})"
    rows = f"VALUES {', '.join([row] * size)}"
    if isinstance(compiled.statement, Insert):
        return str(compiled).replace(f"VALUES {row}", rows, 1)
    return _from_given(compiled).replace(" FROM given ", f" FROM ({rows}) AS given ", 1)


def _from_given(compiled: Any) -> str:
    """Return an UPDATE with columns of `given` in place of its parameters, as SQLite names those of VALUES."""
    given = table("given")

    def as_column(element: Any, **_: Any) -> Any:
        if not isinstance(element, BindParameter):
            return None
        if not element.required:
            return _spelled_out(element.effective_value, compiled.dialect)
        return column(f"column{compiled.positiontup.index(element.key) + 1}", _selectable=given)

    made = replacement_traverse(compiled.statement, {}, as_column)
    return str(made.compile(dialect=compiled.dialect))


def _spelled_out(value: Any, dialect: Dialect) -> ColumnElement[Any]:
    """Return what the statement says of itself; its parameters are the rows'."""
    match value:
        case None:
            return null()
        case str():
            quoted: Any = literal(value, String).compile(dialect=dialect, compile_kwargs=_LITERALLY)
            return literal_column(str(quoted))
        case int():
            return literal_column(str(int(value)))
        case _:
            raise TypeError(f"{value!r} cannot be spelled out: give it with the rows")


def _column(bind: BindParameter[Any], dialect: Dialect) -> _Column:
    convert = bind.type.dialect_impl(dialect).bind_processor(dialect)
    if bind.required:
        return _Column(bind.key, None, convert)
    value = bind.effective_value
    return _Column(None, value if convert is None else convert(value), None)
