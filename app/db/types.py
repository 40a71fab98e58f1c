"""Column types."""

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, DateTime, Dialect, String, literal_column
from sqlalchemy.types import TypeDecorator, TypeEngine

_SQLITE_LENGTH = 29


class Instant(TypeDecorator[datetime]):
    """An aware datetime in UTC, to the millisecond.

    PostgreSQL: timestamptz. SQLite: text that sorts as time does (`2026-11-25 08:00:00.000+00:00`), written and
    read by one call each, since a run goes through a dozen of them.
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


def _from_text(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


def _to_utc(value: datetime | None) -> datetime | None:
    if value is None or value.tzinfo is UTC:
        return value
    return _aware(value).astimezone(UTC)


def spelled_out(constant: StrEnum) -> ColumnElement[str]:
    """Return a constant that stands in the SQL itself: a planner cannot match a parameter with a partial index."""
    return literal_column(f"'{constant}'", String)


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError(f"{value} has no time zone: only aware datetimes are stored")
    return value
