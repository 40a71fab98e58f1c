"""Column types."""

import json
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    Boolean,
    ColumnElement,
    DateTime,
    Dialect,
    String,
    Text,
    Uuid,
    bindparam,
    literal_column,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from rota.domain.primitives.ids import Id, from_hex

_SQLITE_LENGTH = 29


class Instant(TypeDecorator[datetime]):
    """An aware datetime in UTC, to the millisecond.

    PostgreSQL: timestamptz. SQLite: text that sorts chronologically (`2026-11-25 08:00:00.000+00:00`), written and
    read by one call each, since a run needs a dozen conversions.
    """

    impl = DateTime
    cache_ok = True

    def __init__(self) -> None:
        super().__init__(timezone=True)

    def __repr__(self) -> str:
        return "Instant()"

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(_SQLITE_LENGTH))
        return dialect.type_descriptor(DateTime(timezone=True))

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], Any]:
        return _to_text if dialect.name == "sqlite" else _to_utc

    def result_processor(
        self,
        dialect: Dialect,
        coltype: object,  # noqa: ARG002
    ) -> Callable[[Any], datetime | None]:
        return _from_text if dialect.name == "sqlite" else _to_utc


# One commit writes the same few instants thousands of times.
@lru_cache(maxsize=1024)
def _to_text(value: datetime | None) -> str | None:
    if value is None:
        return None
    if value.tzinfo is not UTC:
        value = _aware(value).astimezone(UTC)
    return value.isoformat(" ", "milliseconds")


@lru_cache(maxsize=1024)
def _from_text(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


class StoredId(Uuid[str]):
    """An `Id`: PostgreSQL's own type; on SQLite 32 hexadecimal digits, which sort as the UUIDs do.

    Its conversions are cheaper than those of SQLAlchemy's type, since a run needs two dozen of them.
    """

    def __init__(self) -> None:
        super().__init__(as_uuid=False)

    def __repr__(self) -> str:
        return "StoredId()"

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any] | None:
        return _to_hex if dialect.name == "sqlite" else super().bind_processor(dialect)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:
        if dialect.name == "sqlite":
            return _from_hex
        return super().result_processor(dialect, coltype)  # type: ignore[no-any-return,no-untyped-call]


def _to_hex(value: str | None) -> str | None:
    return None if value is None else value.replace("-", "")


# The id of a task is read again at each step of its runs.
@lru_cache(maxsize=8192)
def _from_hex(value: str | None) -> Id | None:
    return None if value is None else from_hex(value)


class _Set(TypeDecorator[Collection[Any]]):
    """Values that are one parameter of a statement: an array, or on SQLite a JSON text."""

    impl = Text
    cache_ok = True

    def __init__(self, item: TypeEngine[Any]) -> None:
        super().__init__()
        self.item = item

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else ARRAY(self.item))

    def process_bind_param(self, value: Collection[Any] | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if dialect.name != "sqlite":
            return list(value)
        convert = self.item.dialect_impl(dialect).bind_processor(dialect)
        return json.dumps(list(value) if convert is None else [convert(each) for each in value])


class is_one_of(FunctionElement[bool]):  # noqa: N801  # it reads as a condition
    """`column IN (…)` for the values of the parameter `name`.

    The statement is the same for every number of values, so that it is compiled and prepared once.
    """

    type = Boolean()
    inherit_cache = True
    # Otherwise SQLAlchemy appends `= 1` on SQLite, which then scans the whole table.
    _is_implicitly_boolean = True

    def __init__(self, column: ColumnElement[Any], name: str) -> None:
        super().__init__(column, bindparam(name, type_=_Set(column.type)))


class among(is_one_of):  # noqa: N801  # it reads as a condition
    """The same for values that are given at once."""

    inherit_cache = True

    def __init__(self, column: ColumnElement[Any], values: Collection[Any]) -> None:
        given = bindparam(None, list(values), type_=_Set(column.type), unique=True)
        FunctionElement.__init__(self, column, given)


@compiles(is_one_of, "sqlite")
def _in_json(element: Any, compiler: Any, **given: Any) -> str:
    column, values = (compiler.process(each, **given) for each in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608  # parts that were compiled


@compiles(is_one_of, "postgresql")
def _in_array(element: Any, compiler: Any, **given: Any) -> str:
    column, values = (compiler.process(each, **given) for each in element.clauses)
    return f"{column} = ANY ({values})"


def _to_utc(value: datetime | None) -> datetime | None:
    if value is None or value.tzinfo is UTC:
        return value
    return _aware(value).astimezone(UTC)


def spelled_out(constant: StrEnum) -> ColumnElement[str]:
    """Return a constant as a literal of the SQL: a planner cannot match a parameter with a partial index."""
    return literal_column(f"'{constant}'", String)


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError(f"{value} has no time zone: only aware datetimes are stored")
    return value
