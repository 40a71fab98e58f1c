"""A database with very many registered tasks, made in seconds: one task is registered, its row is copied."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy.dialects import sqlite

from app.clock import SystemClock
from app.db.engine import Database
from app.db.tables import task
from app.db.writer import Writer
from app.domain.ids import new_id
from app.domain.tasks import TaskDefinition
from app.store.handlers import Announce, HandlerInfo
from app.store.registering import Register
from benchmarks.rota import migrated

HANDLER = "noop"
_MODEL = "model"
_FAR = timedelta(days=3_650)
_SQLITE = sqlite.dialect()
#: How often the tasks fire: far less often than any benchmark takes.
EVERY = timedelta(hours=12)


class Group(StrEnum):
    """Which tasks a task belongs to; its name begins with it."""

    TOGETHER = "together"  # registered one after the other
    SPREAD = "spread"  # registered evenly among all the others
    IDLE = "idle"  # never due here


def fill(path: Path, count: int, due: int) -> str:
    """Make a database of `count` tasks, with `due` of them in each group that can be due; return its URL."""
    url = migrated(f"sqlite:///{path}")
    _register_model(url)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA cache_size=-200000")
        _copy_model(connection, count, due)
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return url


def make_due(path: Path, group: Group, at: datetime) -> int:
    """Make a group due at `at`, and no other; return how many that are."""
    change = "UPDATE task SET next_fire_at = ? WHERE name >= ? AND name < ?"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "UPDATE task SET next_fire_at = ? WHERE next_fire_at < ?",
            (_stored(at + _FAR), _stored(at + _FAR / 2)),
        )
        made = connection.execute(change, (_stored(at), f"{group}-", f"{group}."))
        connection.commit()
        return made.rowcount


def _register_model(url: str) -> None:
    database = Database(url)
    writer = Writer(database.writing, SystemClock(), lambda _: None)
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
                # Firing is measured here, and nobody finishes the runs.
                "overlap_policy": "allow",
            }
        )
        writer.call(Register(name=_MODEL, definition=definition))
    finally:
        writer.stop()
        database.close()


def _copy_model(connection: sqlite3.Connection, count: int, due: int) -> None:
    connection.row_factory = sqlite3.Row
    model = dict(connection.execute("SELECT * FROM task WHERE name = ?", (_MODEL,)).fetchone())
    connection.execute("DELETE FROM task")
    names = ", ".join(model)
    places = ", ".join(f":{name}" for name in model)
    connection.executemany(
        f"INSERT INTO task ({names}) VALUES ({places})", _copies(model, count, due)
    )


def _copies(model: dict[str, Any], count: int, due: int) -> Iterator[dict[str, Any]]:
    now = datetime.now(UTC)
    far = _stored(now + _FAR)
    for number in range(count):
        name = f"{_group(number, count, due)}-{number:07}"
        yield model | {"id": new_id(now).hex, "name": name, "next_fire_at": far}


def _group(number: int, count: int, due: int) -> Group:
    others = count - due
    if number >= others:
        return Group.TOGETHER
    place, rest = divmod(number, max(others // due, 1))
    return Group.SPREAD if rest == 0 and place < due else Group.IDLE


def _stored(instant: datetime) -> Any:
    """Return a time as it stands in the file."""
    store = task.c.next_fire_at.type.dialect_impl(_SQLITE).bind_processor(_SQLITE)
    return store(instant) if store else instant
