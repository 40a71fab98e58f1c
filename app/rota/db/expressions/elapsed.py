"""The time between two instants, in whole milliseconds, as an SQL expression."""

from typing import Any

from sqlalchemy import ColumnElement, Integer
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class elapsed_ms(FunctionElement[int]):  # noqa: N801  # it reads as a function
    """`end - start` in milliseconds; negative if the clock was set back between them."""

    type = Integer()
    inherit_cache = True

    def __init__(self, start: ColumnElement[Any], end: ColumnElement[Any]) -> None:
        super().__init__(start, end)


@compiles(elapsed_ms, "sqlite")
def _of_texts(element: Any, compiler: Any, **given: Any) -> str:
    # Days as a float: exact to 0.05 ms, so that rounding gives the milliseconds.
    start, end = (f"julianday({compiler.process(each, **given)})" for each in element.clauses)
    return f"CAST(round(({end} - {start}) * 86400000.0) AS INTEGER)"


@compiles(elapsed_ms, "postgresql")
def _of_timestamps(element: Any, compiler: Any, **given: Any) -> str:
    start, end = (compiler.process(each, **given) for each in element.clauses)
    return f"CAST(round(EXTRACT(EPOCH FROM ({end} - {start})) * 1000) AS BIGINT)"
