"""Statements for many rows: compiled once, and handed to the driver as tuples.

SQLAlchemy builds a dictionary of parameters for each row of an `executemany`; for the statements that every run goes
through, that costs more than the database does. The statements are still its Core.

A statement for many rows is less than half the work of as many statements. On SQLite it holds no other thread up
meanwhile, too: the driver gives the interpreter back once a statement. What all of the rows have in common is one
parameter of it: to bind a value takes the driver a third of a microsecond, and of the members of a run most are as
those of the next. On PostgreSQL what they do not share are arrays.
"""

import re
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
from sqlalchemy.types import TypeEngine

# The styles in which parameters have a place and no name, by dialect.
_PARAMSTYLES = {"sqlite": "qmark", "postgresql": "format"}
# Rows of one statement, the most first: each size is prepared once, and more rows gain nothing.
_SIZES = (64, 16)
# Of fewer rows each is a statement.
_FEW = _SIZES[-1]
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
    type: TypeEngine[Any]

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
        self,
        statement: UpdateBase,
        names: Sequence[str] | None = None,
        *,
        apart: bool = False,
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
            return _Values(compiled, columns)
        # With many in one statement it is PostgreSQL's plan that says which comes first: it takes rows that are locked.
        return (_Arrays if self._apart else _Prepared)(compiled, columns)


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
    """The same for many rows at a time."""

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
        if len(rows) < _FEW:
            return super().execute(connection, rows)
        given = [each.of(rows) for each in self._given]
        shape = self._shape(given)
        done, changed = self._execute_most(connection, shape, *self._parameters(given, shape))
        left = rows[done:]
        return changed + (super().execute(connection, left) if left else 0)

    def _execute_most(
        self, connection: Connection, shape: Shape, common: list[Any], own: list[list[Any]]
    ) -> tuple[int, int]:
        """Execute it for the first of the rows; return how many those were, and how many rows were changed."""
        raise NotImplementedError

    def _spell(self, size: int, shape: Shape) -> str:
        """Return the statement for `size` rows."""
        raise NotImplementedError

    def _shape(self, given: Sequence[Sequence[Any]]) -> Shape:
        """Return what to take as shared by the rows: what they do share, unless that is another thing each time."""
        found = tuple(values.count(values[0]) == len(values) for values in given)
        if all(found) or (found not in self._shapes and len(self._shapes) >= _MOST_SHAPES):
            return self._plain
        self._shapes.add(found)
        return found

    def _parameters(
        self, given: Sequence[list[Any]], shape: Shape
    ) -> tuple[list[Any], list[list[Any]]]:
        """Return what is the same in all rows, and the columns of the rest."""
        common: list[Any] = []
        own: list[list[Any]] = []
        for source, values, shared in zip(self._given, given, shape, strict=True):
            if shared:
                common += source.converted(values[:1])
            else:
                own.append(source.converted(values))
        return common, own

    def _inserted(self, rows: str) -> str:
        """Return the INSERT with `rows` in place of the VALUES of one."""
        start = self._sql.index("VALUES (")
        after = self._sql.find(" ON CONFLICT", start)
        return f"{self._sql[:start]}{rows}{self._sql[after:] if after >= 0 else ''}"

    def _from(self, rows: str, common: Mapping[int, str]) -> str:
        """Return the UPDATE with columns of `rows` in place of its parameters, those in `common` apart."""
        names = [each.name for each in self._given]
        return _from_given(self._compiled, names, common).replace(
            " FROM given ", f" FROM {rows} ", 1
        )


class _Values(_Together):
    """On SQLite: first in the parameters is what the rows share, then comes each row."""

    def _execute_most(
        self, connection: Connection, shape: Shape, common: list[Any], own: list[list[Any]]
    ) -> tuple[int, int]:
        number = len(own[0])
        done, changed = 0, 0
        for size in _SIZES:
            while number - done >= size:
                flat = _flat([values[done : done + size] for values in own], size)
                done += size
                sql = self._spelled(size, shape)
                changed += connection.exec_driver_sql(sql, (*common, *flat)).rowcount
        return done, changed

    def _spell(self, size: int, shape: Shape) -> str:
        # Only the first row is numbered, and those after it go on from there: from Python 3.12 on the driver asks for
        # the name of each parameter, and SQLite goes through all that have a number for it.
        places = count(1)
        common = {at: f"?{next(places)}" for at in compress(count(), shape)}
        inserts = isinstance(self._compiled.statement, Insert)
        written = [at for at in range(len(shape)) if inserts or at not in common]
        first = [common.get(at) or f"?{next(places)}" for at in written]
        rows = [first] + [[common.get(at, "?") for at in written]] * (size - 1)
        values = "VALUES " + ", ".join(f"({', '.join(row)})" for row in rows)
        return self._inserted(values) if inserts else self._from(f"({values}) AS given", common)


class _Arrays(_Together):
    """On PostgreSQL: a parameter is what the rows share, or an array of what each has, however many they are."""

    def _execute_most(
        self, connection: Connection, shape: Shape, common: list[Any], own: list[list[Any]]
    ) -> tuple[int, int]:
        parameters = [*common, *own]
        named = {f"p{number}": value for number, value in enumerate(parameters)}
        return len(own[0]), connection.exec_driver_sql(self._spelled(0, shape), named).rowcount

    def _spell(self, size: int, shape: Shape) -> str:  # noqa: ARG002  # it is the same for each
        numbers = count()
        types = [_sql_type(each.type, self._compiled.dialect) for each in self._given]
        # With no percent sign until it is compiled, which would escape it.
        common = {at: f":p{next(numbers)}:{types[at]}" for at in compress(count(), shape)}
        own = [at for at in range(len(shape)) if at not in common]
        arrays = ", ".join(f":p{next(numbers)}:{types[at]}[]" for at in own)
        columns = {at: f"column{number}" for number, at in enumerate(own, 1)}
        given = f"unnest({arrays}) AS given({', '.join(columns.values())})"
        if isinstance(self._compiled.statement, Insert):
            selected = ", ".join(common.get(at) or columns[at] for at in range(len(shape)))
            sql = self._inserted(f"SELECT {selected} FROM {given}")  # noqa: S608  # parts that were compiled
        else:
            sql = self._from(given, common)
        return re.sub(r":(p\d+):", r"%(\1)s::", sql)


def _flat(columns: Sequence[Sequence[Any]], rows: int) -> tuple[Any, ...]:
    """Return the rows of these columns, one after the other."""
    values: list[Any] = [None] * (rows * len(columns))
    for place, given in enumerate(columns):
        values[place :: len(columns)] = given
    return tuple(values)


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
            written = str(quoted)
            # PostgreSQL's driver wants percent signs doubled, which a literal column does once more.
            return literal_column(
                written.replace("%%", "%") if dialect.name != "sqlite" else written
            )
        case int():
            return literal_column(str(int(value)))
        case _:
            raise TypeError(f"{value!r} cannot be spelled out: give it with the rows")


def _sql_type(type_: TypeEngine[Any], dialect: Dialect) -> str:
    """Return a type to cast to: without a length, since a cast would cut what is longer, and without a collation."""
    written = dialect.type_compiler_instance.process(type_)
    return re.sub(r"\(\d+\)| COLLATE .*", "", written)


def _column(bind: BindParameter[Any], dialect: Dialect) -> _Column:
    convert = bind.type.dialect_impl(dialect).bind_processor(dialect)
    if bind.required:
        return _Column(bind.key, None, convert, bind.type)
    value = bind.effective_value
    return _Column(None, value if convert is None else convert(value), None, bind.type)
