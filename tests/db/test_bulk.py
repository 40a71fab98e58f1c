"""Statements for many rows, compiled once."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
import sqlalchemy as sa

from app.db.bulk import Bulk
from app.db.tables import handler, replica
from tests.factories import MINUTE, NOON, World

HERE = timezone(timedelta(hours=2))
IDS = [UUID(int=number) for number in range(1, 4)]
ROWS = [
    {
        "id": id,
        "host": f"100%s {number}",
        "pid": number,
        "handlers": "[]",
        "started_at": at,
        "lease_expires_at": at,
    }
    for number, (id, at) in enumerate(
        zip(IDS, [NOON, NOON.astimezone(HERE), NOON + MINUTE], strict=True)
    )
]
INSERT = Bulk(sa.insert(replica), list(ROWS[0]))


@pytest.fixture
def filled(world: World) -> World:
    """A world with three replicas, and none of its own."""
    with world.transaction() as tx:
        tx.connection.execute(sa.delete(replica))
        INSERT.execute(tx.connection, ROWS)
    return world


def _hosts(world: World) -> list[str]:
    with world.database.read() as connection:
        return list(connection.execute(sa.select(replica.c.host).order_by(replica.c.id)).scalars())


def test_rows_are_inserted_with_the_types_of_their_columns(filled: World) -> None:
    with filled.database.read() as connection:
        rows = connection.execute(sa.select(replica).order_by(replica.c.id)).mappings().all()

    assert [dict(row) for row in rows] == ROWS
    assert all(row["started_at"].tzinfo is UTC for row in rows)


def test_an_update_tells_how_many_rows_it_changed(filled: World) -> None:
    rename = Bulk(
        sa.update(replica)
        .where(replica.c.id == sa.bindparam("g_id"), replica.c.started_at <= sa.bindparam("g_at"))
        .where(replica.c.host.like("100%"), replica.c.pid < 2)
        .values(host=sa.bindparam("n_host"))
    )
    rows = [
        {"n_host": f"new {id.int}", "g_at": NOON, "g_id": id, "more": "is left out"} for id in IDS
    ]

    with filled.transaction() as tx:
        changed = rename.execute(tx.connection, rows)
        none = rename.execute(tx.connection, [])

    assert (changed, none) == (2, 0)
    assert _hosts(filled) == ["new 1", "new 2", "100%s 2"]


def test_a_statement_with_one_parameter(filled: World) -> None:
    forget = Bulk(sa.delete(replica).where(replica.c.id == sa.bindparam("g_id")))

    with filled.transaction() as tx:
        changed = forget.execute(tx.connection, [{"g_id": IDS[0]}, {"g_id": IDS[2]}])

    assert changed == 2
    assert _hosts(filled) == ["100%s 1"]


def test_a_time_is_taken_in_any_zone_but_not_without_one(world: World) -> None:
    insert = Bulk(sa.insert(handler), ["name", "description", "isolation", "updated_at"])
    row = {"name": "x", "description": "", "isolation": "none"}

    with world.transaction() as tx:
        insert.execute(tx.connection, [row | {"updated_at": datetime(2026, 1, 1, tzinfo=HERE)}])
        with pytest.raises(ValueError, match="no time zone"):
            insert.execute(tx.connection, [row | {"updated_at": datetime(2026, 1, 1)}])  # noqa: DTZ001
