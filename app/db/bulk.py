"""Statements for many rows: compiled once, and handed to the driver as tuples.

SQLAlchemy builds a dictionary of parameters for each row of an `executemany`; for the statements that every run goes
through, that costs more than the database does. The statements are still its Core.

On SQLite a statement for many rows is half the work of as many statements, and holds no other thread up meanwhile:
the driver gives the interpreter back once a statement. What all of the rows have in common is one parameter of it: to
bind a value takes the driver a third of a microsecond, and of the members of a run most are as those of the next.
PostgreSQL's driver sends all in one go by itself.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import compress, count
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
# What statements of one size may differ in; the driver keeps 128 prepared ones of all kinds.
_MOST_SHAPES = 8
_LITERALLY = {"literal_binds": True}

#: For each parameter, in order, whether all rows share it.
Shape = tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class _Column:
    """Where the values of one parameter come from."""

    name: str | None
    constant: Any
    convert: Callable[[Any], Any] | None

    def of(self, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Return its values as they are given."""
        return (
            [self.constant] * len(rows)
            if self.name is None
            else list(map(itemgetter(self.name), rows))
        )

    def converted(self, values: list[Any]) -> list[Any]:
        """Return them as the driver takes them."""
        return values if self.convert is None else list(map(self.convert, values))


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

    def _prepare(self, dialect: Dialect) -> "_Prepared":
        positional = type(dialect)(paramstyle=_PARAMSTYLES[dialect.name])  # type: ignore[call-arg]
        compiled: Any = self._statement.compile(dialect=positional, column_keys=self._names)
        columns = [_column(compiled.binds[name], dialect) for name in compiled.positiontup]
        if self._apart and dialect.name == "sqlite":
            return _Together(compiled, columns)
        return _Prepared(compiled, columns)


class _Prepared:
    """A statement as a dialect has it, and how rows become its parameters."""

    def __init__(self, compiled: Any, columns: Sequence[_Column]) -> None:
        self._sql = str(compiled)
        self._columns = columns

    def execute(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
        # Column by column: the loops are the interpreter's own, and each value costs no more than its conversion.
        columns = [column.converted(column.of(rows)) for column in self._columns]
        return connection.exec_driver_sql(self._sql, list(zip(*columns, strict=True))).rowcount


class _Together(_Prepared):
    """The same on SQLite, for many rows at a time."""

    def __init__(self, compiled: Any, columns: Sequence[_Column]) -> None:
        super().__init__(compiled, columns)
        self._compiled = compiled
        # What the statement says of itself is spelled out in it.
        self._given = [each for each in columns if each.name is not None]
        if isinstance(compiled.statement, Insert) and len(self._given) < len(columns):
            raise TypeError("an INSERT for many rows takes all of its parameters from them")
        self._plain = (False,) * len(self._given)
        self._shapes = {self._plain}
        self._spelled = cache(self._spell)

    def execute(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
        at_a_time = [size for size in _SIZES if size <= len(rows)]
        if not at_a_time:
            return super().execute(connection, rows)
        given = [each.of(rows) for each in self._given]
        shape = self._shape(given)
        common, own = self._parameters(given, shape)
        done, changed = 0, 0
        for size in at_a_time:
            while len(rows) - done >= size:
                flat = _flat([values[done : done + size] for values in own], size)
                done += size
                changed += connection.exec_driver_sql(
                    self._spelled(size, shape), common + flat
                ).rowcount
        left = rows[done:]
        return changed + (super().execute(connection, left) if left else 0)

    def _shape(self, given: Sequence[Sequence[Any]]) -> Shape:
        """Return what to take as shared by the rows: what they do share, unless that is another thing each time."""
        found = tuple(values.count(values[0]) == len(values) for values in given)
        if all(found) or (found not in self._shapes and len(self._shapes) >= _MOST_SHAPES):
            return self._plain
        self._shapes.add(found)
        return found

    def _parameters(
        self, given: Sequence[list[Any]], shape: Shape
    ) -> tuple[tuple[Any, ...], list[list[Any]]]:
        """Return what is the same in all rows, and the columns of the rest."""
        common: list[Any] = []
        own: list[list[Any]] = []
        for source, values, shared in zip(self._given, given, shape, strict=True):
            if shared:
                common += source.converted(values[:1])
            else:
                own.append(source.converted(values))
        return tuple(common), own

    def _spell(self, size: int, shape: Shape) -> str:
        """Return the statement for `size` rows; first in its parameters is what they share, then comes each row."""
        places = count(1)
        common = {at: f"?{next(places)}" for at in compress(count(), shape)}
        width = len(shape)
        if isinstance(self._compiled.statement, Insert):
            rows = [
                [common.get(at) or f"?{next(places)}" for at in range(width)] for _ in range(size)
            ]
            return self._sql.replace(_values([["?"] * width]), _values(rows), 1)
        rows = [[f"?{next(places)}" for _ in range(width - len(common))] for _ in range(size)]
        names = [each.name for each in self._given]
        update = _from_given(self._compiled, names, common)
        return update.replace(" FROM given ", f" FROM ({_values(rows)}) AS given ", 1)


def _flat(columns: Sequence[Sequence[Any]], rows: int) -> tuple[Any, ...]:
    """Return the rows of these columns, one after the other."""
    values: list[Any] = [None] * (rows * len(columns))
    for place, given in enumerate(columns):
        values[place :: len(columns)] = given
    return tuple(values)


def _values(rows: Sequence[Sequence[str]]) -> str:
    return "VALUES " + ", ".join(f"({', '.join(row)})" for row in rows)


def _from_given(compiled: Any, names: Sequence[str | None], common: Mapping[int, str]) -> str:
    """Return an UPDATE with columns of `given` in place of its parameters, as SQLite names those of VALUES.

    Those in `common`, by their places, are parameters of all rows.
    """
    given = table("given")
    own = [name for at, name in enumerate(names) if at not in common]

    def as_column(element: Any, **_: Any) -> Any:
        if not isinstance(element, BindParameter):
            return None
        if not element.required:
            return _spelled_out(element.effective_value, compiled.dialect)
        shared = common.get(names.index(element.key))
        if shared is not None:
            return literal_column(shared)
        return column(f"column{own.index(element.key) + 1}", _selectable=given)

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
