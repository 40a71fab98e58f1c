"""A database with the last hour of the invented shop, made with the clock of `rota.testing`."""

import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from rota.db import migrations
from rota.testing import Driver
from tests.web.demo import handlers

PAST = timedelta(hours=1)
_ONCE = {"retry": {"max_attempts": 1}}
TASKS: dict[str, dict[str, Any]] = {
    "tell-ops": {"handler": handlers.tell_ops, "input": {}, "schedule": {"type": "manual"}},
    "watch-orders": {
        "handler": handlers.watch_orders,
        "input": {"seconds": 2},
        "schedule": {"type": "interval", "every": "4m"},
        "tags": ["orders"],
    },
    "send-invoices": {
        "handler": handlers.send_invoices,
        "input": {"seconds": 20},
        "schedule": {"type": "interval", "every": "10m"},
        "tags": ["billing"],
    },
    "sync-crm": {
        "handler": handlers.sync_crm,
        "input": {"seconds": 30, "fails_in": [*range(12), *range(30, 36)]},
        "schedule": {"type": "interval", "every": "6m"},
        "retry": {"max_attempts": 2, "initial_interval": 30},
        "tags": ["crm"],
    },
    "refresh-prices": {
        "handler": handlers.refresh_prices,
        "input": {"seconds": 45},
        "schedule": {"type": "cron", "expression": "*/15 * * * *"},
        "tags": ["catalogue"],
    },
    "export-ledger": {
        "handler": handlers.export_ledger,
        "schedule": {"type": "interval", "every": "20m"},
        "on_failure": {"task": "tell-ops", "after": 2},
        "tags": ["billing"],
        **_ONCE,
    },
    "weekly-report": {
        "handler": handlers.send_invoices,
        "schedule": {"type": "cron", "expression": "0 7 * * 1", "timezone": "Europe/Berlin"},
        "tags": ["billing"],
    },
}


def make(path: Path, now: datetime) -> None:
    """Make an SQLite file with all that has happened in the hour before `now`."""
    migrations.upgrade(f"sqlite:///{path}")
    with Driver(now=now - PAST) as driver:
        for name, task in TASKS.items():
            driver.register(name, **task)
        driver.advance_to(now)
        _copy(driver, path)


def _copy(driver: Driver, path: Path) -> None:
    """Copy all rows of the driver's database, which is in memory, into the tables of the file."""
    with driver._service.database.read() as connection:
        source: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
        dump = source.serialize()
    with closing(sqlite3.connect(":memory:")) as memory, closing(sqlite3.connect(path)) as file:
        memory.deserialize(dump)
        with file:
            for (table,) in memory.execute("SELECT name FROM sqlite_master WHERE type = 'table'"):
                if not table.startswith("sqlite_"):
                    _copy_table(memory, file, table)


def _copy_table(memory: sqlite3.Connection, file: sqlite3.Connection, table: str) -> None:
    rows = memory.execute(f'SELECT * FROM "{table}"')
    names = ", ".join(f'"{each[0]}"' for each in rows.description)
    marks = ", ".join("?" for _ in rows.description)
    file.executemany(f'INSERT OR REPLACE INTO "{table}" ({names}) VALUES ({marks})', rows)
