"""Statements for many rows, compiled once."""

import re
from collections.abc import Collection
from datetime import UTC, datetime, timedelta, timezone
from itertools import chain, combinations
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from rota.db.bulk import Bulk
from rota.db.bulk_dialects.statements import Together
from rota.db.tables import handler, replica
from rota.domain.runs.status import RunStatus, Trigger
from tests.support.factories import MINUTE, NOON, World, numbered

HERE = timezone(timedelta(hours=2))
IDS = [numbered(number) for number in range(1, 4)]
ROWS = [
    {
        "id": id,
        "host": f"100%s {number}",
        "pid": number,
        "handlers": "[]",
        "started_at": at,
        "lease_expires_at": at,
        "zone_release": None,
    }
    for number, (id, at) in enumerate(
        zip(IDS, [NOON, NOON.astimezone(HERE), NOON + MINUTE], strict=True)
    )
]
INSERT = Bulk(sa.insert(replica), list(ROWS[0]))


@pytest.fixture
def filled(world: World) -> World:
    """A world with three replicas instead of its own."""
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


def test_an_update_returns_how_many_rows_it_changed(filled: World) -> None:
    rename = Bulk(
        sa.update(replica)
        .where(replica.c.id == sa.bindparam("g_id"), replica.c.started_at <= sa.bindparam("g_at"))
        .where(replica.c.host.like("100%"), replica.c.pid < 2)
        .values(host=sa.bindparam("n_host"))
    )
    rows = [
        {"n_host": f"new {int(id[-1])}", "g_at": NOON, "g_id": id, "more": "is left out"}
        for id in IDS
    ]

    with filled.transaction() as tx:
        changed = rename.execute(tx.connection, rows)
        none = rename.execute(tx.connection, [])

    assert (changed, none) == (2, 0)
    assert _hosts(filled) == ["new 1", "new 2", "100%s 2"]


def test_a_statement_may_have_one_parameter(filled: World) -> None:
    forget = Bulk(sa.delete(replica).where(replica.c.id == sa.bindparam("g_id")))

    with filled.transaction() as tx:
        changed = forget.execute(tx.connection, [{"g_id": IDS[0]}, {"g_id": IDS[2]}])

    assert changed == 2
    assert _hosts(filled) == ["100%s 1"]


def test_a_time_is_accepted_in_any_zone_but_not_without_one(world: World) -> None:
    insert = Bulk(sa.insert(handler), ["name", "description", "isolation", "updated_at"])
    row = {"name": "x", "description": "", "isolation": "none"}

    with world.transaction() as tx:
        insert.execute(tx.connection, [row | {"updated_at": datetime(2026, 1, 1, tzinfo=HERE)}])
        with pytest.raises(ValueError, match="no time zone"):
            insert.execute(tx.connection, [row | {"updated_at": datetime(2026, 1, 1)}])  # noqa: DTZ001


@pytest.mark.parametrize("number", [1, 15, 16, 63, 64, 65, 150])
def test_rows_that_share_a_statement_are_written_as_if_each_had_its_own(
    world: World, number: int
) -> None:
    pids = range(1, number + 1)
    rows = [ROWS[0] | {"id": numbered(pid), "pid": pid} for pid in pids]
    later = NOON + MINUTE
    statement = (
        sa.update(replica)
        .where(replica.c.id == sa.bindparam("g_id"), replica.c.handlers == "[]")
        .where(replica.c.pid.is_not_distinct_from(sa.bindparam("g_pid", type_=sa.Integer)))
        .values(
            pid=replica.c.pid + sa.bindparam("n_more", type_=sa.Integer),
            started_at=sa.bindparam("n_at"),
            host="it's 100% new?",
        )
    )
    # The guard of every seventh row fails.
    changes = [
        {"g_id": numbered(pid), "g_pid": pid + (pid % 7 == 0), "n_more": 1, "n_at": later}
        for pid in pids
    ]

    with world.transaction() as tx:
        tx.connection.execute(sa.delete(replica))
        inserted = Bulk(sa.insert(replica), list(ROWS[0]), apart=True).execute(tx.connection, rows)
        changed = Bulk(statement, apart=True).execute(tx.connection, changes)
        found = tx.connection.execute(sa.select(replica).order_by(replica.c.pid)).all()

    assert (inserted, changed) == (number, number - number // 7)
    for row in found:
        old = row.started_at == NOON
        assert row.host == ("100%s 0" if old else "it's 100% new?")
        assert row.pid == UUID(row.id).int + (not old)
        assert (UUID(row.id).int % 7 == 0) is old


def _row(number: int, shared: Collection[str]) -> dict[str, Any]:
    """Return the row of a replica; the values of `shared` are those of the first one."""
    own = {
        "host": f"host {number}",
        "pid": number,
        "started_at": NOON + MINUTE * number,
        "lease_expires_at": NOON + MINUTE * (number + 1),
    }
    common = _row(0, ()) if shared else {}
    same = {name: common[name] for name in shared}
    return {"id": numbered(number), "handlers": "[]", "zone_release": None} | own | same


def test_values_that_rows_share_are_written_to_each(world: World) -> None:
    insert = Bulk(sa.insert(replica), list(ROWS[0]), apart=True)
    change = Bulk(
        sa.update(replica)
        .where(replica.c.id == sa.bindparam("g_id"))
        .where(replica.c.lease_expires_at == sa.bindparam("g_lease"))
        .values(
            host=sa.bindparam("n_host"),
            pid=sa.bindparam("n_pid"),
            started_at=sa.bindparam("n_started_at"),
        ),
        apart=True,
    )
    fields = ("host", "pid", "started_at", "lease_expires_at")
    for shared in chain.from_iterable(combinations(fields, size) for size in range(5)):
        old = [_row(number, shared) for number in range(1, 21)]
        new = [_row(number + 100, shared) | {"id": numbered(number)} for number in range(1, 21)]
        changes = [
            {f"n_{name}": after[name] for name in fields[:3]}
            | {"g_id": before["id"], "g_lease": before["lease_expires_at"]}
            for before, after in zip(old, new, strict=True)
        ]

        with world.transaction() as tx:
            tx.connection.execute(sa.delete(replica))
            inserted = insert.execute(tx.connection, old)
            first = _all(tx.connection)
            changed = change.execute(tx.connection, changes)
            second = _all(tx.connection)

        assert (inserted, changed) == (20, 20)
        assert first == old
        assert second == [
            after | {"lease_expires_at": before["lease_expires_at"]}
            for before, after in zip(old, new, strict=True)
        ]


def test_parameters_have_numbers_in_one_row_only(world: World) -> None:
    """From Python 3.12 on each parameter is searched among the numbered ones, which costs more than binding it."""
    insert = Bulk(sa.insert(replica), list(ROWS[0]), apart=True)
    change = Bulk(
        sa.update(replica)
        .where(replica.c.id == sa.bindparam("g_id"), replica.c.host == sa.bindparam("g_host"))
        .values(pid=sa.bindparam("n_pid")),
        apart=True,
    )
    rows = [_row(number, {"host"}) for number in range(1, 65)]
    changes = [{"g_id": row["id"], "g_host": row["host"], "n_pid": row["pid"] + 1} for row in rows]
    statements = []

    with world.transaction() as tx:
        tx.connection.execute(sa.delete(replica))

        @sa.event.listens_for(tx.connection, "before_cursor_execute")
        def _note(*given: Any) -> None:
            statements.append(given[2])

        insert.execute(tx.connection, rows)
        change.execute(tx.connection, changes)
        sa.event.remove(tx.connection, "before_cursor_execute", _note)
        found = tx.connection.execute(sa.select(replica.c.pid).order_by(replica.c.pid)).scalars()

        assert list(found) == [row["pid"] + 1 for row in rows]
    numbers = [len(set(re.findall(r"\?\d+", statement))) for statement in statements]
    assert all(number <= len(ROWS[0]) for number in numbers)


def _all(connection: sa.Connection) -> list[dict[str, Any]]:
    rows = connection.execute(sa.select(replica).order_by(replica.c.id)).mappings()
    return [dict(row) for row in rows]


def test_of_two_rows_for_the_same_row_of_the_table_one_is_ignored(filled: World) -> None:
    rename = Bulk(
        sa.update(replica)
        .where(replica.c.id == sa.bindparam("g_id"), replica.c.host == sa.bindparam("g_host"))
        .values(host=sa.bindparam("n_host")),
        apart=True,
    )
    rows = [{"g_id": IDS[0], "g_host": "100%s 0", "n_host": "new"} for _ in range(64)]

    with filled.transaction() as tx:
        assert rename.execute(tx.connection, rows) == 1
    assert _hosts(filled)[0] == "new"


def test_texts_may_be_of_several_enums(world: World) -> None:
    insert = Bulk(sa.insert(replica), list(ROWS[0]), apart=True)
    hosts = [RunStatus.QUEUED, Trigger.MANUAL, "a host", RunStatus.FAILED] * 5
    rows = [_row(number, ()) | {"host": host} for number, host in enumerate(hosts, 1)]

    with world.transaction() as tx:
        tx.connection.execute(sa.delete(replica))
        insert.execute(tx.connection, rows)
        assert [row["host"] for row in _all(tx.connection)] == hosts


@pytest.mark.parametrize("database_engine", ["postgresql"], indirect=True)
def test_a_text_that_is_too_long_for_its_column_is_refused_and_not_truncated(world: World) -> None:
    fields = ["name", "description", "isolation", "updated_at"]
    insert = Bulk(sa.insert(handler), fields, apart=True)
    rows = [
        {"name": f"{number:0200}", "description": "", "isolation": "none", "updated_at": NOON}
        for number in range(20)
    ]

    with pytest.raises(sa.exc.DataError, match="too long"), world.transaction() as tx:
        insert.execute(tx.connection, rows)


# --- the SQL: compiled by SQLAlchemy, then edited as text
NEW_REPLICA: dict[str, Any] = {
    "sqlite": sqlite.insert(replica),
    "postgresql": postgresql.insert(replica),
}
RENAME = (
    sa.update(replica).where(replica.c.id == sa.bindparam("g_id")).values(host=sa.bindparam("n"))
)
DIALECTS = {"sqlite": sqlite.dialect(), "postgresql": postgresql.psycopg.dialect()}


def _sql(statement: sa.UpdateBase, dialect: str, *shape: bool) -> str:
    names = ["id", "host"] if isinstance(statement, sa.Insert) else None
    compiled = Bulk(statement, names, apart=True).compiled(DIALECTS[dialect])
    assert isinstance(compiled, Together)
    return " ".join(compiled.sql(2, shape).split())


@pytest.mark.parametrize(
    ("dialect", "shape", "rows"),
    [
        ("sqlite", (False, False), "VALUES (?1, ?2), (?, ?)"),
        ("sqlite", (False, True), "VALUES (?2, ?1), (?, ?1)"),
        (
            "postgresql",
            (False, False),
            (
                "SELECT column1, column2 FROM unnest(%(p0)s::UUID[], %(p1)s::VARCHAR[])"
                " AS given(column1, column2)"
            ),
        ),
        (
            "postgresql",
            (False, True),
            "SELECT column1, %(p0)s::VARCHAR FROM unnest(%(p1)s::UUID[]) AS given(column1)",
        ),
    ],
)
def test_an_insert_of_many_rows_replaces_what_sqlalchemy_writes_for_one(
    dialect: str, shape: tuple[bool, ...], rows: str
) -> None:
    """A release of SQLAlchemy that writes VALUES or ON CONFLICT differently fails here."""
    insert = NEW_REPLICA[dialect]
    plain = f"INSERT INTO replica (id, host) {rows}"

    assert _sql(insert, dialect, *shape) == plain
    assert (
        _sql(insert.on_conflict_do_nothing(), dialect, *shape) == f"{plain} ON CONFLICT DO NOTHING"
    )


@pytest.mark.parametrize(
    ("dialect", "shape", "change"),
    [
        (
            "sqlite",
            (False, False),
            (
                "SET host=given.column1 FROM (VALUES (?1, ?2), (?, ?)) AS given"
                " WHERE replica.id = given.column2"
            ),
        ),
        (
            "sqlite",
            (True, False),
            "SET host=?1 FROM (VALUES (?2), (?)) AS given WHERE replica.id = given.column1",
        ),
        (
            "postgresql",
            (True, False),
            (
                "SET host=%(p0)s::VARCHAR FROM unnest(%(p1)s::UUID[]) AS given(column1)"
                " WHERE replica.id = given.column1"
            ),
        ),
    ],
)
def test_an_update_of_many_rows_replaces_parameters_by_columns(
    dialect: str, shape: tuple[bool, ...], change: str
) -> None:
    """A release of SQLAlchemy that writes UPDATE … FROM differently fails here."""
    assert _sql(RENAME, dialect, *shape) == f"UPDATE replica {change}"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_statement_that_is_compiled_differently_is_refused(dialect: str) -> None:
    with pytest.raises(TypeError, match="without VALUES"):
        _sql(sa.insert(replica).from_select(["id"], sa.select(replica.c.id)), dialect)
    with pytest.raises(TypeError, match="without FROM"):
        _sql(sa.update(replica).values(pid=1), dialect)
