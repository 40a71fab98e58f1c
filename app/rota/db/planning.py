"""Advice to the planner of SQLite, which knows nothing of the values; that of PostgreSQL has statistics."""

from typing import Any

from sqlalchemy import Boolean, ColumnElement
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class implied(FunctionElement[bool]):  # noqa: N801  # it reads as a condition
    """A condition that follows from others: SQLite takes a partial index only if the statement has its condition.

    PostgreSQL sees that it follows, and would multiply its selectivity with that of the others.
    """

    type = Boolean()
    inherit_cache = True
    _is_implicitly_boolean = True

    def __init__(self, condition: Any) -> None:
        super().__init__(condition)


@compiles(implied, "sqlite")
def _as_it_is(element: Any, compiler: Any, **given: Any) -> str:
    (condition,) = element.clauses
    return str(compiler.process(condition, **given))


@compiles(implied, "postgresql")
def _nothing(_element: Any, _compiler: Any, **_given: Any) -> str:
    return "TRUE"


class unindexed(FunctionElement[Any]):  # noqa: N801  # it reads as a column
    """A column by which SQLite finds no rows: the index of another one, or of the order, is better."""

    inherit_cache = True

    def __init__(self, column: ColumnElement[Any]) -> None:
        self.type = column.type
        super().__init__(column)


@compiles(unindexed, "sqlite")
def _with_sign(element: Any, compiler: Any, **given: Any) -> str:
    (column,) = element.clauses
    return f"+{compiler.process(column, **given)}"


@compiles(unindexed, "postgresql")
def _column(element: Any, compiler: Any, **given: Any) -> str:
    (column,) = element.clauses
    return str(compiler.process(column, **given))
