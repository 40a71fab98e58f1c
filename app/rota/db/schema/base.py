"""What all table classes share."""

from collections.abc import Iterable
from typing import Any, ClassVar

from sqlalchemy import MetaData, String, text
from sqlmodel import SQLModel

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


class Row(SQLModel):
    metadata: ClassVar[MetaData] = metadata


def name_type(length: int = 128) -> Any:
    """Return the type of a column of names of up to `length` characters."""
    # Byte order on both databases: lists by name and prefixes must not depend on a collation.
    return String(length).with_variant(String(length, collation="C"), "postgresql")


def partial(condition: str) -> dict[str, Any]:
    """Return the arguments of an Index over the rows for which an SQL condition holds."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


def one_of(column: str, members: Iterable[str]) -> str:
    """Return the SQL condition that a column has one of the values of an enum."""
    return f"{column} IN ({', '.join(repr(str(member)) for member in sorted(members))})"
