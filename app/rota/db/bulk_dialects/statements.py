"""Statements as a dialect compiles them, and how rows become their parameters."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
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
from sqlalchemy.sql.dml import Insert
from sqlalchemy.sql.visitors import replacement_traverse
from sqlalchemy.types import TypeEngine

#: Rows of one statement on SQLite, the most first: each size is compiled once, and more rows gain nothing.
SIZES = (64, 16)
# With fewer rows, each is a statement.
_FEW = SIZES[-1]
# The most sets of shared parameters for which statements are compiled; the driver keeps 128 prepared ones of all kinds.
_MOST_SHAPES = 8

#: For each parameter, in order, whether all rows share its value.
Shape = tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter: the name of its values in the rows, or (name None) its constant value."""

    name: str | None
    constant: Any
    convert: Callable[[Any], Any] | None
    type: TypeEngine[Any]

    @classmethod
    def of(cls, bind: BindParameter[Any], dialect: Dialect) -> "Parameter":
        convert = bind.type.dialect_impl(dialect).bind_processor(dialect)
        if bind.required:
            return cls(bind.key, None, convert, bind.type)
        value = bind.effective_value
        return cls(None, value if convert is None else convert(value), None, bind.type)

    def values(self, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Return its value in each row, as given."""
        if self.name is None:
            return [self.constant] * len(rows)
        return list(map(itemgetter(self.name), rows))

    def converted(self, values: list[Any]) -> list[Any]:
        """Return values as the driver takes them."""
        return values if self.convert is None else list(map(self.convert, values))


class RowByRow:
    """A statement that is executed for each row."""

    def __init__(self, compiled: Any, parameters: Sequence[Parameter]) -> None:
        """`compiled`: the statement, with positional parameters; `parameters`: in the same order."""
        self._sql = str(compiled)
        self._parameters = parameters

    def execute(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
        """Execute it for every row; return how many rows were changed."""
        # Column by column: the loops run inside the interpreter, and each value costs no more than its conversion.
        columns = [each.converted(each.values(rows)) for each in self._parameters]
        return connection.exec_driver_sql(self._sql, list(zip(*columns, strict=True))).rowcount


class Together(RowByRow):
    """One statement for many rows. Subclasses write it for a dialect."""

    def __init__(self, compiled: Any, parameters: Sequence[Parameter]) -> None:
        super().__init__(compiled, parameters)
        self._compiled = compiled
        self._inserts = isinstance(compiled.statement, Insert)
        # Constants of the statement are written into it as literals.
        self._given = [each for each in parameters if each.name is not None]
        if self._inserts and len(self._given) < len(parameters):
            raise TypeError("an INSERT for many rows takes all of its parameters from them")
        self._plain = (False,) * len(self._given)
        self._shapes = {self._plain}
        #: The SQL for a number of rows with a shape.
        self.sql = cache(self._write)

    def execute(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
        if len(rows) < _FEW:
            return super().execute(connection, rows)
        given = [each.values(rows) for each in self._given]
        shape = self._shape(given)
        done, changed = self._execute_most(connection, shape, *self._split(given, shape))
        left = rows[done:]
        return changed + (super().execute(connection, left) if left else 0)

    def _execute_most(
        self, connection: Connection, shape: Shape, shared: list[Any], own: list[list[Any]]
    ) -> tuple[int, int]:
        """Execute it for the first rows; return how many those were, and how many rows were changed."""
        raise NotImplementedError

    def _write(self, size: int, shape: Shape) -> str:
        """Return the SQL for `size` rows."""
        raise NotImplementedError

    def _literal(self, value: str) -> str:
        """Return a text as a literal that is compiled once more."""
        quoted: Any = literal(value, String).compile(
            dialect=self._compiled.dialect, compile_kwargs={"literal_binds": True}
        )
        return str(quoted)

    def _shape(self, given: Sequence[Sequence[Any]]) -> Shape:
        """Return which parameters to share: all that are equal in all rows, unless those differ in every call."""
        found = tuple(values.count(values[0]) == len(values) for values in given)
        if all(found) or (found not in self._shapes and len(self._shapes) >= _MOST_SHAPES):
            return self._plain
        self._shapes.add(found)
        return found

    def _split(self, given: Sequence[list[Any]], shape: Shape) -> tuple[list[Any], list[list[Any]]]:
        """Return the shared values, and the columns of the other parameters."""
        shared: list[Any] = []
        own: list[list[Any]] = []
        for parameter, values, is_shared in zip(self._given, given, shape, strict=True):
            if is_shared:
                shared += parameter.converted(values[:1])
            else:
                own.append(parameter.converted(values))
        return shared, own

    def _insert(self, rows: str) -> str:
        """Return the INSERT with `rows` in place of the VALUES of one row."""
        before, values, rest = self._sql.partition("VALUES (")
        if not values:
            raise TypeError(f"SQLAlchemy compiled an INSERT without VALUES: {self._sql}")
        _, conflict, after = rest.partition(" ON CONFLICT")
        return f"{before}{rows}{conflict}{after}"

    def _update(self, rows: str, shared: Mapping[int, str]) -> str:
        """Return the UPDATE with columns of `rows` in place of its parameters.

        `shared`: the SQL of those that all rows share, by their positions. The columns are called as SQLite calls those
        of VALUES: column1, column2 …
        """
        names = [each.name for each in self._given]
        own = [name for at, name in enumerate(names) if at not in shared]
        given = table("given")

        def as_column(element: Any, **_: Any) -> ColumnElement[Any] | None:
            if not isinstance(element, BindParameter):
                return None
            if not element.required:
                return self._constant(element.effective_value)
            sql = shared.get(names.index(element.key))
            if sql is not None:
                return literal_column(sql)
            return column(f"column{own.index(element.key) + 1}", _selectable=given)

        statement = replacement_traverse(self._compiled.statement, {}, as_column)
        sql = str(statement.compile(dialect=self._compiled.dialect))
        before, found, after = sql.partition(" FROM given ")
        if not found:
            raise TypeError(f"SQLAlchemy compiled an UPDATE without FROM: {sql}")
        return f"{before} FROM {rows} {after}"

    def _constant(self, value: Any) -> ColumnElement[Any]:
        match value:
            case None:
                return null()
            case str():
                return literal_column(self._literal(value))
            case int():
                return literal_column(str(int(value)))
            case _:
                raise TypeError(f"{value!r} cannot be a literal: give it with the rows")
