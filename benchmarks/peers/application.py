"""The database of the application whose jobs a peer runs: a result and one kv entry per job, committed by the job.

A file of its own, so that the peer's own writes and the job's do not wait for each other, and one connection behind
a lock, which is kinder than polling for a file's lock. As durable as Rota (`synchronous=FULL`), with SQLite's default
journal, or tuned with a write-ahead log.
"""

import sqlite3
import threading
import time
from pathlib import Path

_SCHEMA = """
    CREATE TABLE result (job INTEGER PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE kv (job INTEGER, key TEXT, value TEXT, PRIMARY KEY (job, key));
"""


class Application:
    """Counts what its jobs have committed."""

    def __init__(self, folder: Path, jobs: int, *, tuned: bool) -> None:
        self._connection = sqlite3.connect(
            folder / "application.db", isolation_level=None, check_same_thread=False
        )
        if tuned:
            self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.executescript(_SCHEMA)
        self._connection.execute("PRAGMA synchronous=FULL")
        self._lock = threading.Lock()
        self._left = jobs
        self._all_done = threading.Event()
        self.ended_at = 0.0

    def keep(self, job: int, *, with_result: bool) -> None:
        """Commit the kv entry of a job, and its result unless the peer keeps that."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            if with_result:
                self._connection.execute("INSERT INTO result VALUES (?, ?)", (job, '{"done":true}'))
            self._connection.execute("INSERT INTO kv VALUES (?, 'last', '1')", (job,))
            self._connection.execute("COMMIT")

    def one_ended(self) -> None:
        """Count a job that has ended, with all that is kept of it."""
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self.ended_at = time.perf_counter()
                self._all_done.set()

    def wait(self, timeout: float) -> None:
        """Wait for all jobs; raises TimeoutError, and checks that every one has its entry."""
        if not self._all_done.wait(timeout):
            raise TimeoutError(f"{self._left} jobs are left after {timeout:g} s")
        kept = self._connection.execute("SELECT count(*) FROM kv").fetchone()[0]
        assert kept == self._connection.execute("SELECT count(DISTINCT job) FROM kv").fetchone()[0]
