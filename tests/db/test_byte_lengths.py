"""How many bytes a text has, by the database."""

import sqlite3

import pytest
from sqlalchemy import literal, select
from sqlalchemy.dialects import postgresql, sqlite

from rota.db.expressions.byte_lengths import byte_length
from tests.support.factories import World


@pytest.mark.parametrize("text", ["", "abc", "äöü", "🙂" * 1_000])
def test_the_bytes_of_a_text_are_counted(world: World, text: str) -> None:
    with world.database.read() as connection:
        found = connection.execute(select(byte_length(literal(text)))).scalar_one()

    assert found == len(text.encode())


def test_a_long_text_is_not_read_where_the_database_can_do_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted = byte_length(literal("x"))

    assert "octet_length(" in str(counted.compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call,unused-ignore]
    for version, function in (((3, 42, 0), "length(CAST("), ((3, 43, 0), "octet_length(")):
        monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
        assert str(counted.compile(dialect=sqlite.dialect())).startswith(function)  # type: ignore[no-untyped-call,unused-ignore]
