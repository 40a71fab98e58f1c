"""Migrations: the same schema from them as from the tables, on both databases."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, inspect, select, text

from rota.db import migrations, tables
from rota.db.engine import Database, migrating_engine
from rota.db.engines.urls import parse_url
from rota.errors import Invalid, Unavailable
from tests.support.factories import MINUTE, NOON, World
from tests.support.postgres import PostgresServer


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = migrating_engine(parse_url(database_url))
    yield made
    made.dispose()


def test_an_empty_database_is_migrated_to_the_newest_schema(
    database_url: str, engine: Engine
) -> None:
    with engine.connect() as connection:
        before = migrations.current(connection)

    answer = migrations.upgrade(database_url)

    with engine.connect() as connection:
        migrations.check(connection)
        assert migrations.current(connection) == answer == migrations.head()
        assert set(inspect(connection).get_table_names()) == {
            "alembic_version",
            *tables.metadata.tables,
        }
    assert before is None


def test_migrating_it_again_changes_nothing(migrated_database_url: str) -> None:
    before = World(migrated_database_url)
    task = before.register()
    before.close()

    migrations.upgrade(migrated_database_url)

    after = World(migrated_database_url)
    assert after.task() == task
    after.close()


def test_the_tables_are_those_of_the_newest_schema(database_url: str, engine: Engine) -> None:
    migrations.upgrade(database_url)

    with engine.connect() as connection:
        options = {"compare_type": True, "include_object": _can_be_compared}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, tables.metadata) == []


def _can_be_compared(_object: Any, name: str | None, *_: Any) -> bool:
    # Alembic cannot read an index over `priority DESC` back; the next test compares all of them as text.
    return name not in {"ix_run_claim", "ix_run_key_blocked"}


def _schema(connection: Connection) -> dict[str, Any]:
    """Return what the comparison of metadata ignores: checks, conditions of indexes, references."""
    seen = inspect(connection)
    found: dict[str, Any] = {}
    for name in tables.metadata.tables:
        columns = {column["name"]: repr(column["type"]) for column in seen.get_columns(name)}
        checks = {check["name"]: check["sqltext"] for check in seen.get_check_constraints(name)}
        keys = {str(key["name"]): key["options"] for key in seen.get_foreign_keys(name)}
        found[name] = (columns, checks, keys, seen.get_pk_constraint(name))
    sqlite = connection.dialect.name == "sqlite"
    indexes = connection.execute(
        text(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
            if sqlite
            else "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
        )
    )
    found["indexes"] = {
        name: " ".join(sql.split()) for name, sql in indexes if "alembic" not in name
    }
    return found


def test_the_migrations_and_the_table_classes_define_the_same_schema(
    database_url: str, engine: Engine, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    migrations.upgrade(database_url)
    if engine.dialect.name == "sqlite":
        other_url = f"sqlite:///{tmp_path / 'made.db'}"
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        other_url = server.create_database()
    other = migrating_engine(parse_url(other_url))
    with other.begin() as connection:
        tables.metadata.create_all(connection)
        made = _schema(connection)
    other.dispose()

    with engine.connect() as connection:
        migrated = _schema(connection)

    assert migrated == made


def test_a_schema_can_be_downgraded(database_url: str, engine: Engine) -> None:
    migrations.upgrade(database_url)
    config = migrations._config()

    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")

    with engine.connect() as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]


def test_the_check_says_what_to_do(database_url: str, engine: Engine) -> None:
    with engine.connect() as connection, pytest.raises(Unavailable) as empty:
        migrations.check(connection)
    migrations.upgrade(database_url)
    older = next(iter(migrations._known() - {migrations.head()}), "")
    with pytest.raises(Unavailable) as old, _at(engine, older) as connection:
        migrations.check(connection)

    assert older
    assert "Run `rota db upgrade`." in str(empty.value)
    assert f"schema {older}" in str(old.value)
    assert migrations.head() in str(old.value)
    assert "Run `rota db upgrade`." in str(old.value)


def test_for_a_database_of_a_newer_version_the_message_names_that_version_and_no_upgrade(
    database_url: str, engine: Engine
) -> None:
    migrations.upgrade(database_url)

    with pytest.raises(Unavailable) as checked, _at(engine, "9999") as connection:
        migrations.check(connection)
    with pytest.raises(Unavailable) as upgraded:
        migrations.upgrade(database_url)

    for message in (str(checked.value), str(upgraded.value)):
        assert "schema 9999" in message
        assert "a newer one has upgraded it" in message
        assert "restore a backup" in message
        assert "rota db upgrade" not in message
        assert "locate" not in message


@contextmanager
def _at(engine: Engine, revision: str) -> Iterator[Connection]:
    """Open a database as if it were at another revision."""
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :to"), {"to": revision})
    with engine.connect() as connection:
        yield connection


@pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)
def test_a_file_that_is_in_use_is_not_migrated(database_url: str) -> None:
    database = Database(database_url)

    with pytest.raises(Unavailable, match="Another process"):
        migrations.upgrade(database_url)
    database.close()


@pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)
def test_a_migration_that_breaks_references_is_refused(database_url: str, engine: Engine) -> None:
    migrations.upgrade(database_url)
    with engine.begin() as connection:  # as in a migration: references are not enforced
        connection.execute(text("INSERT INTO task_tag (tag, task_id) VALUES ('x', 'missing')"))

    with pytest.raises(Unavailable, match="1 references"):
        migrations.upgrade(database_url)


def test_an_unknown_revision_is_named(database_url: str) -> None:
    with pytest.raises(Invalid, match="nope"):
        migrations.upgrade(database_url, "nope")


def test_a_server_that_does_not_answer_is_named() -> None:
    with pytest.raises(Unavailable, match="cannot be used"):
        migrations.upgrade("postgresql+psycopg://nobody:secret@127.0.0.1:1/none")


def test_a_file_that_is_not_a_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "rota.db").write_bytes(b"not a database at all" * 99)

    with pytest.raises(Unavailable, match="not a database"):
        migrations.upgrade(f"sqlite:///{tmp_path / 'rota.db'}")


def test_a_lock_file_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    (tmp_path / "rota.db-lock").mkdir()

    with pytest.raises(Invalid, match="db-lock"):
        migrations.upgrade(f"sqlite:///{tmp_path / 'rota.db'}")


MANUAL = {"type": "manual"}
INTERVAL = {"type": "interval", "every": 60}


def test_moved_fire_times_survive_a_downgrade_and_an_upgrade(
    database_url: str, engine: Engine
) -> None:
    """Before 0004 the moved fire time was always the next one, and replaced itself where there was no other."""
    migrations.upgrade(database_url)
    world = World(database_url)
    moves = {"sooner": 0.5, "later": 10.0, "manual": 5.0, "fired": 0.25}
    schedules = {name: INTERVAL if name != "manual" else MANUAL for name in [*moves, "regular"]}
    for name, schedule in schedules.items():
        world.register(name, schedule=schedule)
    for name, minutes in moves.items():
        at = NOON + minutes * MINUTE
        world.registration(name, on_conflict="update", next_fire=at, schedule=schedules[name])
    world.clock.set(NOON + 0.25 * MINUTE)
    world.fire()
    before = _moves(engine)
    world.close()

    _migrate(engine, command.downgrade, "0003")
    old = _moves(engine)
    _migrate(engine, command.upgrade, "head")
    after = _moves(engine)

    # (next fire time, the one that the moved one replaces, the moved one), in minutes from noon
    assert before == {
        "sooner": (0.5, 1, 0.5),
        "later": (2, 1, 10),
        "manual": (5, None, 5),
        "fired": (2, 1, 0.25),
        "regular": (1, None, None),
    }
    assert old == {
        "sooner": (0.5, 1),
        "later": (10, 1),
        "manual": (5, 5),
        "fired": (2, None),
        "regular": (1, None),
    }
    assert after == {
        "sooner": (0.5, 1, 0.5),
        "later": (10, 1, 10),
        "manual": (5, None, 5),
        "fired": (2, None, None),
        "regular": (1, None, None),
    }
    _fire_as_they_should(database_url)


def _fire_as_they_should(url: str) -> None:
    world = World(url)
    world.clock.set(NOON + 0.25 * MINUTE)
    for half_minutes in range(1, 25):
        world.clock.set(NOON + half_minutes * MINUTE / 2)
        world.fire()
        for claimed in world.claim():
            world.succeed(claimed)
    fired = {
        name: [(run.scheduled_for - NOON) / MINUTE for run in world.runs(name)]
        for name in ("sooner", "later", "manual", "fired", "regular")
    }
    world.close()
    assert fired == {
        "sooner": [0.5, *range(2, 13)],
        "later": [10, 11, 12],
        "manual": [5],
        "fired": [0.25, *range(2, 13)],
        "regular": [*range(1, 13)],
    }


def _migrate(engine: Engine, way: Callable[[Config, str], None], revision: str) -> None:
    config = migrations._config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        way(config, revision)


def _moves(engine: Engine) -> dict[str, tuple[float | None, ...]]:
    """Return those columns of moved fire times that exist, in minutes from noon."""
    with engine.connect() as connection:
        there = {column["name"] for column in inspect(connection).get_columns("task")}
        names = [name for name in ("next_fire_at", "overrides_at", "moved_to_at") if name in there]
        rows = connection.execute(
            select(tables.task.c.name, *(tables.task.c[name] for name in names))
        )
        return {
            name: tuple(None if at is None else (at - NOON) / MINUTE for at in times)
            for name, *times in rows
        }
