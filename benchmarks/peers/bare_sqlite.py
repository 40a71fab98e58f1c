"""Upserts per second of bare SQLite, the limit under a table on it: one connection, WAL, `synchronous=FULL`.

With a commit for each, and with a commit for a group of them.
"""

import argparse
import itertools
import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from benchmarks.processes import die_with_parent
from benchmarks.traffic import entry_key, value

_SCHEMA = """
    CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT NOT NULL, version INTEGER NOT NULL)
    WITHOUT ROWID
"""
_UPSERT = """
    INSERT INTO kv VALUES (?, ?, 1)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value, version = version + 1
"""


def measure(folder: Path, seconds: float, group: int) -> dict[str, float]:
    """Return the upserts per second, one per commit and in groups."""
    with closing(sqlite3.connect(folder / "bare.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(_SCHEMA)
        numbers = itertools.count()

        def upsert() -> None:
            number = next(numbers)
            connection.execute(_UPSERT, (entry_key(number), json.dumps(value(number))))

        def upsert_group() -> None:
            connection.execute("BEGIN IMMEDIATE")
            for _ in range(group):
                upsert()
            connection.execute("COMMIT")

        return {"single": _rate(upsert, seconds), "grouped": group * _rate(upsert_group, seconds)}


def _rate(commit: Callable[[], None], seconds: float) -> float:
    started_at = time.perf_counter()
    for count in itertools.count(1):
        commit()
        elapsed = time.perf_counter() - started_at
        if elapsed > seconds:
            return count / elapsed
    raise AssertionError


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--group", type=int, required=True)
    given = parser.parse_args()
    print(json.dumps(measure(given.folder, given.seconds, given.group)))


if __name__ == "__main__":
    die_with_parent()
    main()
