"""Integrity errors by the name of their constraint. SQLite names the columns of a unique one instead."""

import re

from sqlalchemy import Index, Table
from sqlalchemy.exc import IntegrityError

from rota.db.tables import metadata

_SQLITE_UNIQUE = re.compile(r"UNIQUE constraint failed: (.+)$")
_SQLITE_CHECK = re.compile(r"CHECK constraint failed: (\w+)")
_SQLITE_FOREIGN_KEY = "FOREIGN KEY constraint failed"
FOREIGN_KEY = "foreign_key"


def violated(error: IntegrityError) -> str | None:
    """Return the name of the violated constraint; SQLite does not name foreign keys."""
    diagnosis = getattr(error.orig, "diag", None)
    if diagnosis is not None:
        return str(diagnosis.constraint_name)
    message = str(error.orig)
    if unique := _SQLITE_UNIQUE.search(message):
        return _UNIQUE_BY_COLUMNS.get(unique[1])
    if check := _SQLITE_CHECK.search(message):
        return check[1]
    return FOREIGN_KEY if _SQLITE_FOREIGN_KEY in message else None


def _unique_by_columns() -> dict[str, str]:
    named: dict[str, str] = {}
    for table in metadata.sorted_tables:
        named[_columns(table, [column.name for column in table.primary_key])] = f"pk_{table.name}"
        for index in table.indexes:
            if index.unique:
                named[_columns(table, _index_columns(index))] = str(index.name)
    return named


def _columns(table: Table, names: list[str]) -> str:
    return ", ".join(f"{table.name}.{name}" for name in names)


def _index_columns(index: Index) -> list[str]:
    return [column.name for column in index.columns]


_UNIQUE_BY_COLUMNS = _unique_by_columns()
