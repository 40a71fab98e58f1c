"""The length of a text in bytes, computed without reading a long text where the database can do that."""

import sqlite3
from typing import Any

from sqlalchemy import BigInteger, ColumnElement
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

#: The first release of SQLite that has `octet_length`; `length` reads all of a text to count its characters.
_HAS_OCTET_LENGTH = (3, 43)


class byte_length(GenericFunction[int]):  # noqa: N801  # a function of SQL, written as those are
    """`octet_length`, or what an older SQLite has instead."""

    type = BigInteger()
    inherit_cache = True

    def __init__(self, text: ColumnElement[Any]) -> None:
        super().__init__(text)


@compiles(byte_length)  # type: ignore[no-untyped-call,untyped-decorator,unused-ignore]
def _octet_length(element: byte_length, compiler: Any, **options: Any) -> str:
    return f"octet_length({compiler.process(element.clauses, **options)})"


@compiles(byte_length, "sqlite")  # type: ignore[no-untyped-call,untyped-decorator,unused-ignore]
def _of_sqlite(element: byte_length, compiler: Any, **options: Any) -> str:
    text = compiler.process(element.clauses, **options)
    if sqlite3.sqlite_version_info >= _HAS_OCTET_LENGTH:
        return f"octet_length({text})"
    return f"length(CAST({text} AS BLOB))"
