"""Statements for many rows: compiled once, and handed to the driver as tuples.

SQLAlchemy builds a dictionary of parameters for each row of an `executemany`; for the statements that every run goes
through, that costs more than the database does. The statements are still its Core.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from sqlalchemy import BindParameter, Connection, Dialect
from sqlalchemy.sql.dml import UpdateBase

# The styles in which parameters have a place and no name, by dialect.
_PARAMSTYLES = {"sqlite": "qmark", "postgresql": "format"}


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A statement as a dialect has it, and how a row becomes its parameters."""

    sql: str
    pick: Callable[[Mapping[str, Any]], tuple[Any, ...]]
    #: Values that the statement has of itself, behind those of the row.
    constants: tuple[Any, ...]
    arrange: Callable[[tuple[Any, ...]], tuple[Any, ...]]
    converters: tuple[tuple[int, Callable[[Any], Any]], ...]

    def parameters(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        values = list(self.arrange(self.pick(row) + self.constants))
        for index, convert in self.converters:
            values[index] = convert(values[index])
        return tuple(values)


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
        parameters = [prepared.parameters(row) for row in rows]
        return connection.exec_driver_sql(prepared.sql, parameters).rowcount

    def _prepare(self, dialect: Dialect) -> _Prepared:
        positional = type(dialect)(paramstyle=_PARAMSTYLES[dialect.name])  # type: ignore[call-arg]
        compiled: Any = self._statement.compile(dialect=positional, column_keys=self._names)
        order: list[str] = compiled.positiontup
        named = [name for name in dict.fromkeys(order) if compiled.binds[name].required]
        constant = [name for name in dict.fromkeys(order) if not compiled.binds[name].required]
        place = {name: index for index, name in enumerate([*named, *constant])}
        return _Prepared(
            sql=str(compiled),
            pick=_picker(named),
            constants=tuple(compiled.binds[name].effective_value for name in constant),
            arrange=_picker([place[name] for name in order]),
            converters=tuple(_converters([compiled.binds[name] for name in order], dialect)),
        )


def _converters(
    parameters: Sequence[BindParameter[Any]], dialect: Dialect
) -> Iterator[tuple[int, Callable[[Any], Any]]]:
    for index, parameter in enumerate(parameters):
        convert = parameter.type.dialect_impl(dialect).bind_processor(dialect)
        if convert is not None:
            yield index, convert


def _picker(keys: Sequence[Any]) -> Callable[[Any], tuple[Any, ...]]:
    if len(keys) > 1:
        return itemgetter(*keys)
    return lambda items: (items[keys[0]],)
