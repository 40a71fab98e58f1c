"""A database with very many registered tasks, made in seconds: one task is registered, its row is copied."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, bindparam, create_engine, delete, text, update
from sqlalchemy.pool import NullPool

from benchmarks.rota import migrated
from rota.clock import SystemClock
from rota.db.engine import Database
from rota.db.tables import run, task
from rota.db.writer import Writer
from rota.domain.tasks.definition import TaskDefinition
from rota.store.follow_ups import follow_up
from rota.store.handlers import Announce, HandlerInfo
from rota.store.tasks.registration import Register

HANDLER = "noop"
_MODEL = "model"
_FAR = timedelta(days=3_650)
#: How often the tasks fire: far less often than any benchmark takes.
EVERY = timedelta(hours=12)

# Ids that rise as UUIDv7 do, and numbers of seven digits, in the syntax of each database.
_WORDS = {
    "sqlite": {
        "id": "'01900000000070008000' || printf('%012x', number)",
        "digits": "printf('%07d', number)",
    },
    "postgresql": {
        "id": "CAST('01900000000070008000' || lpad(to_hex(number), 12, '0') AS uuid)",
        "digits": "lpad(CAST(number AS text), 7, '0')",
    },
}
# From a table of its own: SQLite would first copy all that it reads from the table that it writes.
_COPY = """
    WITH RECURSIVE numbers(number) AS (
        SELECT 0 UNION ALL SELECT number + 1 FROM numbers WHERE number + 1 < :count
    )
    INSERT INTO task ({columns}, id, name, next_fire_at)
    SELECT {columns}, {id}, {group} || '-' || {digits}, :far FROM numbers, model
"""
_GROUP = """
    CASE WHEN number >= :others THEN 'together'
         WHEN number % :step = 0 AND number / :step < :due THEN 'spread'
         ELSE 'idle' END
"""


class Group(StrEnum):
    """Which tasks a task belongs to; its name begins with it."""

    TOGETHER = "together"  # registered one after the other
    SPREAD = "spread"  # registered evenly among all the others
    IDLE = "idle"  # never due here


def fill(url: str, count: int, due: int, **fields: Any) -> None:
    """Make an empty database one of `count` tasks, with `due` of them in each group that can be due.

    `fields`: what else is declared of each of them.
    """
    register_model(migrated(url), fields)
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA synchronous=OFF")
            connection.exec_driver_sql("PRAGMA cache_size=-200000")
        _copy_model(connection, count, due)
        # What the databases do in the background, before anything is measured.
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        else:
            connection.exec_driver_sql("VACUUM ANALYZE task")
            connection.exec_driver_sql("CHECKPOINT")


def make_due(url: str, group: Group, at: datetime) -> int:
    """Make a group due at `at`, and no other, and forget what ran before; return how many that are."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(delete(run))
        connection.execute(
            update(task).where(task.c.next_fire_at < at + _FAR / 2).values(next_fire_at=at + _FAR)
        )
        made = connection.execute(
            update(task)
            .where(task.c.name >= f"{group}-", task.c.name < f"{group}.")
            .values(next_fire_at=at)
        )
        return made.rowcount


def register_model(url: str, fields: Mapping[str, Any]) -> None:
    """Register one task, whose row is copied, in an empty database. `fields`: what else is declared of it."""
    database = Database(url)
    writer = Writer(database.writing, SystemClock(), lambda _: None, follow_up=follow_up)
    writer.start()
    try:
        noop = HandlerInfo(
            name=HANDLER, description="", input_schema=None, timeout=None, isolation="none"
        )
        writer.call(Announce((noop,)))
        definition = TaskDefinition.model_validate(
            {
                "handler": HANDLER,
                "input": {"customer": 1, "kind": "reminder"},
                "schedule": {"type": "interval", "every": EVERY.total_seconds()},
                **fields,
            }
        )
        writer.call(Register(name=_MODEL, definition=definition))
    finally:
        writer.stop()
        database.close()


def _copy_model(connection: Connection, count: int, due: int) -> None:
    connection.exec_driver_sql("CREATE TEMPORARY TABLE model AS SELECT * FROM task")
    connection.exec_driver_sql("DELETE FROM task")
    copied = [each.name for each in task.c if each.name not in {"id", "name", "next_fire_at"}]
    words = _WORDS[connection.dialect.name]
    statement = text(_COPY.format(columns=", ".join(copied), group=_GROUP, **words))
    others = count - due
    connection.execute(
        statement.bindparams(bindparam("far", type_=task.c.next_fire_at.type)),
        {
            "count": count,
            "due": due,
            "others": others,
            "step": max(others // max(due, 1), 1),
            "far": datetime.now(UTC) + _FAR,
        },
    )
